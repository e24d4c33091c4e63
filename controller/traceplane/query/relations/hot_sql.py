"""Hot rows: from the filter tree of a cell's scan to the Postgres statement that reads them. `attach` runs it.

The cell is not trusted: a column it names must be the relation's, an operator must be on the list, a literal is
rendered here, typed. And the statement always carries the seam (rows that live in cold files are not read from the
hot table) and never more rows and columns than were granted.

A filter may let more rows through than it says, never fewer: DuckDB applies it in full in the cell. So a part
is translated only where Postgres compares exactly as DuckDB does, and dropped where it does not.

Pure.
"""

from __future__ import annotations

import contextlib
import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from traceplane_sdk.columns import FORMS
from traceplane_sdk.where import Where, postgres

MAX_FILTER_PARTS = 500
MAX_GAPS = 64
_COMPARE = {"=": "=", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_NULLS = {"null": "IS NULL", "valid": "IS NOT NULL"}
_INT64 = range(-(2**63), 2**63)
_WHOLE = re.compile(r"-?[0-9]{1,100}", re.ASCII)

Ranges = Sequence[tuple[int, int]]
"""Inclusive ranges, sorted, disjoint."""


@dataclass(frozen=True, slots=True)
class GrantedTable:
    """A granted hot table. `columns` maps names to column types; rows inside `relocated` live in cold files."""

    location: str
    """`hot.d_<uuid hex>`"""
    columns: dict[str, str]
    scope_column: str
    relocated: Ranges
    where: Where = field(default_factory=dict)
    """Of its rows those that are granted."""


class BadScan(ValueError):
    """The scan names what the relation does not have."""


def table_of(location: str) -> str:
    """The table's name in schema `hot`. Raises BadScan for what is no location of a hot table."""
    schema, _, name = location.partition(".")
    if schema != "hot" or not name.startswith("d_") or UUID(hex=name[2:]).hex != name[2:]:
        raise BadScan(f"not the location of a hot table: {location!r}")
    return name


def statement(table: GrantedTable, columns: Sequence[str], tree: Any) -> str:
    """The SELECT for one scan. Raises BadScan for a column or a filter that is not the relation's."""
    name = table_of(table.location)
    if not columns or any(column not in table.columns for column in columns):
        raise BadScan("the scan names a column the relation does not have")
    selected = ", ".join(_selected(column, table.columns[column]) for column in columns)
    parts = _seam(table), postgres(table.where, table.columns), _render(tree, table.columns, [MAX_FILTER_PARTS])
    conditions = [part for part in parts if part]
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"SELECT {selected} FROM hot.{name}{where}"


def _selected(column: str, kind: str) -> str:
    """Columns that are no text in Postgres and text to DuckDB leave Postgres as text."""
    return f'"{column}"::text AS "{column}"' if FORMS[kind].cast_to_text else f'"{column}"'


def _seam(table: GrantedTable) -> str:
    """Rows outside `relocated`; empty where nothing is."""
    if not table.relocated:
        return ""
    column = f'"{table.scope_column}"'
    # Gaps where they are few, since Postgres can use an index for them; else one constant, whose cost is bounded.
    if len(table.relocated) > MAX_GAPS:
        text = ",".join(f"[{start},{end}]" for start, end in table.relocated)
        return f"NOT ('{{{text}}}'::int8multirange @> {column}::bigint)"
    parts, low = [], None
    for start, end in table.relocated:
        lower = "" if low is None else f"{column} > {low} AND "
        parts.append(f"({lower}{column} < {start})")
        low = end
    parts.append(f"({column} > {low})")
    return f"({' OR '.join(parts)})"


def _render(tree: Any, columns: dict[str, str], budget: list[int]) -> str:
    """The condition of `tree`, or as much of it as Postgres decides alike; empty where that is nothing."""
    budget[0] -= 1
    if tree is None or budget[0] < 0:
        return ""
    if not isinstance(tree, list) or len(tree) != 3 or not isinstance(tree[0], str):
        raise BadScan("not a filter")
    operator, left, right = tree
    if operator in ("and", "or"):
        parts = [_render(left, columns, budget), _render(right, columns, budget)]
        if operator == "or" and not all(parts):
            return ""  # a part that is dropped lets every row through, and so does the whole
        return f"({f' {operator.upper()} '.join(filter(None, parts))})" if any(parts) else ""
    if operator == "in" and isinstance(right, list):
        budget[0] -= len(right)
        return _membership(left, right, columns) if budget[0] >= 0 else ""
    return _comparison(operator, left, right, columns)


def _comparison(operator: str, left: Any, right: Any, columns: dict[str, str]) -> str:
    # Dropped and not refused: what DuckDB may build here is more than Postgres compares alike.
    if not _is_node(left, "field"):
        return ""
    column = _granted(left[1], columns)
    if operator in _NULLS:
        return f'"{column}" {_NULLS[operator]}'
    if operator not in _COMPARE or not isinstance(right, list) or len(right) != 2:
        return ""
    literal = _literal(columns[column], operator, *right)
    return f'"{column}" {_COMPARE[operator]} {literal}' if literal else ""


def _membership(left: Any, constants: list[Any], columns: dict[str, str]) -> str:
    if not _is_node(left, "field") or not all(isinstance(part, list) and len(part) == 2 for part in constants):
        return ""
    column = _granted(left[1], columns)
    literals = [_literal(columns[column], "=", *constant) for constant in constants]
    return f'"{column}" IN ({", ".join(literals)})' if literals and all(literals) else ""


def _granted(column: str, columns: dict[str, str]) -> str:
    if column not in columns:
        raise BadScan("the filter names a column the relation does not have")
    return column


def _is_node(part: Any, tag: str) -> bool:
    return isinstance(part, list) and len(part) == 2 and part[0] == tag and isinstance(part[1], str)


def _literal(kind: str, operator: str, tag: Any, value: Any) -> str:
    """`value` as a literal that Postgres compares with a column of `kind` as DuckDB does; empty where it cannot."""
    pushdown = FORMS[kind].pushdown
    if pushdown == "integer":
        return str(value) if type(value) is int and value in _INT64 else ""
    if pushdown == "whole":
        return value if tag == "whole" and isinstance(value, str) and _WHOLE.fullmatch(value) else ""
    if pushdown == "boolean":
        return str(value).lower() if type(value) is bool and operator in ("=", "!=") else ""
    if pushdown == "instant" and tag == "instant" and isinstance(value, str):
        return _instant(value)
    if pushdown == "text" and isinstance(value, str) and tag == "scalar":
        return _text(value, operator)
    return ""


def _text(value: str, operator: str) -> str:
    if "\0" in value or "\\" in value:
        return ""  # Postgres holds no NUL; and no setting of the server may change what a backslash means
    quoted = "'" + value.replace("'", "''") + "'"
    return quoted if operator in ("=", "!=") else f'{quoted} COLLATE "C"'  # DuckDB orders text by bytes


def _instant(value: str) -> str:
    with contextlib.suppress(ValueError):
        moment = datetime.datetime.fromisoformat(value)
        if moment.tzinfo is not None:
            return f"'{moment.astimezone(datetime.UTC).isoformat()}'::timestamptz"
    return ""
