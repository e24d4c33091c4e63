"""Does a statement fit the relations it will read and the columns it is to give? DuckDB binds it over empty tables.
One that compares an address with what no column of addresses holds is refused as well, as it would be when it runs.

The tables live in the locked DuckDB of the process that checks statements, in a transaction that is rolled back.
Nothing of the statement runs; whether a type can become another at all is tried on a value of the gate's own.
"""

from __future__ import annotations

import json
from collections.abc import Container
from difflib import get_close_matches
from typing import Any

import duckdb

from traceplane.query.exact import bound, checking, spelling
from traceplane.query.gate import parser
from traceplane.query.gate.messages import Shape, Table
from traceplane.query.gate.shaping import quoted
from traceplane.query.gate.statement import Refusal

MISSING_COLUMN = "ColumnMissing"
WRONG_COLUMN = "ColumnTypeMismatch"
"""Refusals whose `name` is a declared column."""

_SAMPLES = ("1", "2020-01-01", "00:00:00", "1 day", "true", "[]", "{}", "00000000-0000-0000-0000-000000000000")
"""Of any type that text can become, at least one."""
_NEVER = "Unimplemented type for cast"
_SHOWN = 8
_CANDIDATES = "\tCandidate functions:"


def check(select: str, whole: str, shape: Shape, tables: tuple[Table, ...]) -> None:
    """Raise Refusal where `select` does not bind to `tables`, or `whole` cannot be made of what it gives."""
    database = parser.binder()
    database.execute("BEGIN")
    try:
        for number, table in enumerate(tables):
            _create(database, number, table)
        kinds = {kind for table in tables for _, kind in table.columns}
        given = _bound(database, select, kinds)
        _compares(database, select, kinds, tables)
        _fits(database, select, given, shape)
        _bound(database, whole, kinds)
    finally:
        database.execute("ROLLBACK")


def _create(database: duckdb.DuckDBPyConnection, number: int, table: Table) -> None:
    columns = ", ".join(f"{quoted(name)} {kind}" for name, kind in table.columns)
    database.execute(f"CREATE TABLE __shadow_{number} ({columns})")
    for schema, name in table.names:
        if schema:
            database.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(schema)}")
        target = f"{quoted(schema or 'main')}.{quoted(name)}"
        database.execute(f"CREATE VIEW {target} AS SELECT * FROM __shadow_{number}")


def _bound(database: duckdb.DuckDBPyConnection, sql: str, kinds: Container[str]) -> dict[str, str]:
    """The type of each column of a statement over columns of types `kinds`, by its name in lower case. Raises
    Refusal, with the place where it is known."""
    try:
        relation = database.sql(checking.exact(database, sql, kinds).run)
        found: dict[str, str] = {}
        for name, kind in zip(relation.columns, relation.types, strict=True):
            found.setdefault(name.lower(), str(kind))  # of two columns of one name, the first is read
        return found
    except checking.Inexact as error:
        raise Refusal("InvalidQuery", str(error)) from None
    except duckdb.Error as error:
        if parser.is_out_of_memory(error):
            raise MemoryError from None
        if parser.is_too_deep(error):
            raise Refusal("QueryTooDeep", "the statement nests too deep") from None
        raise _refusal(database, sql, error) from None


def _compares(
    database: duckdb.DuckDBPyConnection, select: str, kinds: Container[str], tables: tuple[Table, ...]
) -> None:
    """Raise Refusal where a text is compared with a column that never holds it."""
    hexes = {f"__shadow_{number}": table.hexes for number, table in enumerate(tables)}
    if not any(hexes.values()) or not spelling.concerns(select):
        return
    planned = checking.exact(database, select, kinds).planned
    try:
        spelling.check(bound.operators(database, planned) or (), hexes)
    except spelling.NeverEqual as error:
        raise Refusal("InvalidQuery", str(error)) from None


def _refusal(database: duckdb.DuckDBPyConnection, sql: str, error: duckdb.Error) -> Refusal:
    """DuckDB's message; with its place, which DuckDB tells in the answer of this function only."""
    said: dict[str, Any] = {}
    try:
        row = database.execute("SELECT json_serialize_plan(?::VARCHAR)", [sql]).fetchone()
        said = json.loads(row[0]) if row else {}
    except (duckdb.Error, ValueError, RecursionError):
        pass  # then without a place
    if not said.get("error"):
        said = {}
    message = str(said.get("error_message") or parser.first_line(error)).split(_CANDIDATES)[0].strip()
    place = parser.place_of(sql, said)
    return Refusal("InvalidQuery", " ".join(message.split())[: parser.MAX_MESSAGE], position=place)


def _fits(database: duckdb.DuckDBPyConnection, select: str, given: dict[str, str], shape: Shape) -> None:
    """Raise Refusal for a declared column that is not given, or in a type that never becomes its own."""
    casts: dict[tuple[str, str], bool] = {}
    for name, wanted in shape.columns:
        if name.lower() not in given:
            close = get_close_matches(name, given, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"it gives {_listed(given)}"
            message = f"the statement gives no column {name!r}; {hint}"
            raise Refusal(MISSING_COLUMN, message, name=name)
        kind = given[name.lower()]
        if (kind, wanted) not in casts:
            casts[kind, wanted] = _castable(database, kind, wanted)
        if not casts[kind, wanted] and not (kind == "INTEGER" and _is_null(database, select, name)):
            remedy = "convert it, or declare another type"
            message = f"the statement gives {name!r} as {kind}, of which no value becomes {wanted}; {remedy}"
            raise Refusal(WRONG_COLUMN, message, name=name)


def _listed(given: dict[str, str]) -> str:
    more = f" and {len(given) - _SHOWN} more" if len(given) > _SHOWN else ""
    return ", ".join([*given][:_SHOWN]) + more


def _is_null(database: duckdb.DuckDBPyConnection, select: str, name: str) -> bool:
    """Whether a column is NULL without a type, which DuckDB reports as INTEGER: only NULL has a length then."""
    try:
        database.sql(f"SELECT len(answer.{quoted(name)}) FROM (\n{select}\n) AS answer")
    except duckdb.Error:
        return False
    return True


def _castable(database: duckdb.DuckDBPyConnection, kind: str, wanted: str) -> bool:
    """Whether DuckDB has a cast between two types, which it says only when it casts a value."""
    values = ", ".join(f"TRY_CAST('{sample}' AS {kind})" for sample in _SAMPLES)
    # In a transaction of its own: an error of a statement that runs would end the other.
    trial = database.cursor()
    try:
        trial.execute(f"SELECT CAST(v AS {wanted}) IS NULL FROM (SELECT coalesce({values}) AS v)").fetchall()
    except duckdb.Error as error:
        return _NEVER not in str(error) or f"{_NEVER} (VARCHAR" in str(error)
    finally:
        trial.close()
    return True
