"""How answers are printed: a table for eyes, JSON, YAML and CSV for programs."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from enum import StrEnum
from typing import Any


class Output(StrEnum):
    """`-o`."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"
    CSV = "csv"


def structured(value: Any, output: Output) -> None:
    """Print `value` as JSON or YAML."""
    if output is Output.YAML:
        import yaml

        yaml.safe_dump(value, sys.stdout, sort_keys=False, allow_unicode=True)
    else:
        sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print rows in aligned columns: as wide as they need, so that a pipe cuts nothing off."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        drawn.add_column(name, no_wrap=True, overflow="ignore")
    for row in rows:
        drawn.add_row(*(text(value) for value in row))
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console = Console(highlight=False, markup=False, emoji=False, width=10_000)
    console.print(drawn)


def lines(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print rows as CSV (RFC 4180)."""
    writer = csv.writer(sys.stdout)
    writer.writerow(columns)
    writer.writerows([text(value) if isinstance(value, (dict, list)) else value for value in row] for row in rows)


def text(value: Any) -> str:
    """One value on one line."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False)
    return "".join(character if character.isprintable() else "\ufffd" for character in str(value))
