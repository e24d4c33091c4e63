"""Rows that direct writers left in the data database for state.

A writer commits rows, events and invalidations in one transaction of **data**; the relay reads the rows of
`source_outbox` that are not relayed, accepts them into **state** by id, and marks them here. The two databases
share no transaction, so a crash in between relays a row twice, which the id makes harmless.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from traceplane.store.engine import Connection

UNRELAYED = """
SELECT id, seq, dataset_version_id, kind, payload, task_id
FROM trace.source_outbox
-- One replica at a time: what an event says to be final and what an invalidation takes back depend on their order.
WHERE relayed_at IS NULL AND (SELECT pg_try_advisory_xact_lock(hashtextextended('trace.relay', 0)))
ORDER BY seq LIMIT %(limit)s
FOR UPDATE SKIP LOCKED
"""
"""The next rows in the order they were written; none while another replica relays."""

RELAYED = "UPDATE trace.source_outbox SET relayed_at = statement_timestamp() WHERE id = ANY(%(ids)s)"
"""State has accepted them."""

FORGET = """
DELETE FROM trace.source_outbox WHERE id IN (
    SELECT id FROM trace.source_outbox
    WHERE relayed_at < statement_timestamp() - make_interval(secs => %(older)s)
    LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
"""
"""Rows relayed long ago."""

CAUGHT_UP = """
INSERT INTO relay_progress (caught_up_at) VALUES (statement_timestamp() - make_interval(secs => %(seconds)s))
ON CONFLICT (id) DO UPDATE SET caught_up_at = excluded.caught_up_at
"""
"""In state: everything that was written so long ago is relayed."""

OLDEST = """
SELECT extract(epoch FROM statement_timestamp() - created_at)::float8
FROM trace.source_outbox WHERE relayed_at IS NULL ORDER BY seq LIMIT 1
"""
"""Age of the row that the relay takes next. One row alone is read: a backlog may have millions."""

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


async def note_caught_up(conn: Connection, *, seconds: float) -> None:
    """Note in state that everything which was written before so many seconds is relayed."""
    await conn.execute(CAUGHT_UP, {"seconds": seconds})


async def oldest(conn: Connection) -> float:
    """Seconds that the next row has waited for the relay; 0 where none waits."""
    row = await (await conn.execute(OLDEST)).fetchone()
    return float(row[0]) if row else 0.0


async def waiting(conn: Connection) -> tuple[int, float]:
    """Rows that wait for the relay, and the age of the oldest in seconds."""
    row = await (await conn.execute(WAITING)).fetchone()
    assert row is not None
    return int(row[0]), float(row[1])
