"""The rows of a statement as what they are: each is given to `make`, a class or a function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from psycopg.rows import args_row, kwargs_row, scalar_row

from traceplane.store.engine import Connection

Row = TypeVar("Row")
Parameters = Mapping[str, object]


async def many(conn: Connection, make: Callable[..., Row], statement: str, parameters: Parameters) -> list[Row]:
    """Every row, its columns by position."""
    return await (await conn.cursor(row_factory=args_row(make)).execute(statement, parameters)).fetchall()


async def named(conn: Connection, make: Callable[..., Row], statement: str, parameters: Parameters) -> list[Row]:
    """Every row, its columns by name."""
    return await (await conn.cursor(row_factory=kwargs_row(make)).execute(statement, parameters)).fetchall()


async def first(conn: Connection, make: Callable[..., Row], statement: str, parameters: Parameters) -> Row | None:
    """The first row, its columns by position; None where there is none."""
    return await (await conn.cursor(row_factory=args_row(make)).execute(statement, parameters)).fetchone()


async def column(conn: Connection, statement: str, parameters: Parameters) -> list[Any]:
    """The first column of every row."""
    return await (await conn.cursor(row_factory=scalar_row).execute(statement, parameters)).fetchall()
