"""How answers are printed: a table for eyes, JSON, YAML and CSV for programs.

Whatever the form, its reader gets the same values back, and a terminal shows data without acting on it (`escapes`).
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from traceplane.cli import escapes, tables


class Output(StrEnum):
    """`-o`."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"
    CSV = "csv"


def structured(value: Any, output: Output) -> None:
    """Print `value` as JSON or YAML."""
    if output is Output.YAML:
        _yaml(value)
    else:
        sys.stdout.write(escapes.json_of(json.dumps(value, indent=2, ensure_ascii=False)) + "\n")


def rows(found: Sequence[Mapping[str, Any]], columns: Sequence[str], output: Output) -> None:
    """Print rows in the form that `-o` names; a table and CSV have only `columns`."""
    if output in (Output.JSON, Output.YAML):
        structured(list(found), output)
        return
    values = [[row.get(column) for column in columns] for row in found]
    if output is Output.CSV:
        comma_separated(columns, values)
    else:
        table(columns, values, null="")


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, null: str = "NULL") -> None:
    """Print rows in aligned columns: as wide as they need, so that nothing is cut."""
    for line in tables.lines(columns, rows, null=null):
        sys.stdout.write(line + "\n")


def comma_separated(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print rows as CSV (RFC 4180), as the query service writes it: nothing is NULL, `""` an empty text."""
    lines = (",".join(map(_field, row)) + "\r\n" for row in (columns, *rows))
    delimited("".join(lines).encode())


def delimited(body: bytes) -> None:
    """Pass on CSV. It has no escapes, so a terminal gets the replacement character for what it would act on."""
    if not sys.stdout.isatty():
        sys.stdout.buffer.write(body)
        return
    text = body.decode("utf-8", "replace")
    shown = "".join(each if each in "\t\r\n" or escapes.is_shown(each) else "\ufffd" for each in text)
    sys.stdout.write(shown)
    if shown != text:
        sys.stderr.write("warning: \ufffd stands for characters that a terminal must not get; a file has them\n")


def _field(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    # A line of `\.` alone ends the rows for Postgres.
    return '"' + text.replace('"', '""') + '"' if text in ("", "\\.") or re.search('[",\r\n]', text) else text


_PLAIN = re.compile(r"(?!(?:y|n|yes|no|on|off|true|false|null|nan|inf)\Z)[a-z].*", re.IGNORECASE)
"""Texts that no version of YAML takes for a number, a time, a truth or nothing, if a reader takes them for text."""


def _yaml(value: Any) -> None:
    """YAML that readers of 1.1 and of 1.2 read alike: whatever may look like something else has quotes."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def write_double_quoted(self, text: str, split: bool = True) -> None:
            self.write_indicator(escapes.yaml_of(text), True)

    def text_of(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
        plain = _PLAIN.fullmatch(text) and escapes.is_shown(text)
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')

    Dumper.add_representer(str, text_of)
    yaml.dump(value, sys.stdout, Dumper, sort_keys=False, allow_unicode=True, width=sys.maxsize)
