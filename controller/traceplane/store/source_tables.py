"""A table of the data database as CSV, for an external asset: its columns, and its rows in a stable order.

Synchronous, on the connection of the run that reads it. Values leave as text in one form whatever the server's
settings are: times in UTC as ISO 8601, binary as hex.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from psycopg import Connection, errors, sql

from traceplane.errors import NotFound, Refused

COLUMNS = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull
FROM pg_class r JOIN pg_attribute a ON a.attrelid = r.oid
WHERE r.oid = to_regclass(%(table)s) AND a.attnum > 0 AND NOT a.attisdropped
  -- A view runs what its author wrote, with the rights of the role that reads it.
  AND r.relkind IN ('r', 'p', 'm')
ORDER BY a.attnum
"""
"""The columns of a table or materialized view; none where there is none, or none that this role may look up."""

LIMIT_SECONDS = 600

Session = Connection[Any]

_TYPES = {
    "boolean": "Bool",
    "smallint": "Int32",
    "integer": "Int32",
    "bigint": "Int64",
    "real": "Float64",
    "double precision": "Float64",
    "text": "Text",
    "uuid": "Text",
    "bytea": "Hex",
    "date": "Timestamp",
    "timestamp without time zone": "Timestamp",
    "timestamp with time zone": "Timestamp",
    "json": "Json",
    "jsonb": "Json",
}


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column; `type` is a column type of the platform, or None where no type holds it exactly."""

    name: str
    type: str | None
    postgres: str
    nullable: bool


def columns(connection: Session, table: str) -> list[TableColumn]:
    """The columns of `schema.name`. Raises NotFound."""
    found = connection.execute(COLUMNS, {"table": table}).fetchall()
    if not found:
        raise NotFound(
            f"there is no table or materialized view {table} in the data database, or this role may not see it: "
            "create it, and grant USAGE on its schema and SELECT on it",
            code="NoTable",
        )
    return [TableColumn(name, _type(kind), kind, not required) for name, kind, required in found]


def rows(connection: Session, table: tuple[str, str], names: list[str], *, most: int) -> Iterator[bytes]:
    """CSV with a header of up to `most` rows, every value quoted and null left empty. Raises Refused."""
    chosen = sql.SQL(", ").join(_text(sql.Identifier("t", name), name) for name in names)
    # As text, byte by byte: the order of a collation may change with the server's release.
    statement = sql.SQL(
        'COPY (SELECT {chosen} FROM {table} t ORDER BY (t.*)::text COLLATE "C" LIMIT {most}) '
        "TO STDOUT (FORMAT csv, HEADER, FORCE_QUOTE *)"
    ).format(chosen=chosen, table=sql.Identifier(*table), most=sql.Literal(most))
    try:
        with connection.transaction():
            for setting in ("TRANSACTION READ ONLY", "LOCAL TimeZone = 'UTC'", "LOCAL DateStyle = 'ISO'"):
                connection.execute(sql.SQL("SET ") + sql.SQL(setting))
            connection.execute(f"SET LOCAL statement_timeout = '{LIMIT_SECONDS}s'")
            connection.execute("SET LOCAL bytea_output = 'hex'")
            connection.execute("SET LOCAL row_security = off")  # an error, not a part of the rows
            connection.execute("SET LOCAL extra_float_digits = 1")
            with connection.cursor().copy(statement) as copy:
                for piece in copy:
                    yield bytes(piece)
    except errors.InsufficientPrivilege as error:
        raise Refused(
            f"table {'.'.join(table)}: this role may not read it; grant USAGE on its schema and SELECT on it",
            code="NotReadable",
        ) from error
    except errors.QueryCanceled as error:
        raise Refused(f"table {'.'.join(table)}: not read in {LIMIT_SECONDS} s", code="TooLarge") from error


def _text(column: sql.Identifier, name: str) -> sql.Composed:
    """A column as text."""
    as_text = sql.SQL(
        "CASE pg_typeof({0})::text WHEN 'bytea' THEN '0x' || substr({0}::text, 3) ELSE {0}::text END AS {1}"
    )
    return as_text.format(column, sql.Identifier(name))


def _type(postgres: str) -> str | None:
    """The type that holds every value of one of Postgres's; None where none does."""
    if (numeric := re.fullmatch(r"numeric\((\d+),(\d+)\)", postgres)) is not None:
        if int(numeric[2]):
            return None
        return "Int64" if int(numeric[1]) <= 18 else "UInt256"
    if postgres.startswith(("character", "varchar")):
        return "Text"
    return _TYPES.get(postgres.split("(")[0].strip() if "(" in postgres and "time" not in postgres else postgres)
