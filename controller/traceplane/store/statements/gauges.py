"""The state of the queue in numbers, for metrics: one statement over partial indexes, never over history."""

from __future__ import annotations

from dataclasses import dataclass

from traceplane.store.engine import Connection

QUEUE = """
SELECT (SELECT count(*) FROM tasks WHERE status = 'Queued'),
       (SELECT count(*) FROM tasks WHERE status = 'Running'),
       (SELECT count(*) FROM tasks WHERE status = 'Failed' AND next_retry_at IS NOT NULL),
       (SELECT count(*) FROM tasks WHERE status = 'Failed' AND next_retry_at IS NULL),
       (SELECT coalesce(extract(epoch FROM statement_timestamp() - min(queued_at)), 0)::float8
        FROM tasks WHERE status = 'Queued'),
       (SELECT coalesce(extract(epoch FROM statement_timestamp() - min(next_retry_at)), 0)::float8
        FROM tasks WHERE status = 'Failed' AND next_retry_at <= statement_timestamp()),
       -- Negative where a lease expired and the reaper has not ended its attempt yet.
       (SELECT coalesce(extract(epoch FROM min(lease_expires_at) - statement_timestamp()), 0)::float8
        FROM tasks WHERE status = 'Running'),
       (SELECT count(*) FROM outbox WHERE status = 'Pending' AND available_at <= statement_timestamp()),
       (SELECT coalesce(extract(epoch FROM statement_timestamp() - min(available_at)), 0)::float8
        FROM outbox WHERE status = 'Pending' AND available_at <= statement_timestamp()),
       (SELECT count(*) FROM outbox WHERE status = 'Failed'),
       -- By the row's own time: a restarted dispatcher knows of no earlier count to compare with.
       (SELECT count(*) FROM outbox
        WHERE status = 'Failed' AND finished_at > statement_timestamp() - interval '1 hour')
"""
"""Counts and ages; ages in seconds, 0 where there is nothing."""


@dataclass(frozen=True, slots=True)
class Queue:
    """Counts of tasks and outbox rows; times in seconds."""

    queued: int
    running: int
    retrying: int
    dead: int
    oldest_queued: float
    retry_overdue: float
    next_expiry: float
    outbox_due: int
    outbox_oldest: float
    outbox_failed: int
    outbox_failed_lately: int


async def queue(conn: Connection) -> Queue:
    """The queue as it stands."""
    row = await (await conn.execute(QUEUE)).fetchone()
    assert row is not None
    return Queue(*row)
