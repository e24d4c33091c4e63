"""Completing attempts: the statement in which work becomes fact.

The fence is in the join of the update, and everything else hangs on the rows that this update returns (`ended`):
what is stale changes nothing. History, cursors, operator state, committed partitions, relocations, events with the
tasks they cause, and outbox rows are CTEs of the one statement, so a crash leaves all of it or none.

Most completions have few of these parts, and each CTE costs time at start; so the statement is put together from
the parts a batch needs. There are few combinations, and each is prepared once per connection.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import NamedTuple
from uuid import UUID

from traceplane.store.documents import document
from traceplane.store.engine import Connection
from traceplane.store.statements.enqueue import ENQUEUED, WANTED_OF_ACCEPTED
from traceplane.store.statements.events import ACCEPTED, RAISED
from traceplane.store.statements.partitions import COMMITTED, RELOCATED
from traceplane.store.statements.transitions import ENDED, HELD, HISTORY
from traceplane.tasks.retries import RetryPolicy

_CORE = f"""
WITH item AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset(%(items)s::jsonb)
        AS x(task_id uuid, attempt int4, lease_token uuid, claim_id uuid, status text, error jsonb, outputs jsonb,
             state jsonb)
),
ended AS (
    UPDATE tasks t SET {ENDED}, outputs = x.outputs
    FROM item x
    WHERE t.id = x.task_id AND {HELD}
    RETURNING t.id, t.org_id, t.job_id, t.attempt, t.status, t.status AS result, t.worker_id, t.lease_epoch,
              t.lease_token, t.started_at, t.error, t.scope, t.range_start, t.range_end, x.state
),
{HISTORY}"""

_CURSORS = """
advanced_cursors AS (
    INSERT INTO dataset_cursors (dataset_version_id, job_id, org_id, dataset_id, cursor_column, cursor_value)
    SELECT v.id, d.job_id, d.org_id, v.dataset_id, v.scope_column, u.value::int8
    FROM ended d
    -- The consumer has read up to what its claim pinned, and no further.
    CROSS JOIN LATERAL jsonb_each_text(d.scope -> 'upto') u
    JOIN dataset_versions v ON v.id = u.key::uuid
    WHERE d.status = 'Completed'
    ON CONFLICT (dataset_version_id, job_id) DO UPDATE
        -- A completion that comes late never moves the cursor back.
        SET cursor_value = greatest(dataset_cursors.cursor_value, excluded.cursor_value),
            updated_at = statement_timestamp()
)"""

_STATE = """
saved_state AS (
    INSERT INTO operator_state (job_id, key, org_id, value, task_id)
    -- Of several attempts of a batch that saved one key, the one that was claimed last counts.
    SELECT DISTINCT ON (d.job_id, s.key) d.job_id, s.key, d.org_id, s.value, d.id
    FROM ended d CROSS JOIN LATERAL jsonb_each(d.state) s
    WHERE d.status = 'Completed'
    ORDER BY d.job_id, s.key, d.lease_epoch DESC
    ON CONFLICT (job_id, key) DO UPDATE
        SET value = excluded.value, task_id = excluded.task_id, updated_at = statement_timestamp()
)"""

_REPORTED = """
reported_events AS (
    SELECT x.id, v.org_id, v.dataset_id, v.id AS dataset_version_id, x.cursor AS cursor_value,
           x.key AS partition_key, x.start AS range_start, x."end" AS range_end, x.final, d.id AS task_id
    FROM jsonb_to_recordset(%(events)s::jsonb)
        AS x(id uuid, task_id uuid, output text, cursor int8, key text, start int8, "end" int8, final int8)
    JOIN ended d ON d.id = x.task_id AND d.status = 'Completed'
    JOIN dataset_versions v ON v.job_id = d.job_id
    JOIN datasets o ON o.id = v.dataset_id AND o.output = x.output
)"""

SETTLED = """
SELECT x.task_id::text, a.result
FROM jsonb_to_recordset(%(items)s::jsonb) AS x(task_id uuid, attempt int4, lease_token uuid, status text)
JOIN task_attempts a ON a.task_id = x.task_id AND a.attempt = x.attempt AND a.lease_token = x.lease_token
WHERE a.org_id = %(org)s AND (a.result = x.status OR (a.result = 'Canceled' AND x.status IN ('Failed', 'Released')))
"""
"""Which of these completions were accepted before: the answer to a repeat. In a snapshot of its own, since the
first delivery may have committed while this one waited for the row."""

STATE_SIZE = """
SELECT coalesce(sum(octet_length(key) + octet_length(value::text)), 0)::int8
FROM operator_state WHERE job_id = %(job)s AND key <> ALL(%(keys)s::text[])
"""
"""Bytes of a job's operator state besides the named keys."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Which optional parts a batch of completions needs."""

    cursors: bool = False
    state: bool = False
    commits: bool = False
    relocations: bool = False
    events: bool = False
    finality: bool = False
    traced: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """Unpacked completions, each list ready for JSON. Every task at most once in `items`."""

    items: Sequence[dict[str, object]]
    events: Sequence[dict[str, object]] = ()
    commits: Sequence[dict[str, object]] = ()
    relocations: Sequence[dict[str, object]] = ()
    cursors: bool = True
    """False where no task of the batch belongs to a PerUpdate job."""
    traced: bool = False


