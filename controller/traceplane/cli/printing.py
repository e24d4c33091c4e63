"""How answers are printed: a table for eyes, JSON, YAML and CSV for programs."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Mapping, Sequence
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


def rows(found: Sequence[Mapping[str, Any]], columns: Sequence[str], output: Output) -> None:
    """Print rows in the form that `-o` names; a table and CSV have only `columns`."""
    if output in (Output.JSON, Output.YAML):
        structured(list(found), output)
        return
    values = [[row.get(column) for column in columns] for row in found]
    (comma_separated if output is Output.CSV else table)(columns, values)


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print rows in aligned columns: as wide as they need, so that nothing is cut in a pipe."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        drawn.add_column(name, no_wrap=True, overflow="ignore")
    for row in rows:
        drawn.add_row(*(text(value) for value in row))
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:  # rich would take 80 columns, and cut what is wider
        console = Console(highlight=False, markup=False, emoji=False, width=10_000)
    console.print(drawn)


def comma_separated(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
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
    # Control characters in a value could rewrite what the terminal shows.
    return "".join(character if character.isprintable() else "\ufffd" for character in str(value))
