"""The data side: rows that direct writers left for state, and the hot tables themselves.

A writer commits rows, events and invalidations in one transaction of **data**; the relay reads the rows of
`source_outbox` that are not relayed, accepts them into **state** by id, and marks them here. The two databases
share no transaction, so a crash in between relays a row twice, which the id makes harmless.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import sql

from traceplane.store.engine import Connection
from traceplane.store.statements.partitions import HotTable
from traceplane_sdk.columns import FORMS

UNRELAYED = """
SELECT id, seq, dataset_version_id, kind, payload, task_id
FROM trace.source_outbox WHERE relayed_at IS NULL ORDER BY seq LIMIT %(limit)s
FOR UPDATE SKIP LOCKED
"""
"""The next rows in the order they were written; other replicas pass over them while this one relays."""

RELAYED = "UPDATE trace.source_outbox SET relayed_at = statement_timestamp() WHERE id = ANY(%(ids)s)"
"""State has accepted them."""

FORGET = """
DELETE FROM trace.source_outbox WHERE id IN (
    SELECT id FROM trace.source_outbox
    WHERE relayed_at < statement_timestamp() - make_interval(secs => %(older)s)
    LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
"""
"""Rows relayed long ago."""

WAITING = """
SELECT count(*), coalesce(extract(epoch FROM statement_timestamp() - min(created_at)), 0)::float8
FROM trace.source_outbox WHERE relayed_at IS NULL
"""
"""How many rows wait for the relay, and how long the oldest has."""


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One row that a direct writer left."""

    id: UUID
    seq: int
    dataset_version_id: UUID
    kind: str
    payload: dict[str, Any]
    task_id: UUID


async def unrelayed(conn: Connection, *, limit: int) -> list[SourceRow]:
    """The next rows, locked until the caller's transaction ends."""
    rows = await (await conn.execute(UNRELAYED, {"limit": limit})).fetchall()
    return [SourceRow(*row) for row in rows]


async def mark_relayed(conn: Connection, ids: Sequence[UUID]) -> None:
    """Record that state has accepted these rows."""
    await conn.execute(RELAYED, {"ids": list(ids)})


async def forget(conn: Connection, *, older_seconds: float, limit: int) -> int:
    """Delete up to `limit` rows that were relayed longer ago than `older_seconds`."""
    return (await conn.execute(FORGET, {"older": older_seconds, "limit": limit})).rowcount


async def waiting(conn: Connection) -> tuple[int, float]:
    """Rows that wait for the relay, and the age of the oldest in seconds."""
    row = await (await conn.execute(WAITING)).fetchone()
    assert row is not None
    return int(row[0]), float(row[1])


async def create_hot_table(conn: Connection, table: HotTable) -> None:
    """Make the hot table of a dataset version with its unique key and indexes; nothing where it exists.

    The unique key is the table's primary key unless a key column may be null. The scope column gets an index of
    its own where no index begins with it: ranges are read, rewritten and swept by it.
    """
    name = sql.Identifier(*table.location.split("."))
    nullable = {str(column["name"]) for column in table.columns if column.get("nullable")}
    parts = [
        sql.SQL("{} {}{}").format(
            sql.Identifier(str(column["name"])),
            sql.SQL(FORMS[str(column["type"])].postgres),
            sql.SQL("") if column.get("nullable") else sql.SQL(" NOT NULL"),
        )
        for column in table.columns
    ]
    if table.unique_key:
        kind = "UNIQUE NULLS NOT DISTINCT" if nullable & set(table.unique_key) else "PRIMARY KEY"
        parts.append(sql.SQL("{} ({})").format(sql.SQL(kind), _names(table.unique_key)))
    wanted = [list(index) for index in table.indexes]
    if all(index[:1] != [table.scope_column] for index in [table.unique_key, *wanted]):
        wanted.insert(0, [table.scope_column])
    async with conn.transaction():
        await conn.execute(sql.SQL("SELECT pg_advisory_xact_lock(hashtextextended({}, 0))").format(table.location))
        await conn.execute(sql.SQL("CREATE TABLE IF NOT EXISTS {} ({})").format(name, sql.SQL(", ").join(parts)))
        for number, index in enumerate(wanted):
            await conn.execute(
                sql.SQL("CREATE INDEX IF NOT EXISTS {} ON {} ({})").format(
                    sql.Identifier(f"{table.location.split('.')[-1]}_{number}_idx"), name, _names(index)
                )
            )


async def delete_hot_rows(conn: Connection, table: HotTable, *, start: int, end: int, limit: int) -> int:
    """Delete up to `limit` rows whose scope column is in the inclusive range; how many went."""
    statement = sql.SQL(
        "DELETE FROM {table} WHERE ctid = ANY(ARRAY(SELECT ctid FROM {table} WHERE {column} BETWEEN %(start)s"
        " AND %(end)s LIMIT %(limit)s FOR UPDATE SKIP LOCKED))"
    ).format(table=sql.Identifier(*table.location.split(".")), column=sql.Identifier(table.scope_column))
    return (await conn.execute(statement, {"start": start, "end": end, "limit": limit})).rowcount


def _names(columns: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(column) for column in columns)