class Accepted(NamedTuple):
    """One accepted completion; what follows `status` is asked of a batch that is `traced`."""

    task_id: str
    job_id: UUID
    status: str
    attempt: int = 0
    started_at: datetime | None = None
    ended_at: datetime | None = None
    code: str | None = None

    @property
    def result(self) -> str:
        """How the attempt ended, which is how its task did."""
        return self.status


@cache
def statement(parts: Parts) -> str:
    """The completing statement with the given parts."""
    ctes = [_CORE]
    if parts.cursors:
        ctes.append(_CURSORS)
    if parts.state:
        ctes.append(_STATE)
    if parts.commits:
        ctes.append(COMMITTED)
    if parts.relocations:
        ctes.append(RELOCATED)
    enqueued = "'{}'::uuid[]"
    if parts.events:
        ctes += [_REPORTED, ACCEPTED, WANTED_OF_ACCEPTED, ENQUEUED]
        if parts.finality:
            ctes.append(RAISED)
        enqueued = "(SELECT coalesce(array_agg(DISTINCT job_id), '{}') FROM enqueued)"
    times = ", attempt, started_at, statement_timestamp(), error ->> 'code'" if parts.traced else ""
    return ",".join(ctes) + f"\nSELECT {enqueued}, id::text, job_id, status{times} FROM ended"


async def complete(
    conn: Connection, *, org_id: UUID, batch: Batch, retry: RetryPolicy, keep_hot_seconds: float
) -> tuple[tuple[Accepted, ...], frozenset[UUID]]:
    """Accept what the fence admits; the accepted completions, and the job generations that got new tasks."""
    parts = Parts(
        cursors=batch.cursors,
        state=any(item.get("state") for item in batch.items),
        commits=bool(batch.commits),
        relocations=bool(batch.relocations),
        events=bool(batch.events),
        finality=any(event.get("final") is not None for event in batch.events),
        traced=batch.traced,
    )
    parameters = {
        "org": org_id,
        "items": document(sorted(batch.items, key=lambda item: str(item["task_id"]))),
        "events": document(batch.events),
        "commits": document(batch.commits),
        "relocations": document(batch.relocations),
        "keep_hot": keep_hot_seconds,
        **retry.parameters(),
    }
    rows = await (await conn.execute(statement(parts), parameters)).fetchall()
    return tuple(Accepted(*row[1:]) for row in rows), frozenset(rows[0][0]) if rows else frozenset()


async def settled(conn: Connection, *, org_id: UUID, items: Sequence[dict[str, object]]) -> dict[str, str]:
    """Result of each of `items` (task_id, attempt, lease_token, status) that was accepted before."""
    rows = await (await conn.execute(SETTLED, {"org": org_id, "items": document(items)})).fetchall()
    return {row[0]: row[1] for row in rows}


async def state_size(conn: Connection, *, job_id: UUID, besides: Sequence[str]) -> int:
    """Bytes of a job's operator state in other keys than `besides`."""
    row = await (await conn.execute(STATE_SIZE, {"job": job_id, "keys": list(besides)})).fetchone()
    return int(row[0]) if row else 0
