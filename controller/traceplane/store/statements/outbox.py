"""The outbox: effects outside the database, decided in a transaction and performed after it.

A due row is leased by moving `available_at` ahead, so no transaction stays open while the effect happens, and a
worker that dies gives the row back by doing nothing. `attempts` is the fence: it rises with every lease, and a
row is finished only by the lease that still holds it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from traceplane.store.engine import Connection
from traceplane.store.rows import many

TAKE = """
WITH due AS (
    SELECT o.id FROM outbox o
    WHERE o.status = 'Pending' AND o.available_at <= statement_timestamp()
    ORDER BY o.available_at, o.id LIMIT %(limit)s
    -- Another replica that drains at the same time takes the next rows instead of waiting for these.
    FOR UPDATE SKIP LOCKED
)
UPDATE outbox o
-- The new count is the lease's fence; the row shows up again by itself if this worker dies.
SET attempts = o.attempts + 1, available_at = statement_timestamp() + make_interval(secs => %(hold)s)
FROM due d WHERE o.id = d.id
RETURNING o.id, o.org_id, o.kind, o.payload, o.attempts
"""
"""Lease up to `limit` due rows for `hold` seconds, the longest due first."""

FINISH = """
UPDATE outbox SET status = 'Done', finished_at = statement_timestamp(), last_error = NULL
WHERE id = %(id)s AND status = 'Pending' AND attempts = %(attempts)s
"""
"""The effect happened."""

CONTINUE = """
UPDATE outbox SET available_at = statement_timestamp(), attempts = 0, last_error = NULL
WHERE id = %(id)s AND status = 'Pending' AND attempts = %(attempts)s
"""
"""A bounded step of the effect happened and there is more: due again at once, its failures forgotten."""

FAIL = """
UPDATE outbox SET
    last_error = %(error)s,
    status = CASE WHEN %(final)s THEN 'Failed' ELSE 'Pending' END,
    finished_at = CASE WHEN %(final)s THEN statement_timestamp() END,
    available_at = statement_timestamp() + make_interval(secs => %(delay)s)
WHERE id = %(id)s AND status = 'Pending' AND attempts = %(attempts)s
"""
"""The effect failed: try again after `delay`, or give up."""

FORGET = """
DELETE FROM outbox WHERE id IN (
    SELECT id FROM outbox
    WHERE status = 'Done' AND finished_at < statement_timestamp() - make_interval(secs => %(older)s)
    LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
"""
"""Rows done long ago. Failed rows stay for a person to see."""


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A leased row. `attempts` counts this lease and is its fence."""

    id: int
    org_id: UUID
    kind: str
    payload: dict[str, Any]
    attempts: int


async def take(conn: Connection, *, limit: int, hold_seconds: float) -> list[OutboxRow]:
    """Lease due rows."""
    return await many(conn, OutboxRow, TAKE, {"limit": limit, "hold": hold_seconds})


async def finish(conn: Connection, row: OutboxRow) -> bool:
    """Mark `row` done; False if this lease of it was lost."""
    return (await conn.execute(FINISH, {"id": row.id, "attempts": row.attempts})).rowcount == 1


async def proceed(conn: Connection, row: OutboxRow) -> bool:
    """Give `row` back for its next step; False if this lease of it was lost."""
    return (await conn.execute(CONTINUE, {"id": row.id, "attempts": row.attempts})).rowcount == 1


async def fail(conn: Connection, row: OutboxRow, *, error: str, delay_seconds: float, final: bool) -> bool:
    """Record why the effect failed; False if this lease of `row` was lost."""
    parameters = {
        "id": row.id,
        "attempts": row.attempts,
        "error": error[:4096],
        "delay": delay_seconds,
        "final": final,
    }
    return (await conn.execute(FAIL, parameters)).rowcount == 1


async def forget(conn: Connection, *, older_seconds: float, limit: int) -> int:
    """Delete up to `limit` rows that were done longer ago than `older_seconds`."""
    return (await conn.execute(FORGET, {"older": older_seconds, "limit": limit})).rowcount
