"""Which schema a running database has."""

from __future__ import annotations

from psycopg import errors, sql

from traceplane.store import revisions
from traceplane.store.engine import Connection

REVISION = "SELECT version_num FROM {}"
"""The one row that a migration leaves."""


async def state_revision(conn: Connection) -> str | None:
    """The revision of a **state** database; None where nothing was migrated."""
    return await _revision(conn, revisions.STATE_VERSION_TABLE)


async def data_revision(conn: Connection) -> str | None:
    """The revision of a **data** database; None where nothing was migrated."""
    return await _revision(conn, revisions.DATA_VERSION_TABLE)


async def _revision(conn: Connection, table: str) -> str | None:
    try:
        row = await (await conn.execute(sql.SQL(REVISION).format(sql.Identifier(table)))).fetchone()
    except errors.UndefinedTable:
        return None
    return None if row is None else str(row[0])
