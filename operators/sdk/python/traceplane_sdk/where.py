"""What the `where` of an input means, for every tier that reads rows: a row is read where each of its fields equals
one of the field's constants. NULL equals none.

It is canonical when it gets here: names of columns, each with texts of `constants` in order, none twice. It is
rendered for each tier from that alone, every constant as a cast of its text to the column's type. Nothing that a
person wrote is ever taken for SQL.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import TYPE_CHECKING

from traceplane_sdk.columns import FORMS, ColumnType

if TYPE_CHECKING:
    import pyarrow.compute as pc

MAX_VALUES = 256
"""Constants in all fields of one `where`: it travels with every task."""

Where = Mapping[str, Sequence[str]]
"""Empty: every row."""


def postgres(where: Where, types: Mapping[str, str]) -> str:
    """The condition for Postgres; `types` are those of the columns. Empty for every row."""
    from psycopg import sql

    return _condition(where, types, lambda text: sql.Literal(text).as_string(), lambda kind: FORMS[kind].postgres)


def duckdb(where: Where, types: Mapping[str, str]) -> str:
    """The condition for DuckDB over columns as they rest in files. Empty for every row."""
    return _condition(where, types, lambda text: _quoted(text, "'"), lambda kind: FORMS[kind].duckdb_at_rest)


def arrow(where: Where, types: Mapping[str, str]) -> pc.Expression | None:
    """The condition for Arrow over columns as they rest in files; it leaves out row groups, too. None for every
    row."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from traceplane_sdk.parquet import arrow_type

    def one_of(name: str, texts: Sequence[str]) -> pc.Expression:
        if types[name] == ColumnType.FLOAT64 and "0.0" in texts:
            texts = [*texts, "-0.0"]  # one number, but Arrow looks for its bits
        return pc.field(name).isin(pa.array(texts, pa.string()).cast(arrow_type(types[name])))

    return reduce(lambda left, right: left & right, [one_of(*field) for field in where.items()]) if where else None


def _condition(
    where: Where, types: Mapping[str, str], literal: Callable[[str], str], cast: Callable[[str], str]
) -> str:
    parts = []
    for name, texts in where.items():
        constants = ", ".join(f"CAST({literal(text)} AS {cast(types[name])})" for text in texts)
        parts.append(f"{_quoted(name, chr(34))} IN ({constants})")
    return " AND ".join(parts)


def _quoted(text: str, quote: str) -> str:
    return quote + text.replace(quote, quote * 2) + quote
