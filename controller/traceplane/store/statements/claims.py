"""Claiming: Queued -> Running, for one job generation and any number of claimants at once.

Each claim is one statement and, in autocommit, one transaction; Postgres's clock decides every time. Claims of one
job from several workers are dealt out by one statement: `starts` holds the first row number of each claimant, and
`width_bucket` finds whose row is whose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from traceplane.store.engine import Connection
from traceplane.store.statements.previews import HELD_BACK
from traceplane.store.statements.runnable import RUNNABLE
from traceplane.store.statements.transitions import CLAIMED, SUPERSEDED
from traceplane_sdk.wire import ColdPartition

MAX_SUPERSEDED = 10_000
"""Older tasks that one claim of a PerUpdate job completes; what is left waits for the next claim."""

_LIVE = f"""
live AS MATERIALIZED (
    SELECT j.id, j.execution_strategy = 'PerUpdate' AS newest_only, d.max_concurrency, upper(j.preview) - 1 AS last,
           d.timeout_seconds, statement_timestamp() AS now,
           statement_timestamp() + make_interval(secs => d.heartbeat_timeout_seconds) AS lease_expires_at,
           statement_timestamp() + make_interval(secs => d.timeout_seconds) AS deadline_at
    FROM jobs j {RUNNABLE}
    WHERE j.id = %(job)s AND j.org_id = %(org)s
      AND j.provisioned_at IS NOT NULL  -- its hot tables exist
      AND NOT j.paused AND NOT {HELD_BACK}
)"""
"""The job generation and its limits, if it may run now."""

_CLAIMANT = """(%(claims)s::uuid[])[width_bucket(n, %(starts)s::int8[])] AS claim_id,
           (%(workers)s::text[])[width_bucket(n, %(starts)s::int8[])] AS worker_id"""
"""Whose the `n`-th task is."""

_CONTEXT = """
    -- On the first row only: it is the same for all, and from the same snapshot as the claim.
    CASE WHEN c.n = (SELECT min(n) FROM claimed) THEN (
        SELECT jsonb_build_object(
            'state', (SELECT jsonb_object_agg(s.key, s.value) FROM operator_state s WHERE s.job_id = l.id),
            'cursors', (SELECT jsonb_object_agg(k.dataset_version_id, k.cursor_value)
                        FROM dataset_cursors k WHERE k.job_id = l.id),
            'final', (SELECT jsonb_object_agg(f.dataset_version_id, f.final_value)
                      FROM job_inputs i JOIN dataset_finality f ON f.dataset_version_id = i.dataset_version_id
                      WHERE i.job_id = l.id),
            'relocated', (SELECT jsonb_agg(jsonb_build_array(
                                     m.hot, m.cold, lower(x), upper(x) - 1, m.location)
                                 ORDER BY m.hot, m.cold, lower(x))
                          FROM (
                              -- Of its inputs and of its own outputs, within what the claimed tasks can reach. A
                              -- range that several cold versions have is read from one: the job's own, which its
                              -- readers read already, then the newest.
                              SELECT r.hot_version_id AS hot, v.id AS cold, v.location,
                                     held.ranges - coalesce(range_agg(held.ranges) OVER (
                                         PARTITION BY r.hot_version_id
                                         ORDER BY (v.job_id = l.id) DESC, v.created_at DESC, v.id DESC
                                         ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), '{{}}') AS ranges
                              FROM (SELECT i.dataset_version_id AS id FROM job_inputs i WHERE i.job_id = l.id
                                    UNION SELECT o.id FROM dataset_versions o WHERE o.job_id = l.id) used
                              JOIN relocations r ON r.hot_version_id = used.id
                              JOIN dataset_versions v ON v.id = r.cold_version_id
                              CROSS JOIN LATERAL (SELECT r.ranges * {reach} AS ranges) held
                          ) m
                          CROSS JOIN LATERAL unnest(m.ranges) x))::text)
    END AS context"""
"""What the job's tasks read besides their own row."""

_ANSWER = """
SELECT l.newest_only OR l.max_concurrency IS NOT NULL AS limited, l.lease_expires_at, l.timeout_seconds::float8,
       c.n, c.id::text, c.attempt, c.lease_token::text, c.lease_epoch, c.cause, c.scope::text, c.queued_at,
       -- A released task keeps its queued_at, its place by age; it waits only since the attempt before ended.
       greatest(c.queued_at, CASE WHEN %(traced)s AND c.attempt > 1 THEN (
           SELECT a.finished_at FROM task_attempts a
           WHERE a.task_id = c.id AND a.attempt = c.attempt - 1) END) AS waits_since,
       CASE WHEN %(traced)s THEN (SELECT e.producer_task_id FROM events e WHERE e.id = c.event_id) END AS producer,
       l.now, {superseded} AS superseded, {context}
FROM live l LEFT JOIN claimed c ON true
ORDER BY c.n
"""

_RETURNING = """RETURNING d.n, t.id, t.attempt, t.lease_token, t.lease_epoch, t.cause, t.scope, t.queued_at,
              t.range_start, t.range_end, t.event_id"""

_CLAIM = f"""
WITH {_LIVE},
free AS (
    SELECT CASE
        WHEN l.newest_only THEN 0  -- claimed by CLAIM_NEWEST
        WHEN l.max_concurrency IS NULL THEN %(wanted)s::int8
        WHEN NOT %(alone)s::bool THEN 0  -- how many run may be counted under the job's claim lock only
        ELSE greatest(0, least(%(wanted)s::int8, l.max_concurrency - (
            SELECT count(*) FROM tasks r WHERE r.job_id = l.id AND r.status = 'Running')))
    END AS n
    FROM live l
),
picked AS (
    SELECT t.ctid AS place, t.id
    FROM tasks t
    WHERE t.job_id = (SELECT id FROM live) AND t.status = 'Queued' {{only}}
    ORDER BY t.priority, t.queued_at, t.id
    LIMIT coalesce((SELECT n FROM free), 0)
    FOR NO KEY UPDATE SKIP LOCKED
),
numbered AS MATERIALIZED (SELECT place, id, row_number() OVER () AS n FROM picked),
dealt AS MATERIALIZED (
    SELECT place, id, n, {_CLAIMANT}
    FROM numbered
),
claimed AS (
    UPDATE tasks t SET {CLAIMED}
    FROM dealt d, live l
    -- The array keeps the planner to a TID scan; a join by id alone would look each row up in the index. Each of
    -- the two conditions is the other's second guard: the rows are locked, so neither place nor id changes.
    WHERE t.ctid = ANY(ARRAY(SELECT place FROM dealt)) AND t.id = d.id
    {_RETURNING}
)
{{answer}}
"""

_HULL = """int8multirange(int8range(
                (SELECT min(h.range_start) FROM claimed h), (SELECT max(h.range_end) FROM claimed h), '[]'))"""

_LISTED = _ANSWER.format(superseded="0::int8", context=_CONTEXT.format(reach=_HULL))

CLAIM = _CLAIM.format(only="", answer=_LISTED)
"""Claim up to `wanted` queued tasks of a job, priority first, then age, for several claimants at once.

No row at all: the job may not run. A row without a task: nothing to claim; `limited` says that the job must be
claimed `alone`, that is under the job's claim lock, since how many it may run depends on what runs.
"""

CLAIM_TASK = _CLAIM.format(only="AND t.id = %(task)s", answer=_LISTED)
"""As CLAIM, of one named task."""

CLAIM_NEWEST = f"""
WITH {_LIVE},
picked AS (
    SELECT t.ctid AS place, t.id, 1::int8 AS n
    FROM tasks t
    WHERE t.job_id = (SELECT id FROM live) AND t.status = 'Queued'
      AND NOT EXISTS (SELECT FROM tasks r WHERE r.job_id = %(job)s AND r.status = 'Running')
    -- The claim's index read backwards. Bulk tasks of the job, if it changed priority, count as newest.
    ORDER BY t.priority DESC, t.queued_at DESC, t.id DESC
    LIMIT 1
    FOR NO KEY UPDATE SKIP LOCKED
),
dealt AS MATERIALIZED (
    SELECT place, id, n, {_CLAIMANT}
    FROM picked
),
upto AS (
    -- How far the run reads, per input: the furthest event. Its completion advances the cursors to exactly that.
    -- Of a preview it is the range's end, and `reach` says how far the input goes on past it.
    SELECT jsonb_object_agg(i.dataset_version_id, least(e.cursor_value, l.last)) AS spans,
           jsonb_object_agg(i.dataset_version_id, e.cursor_value) FILTER (WHERE e.cursor_value > l.last) AS reach
    FROM live l CROSS JOIN job_inputs i
    CROSS JOIN LATERAL (
        SELECT e.cursor_value FROM events e
        WHERE e.dataset_version_id = i.dataset_version_id AND e.cursor_value IS NOT NULL
        ORDER BY e.cursor_value DESC LIMIT 1
    ) e
    WHERE i.job_id = %(job)s
),
superseded AS (
    UPDATE tasks t SET {SUPERSEDED}
    WHERE t.ctid = ANY(ARRAY(
        SELECT o.ctid FROM tasks o
        WHERE o.job_id = (SELECT id FROM live) AND o.status = 'Queued'
          AND EXISTS (SELECT FROM picked)
          -- second guard: a row that `claimed` updated first is not updated again; but no order is promised.
          AND o.id NOT IN (SELECT id FROM picked)
        ORDER BY o.priority, o.queued_at, o.id
        LIMIT {MAX_SUPERSEDED}
        FOR NO KEY UPDATE SKIP LOCKED))
    RETURNING t.id
),
claimed AS (
    UPDATE tasks t SET {CLAIMED},
        scope = (t.scope - 'reach') || (
            SELECT jsonb_build_object('upto', coalesce(spans, '{{}}'::jsonb))
                   || CASE WHEN reach IS NULL THEN '{{}}'::jsonb ELSE jsonb_build_object('reach', reach) END
            FROM upto)
    FROM dealt d, live l
    -- As above, each is the other's second guard.
    WHERE t.ctid = ANY(ARRAY(SELECT place FROM dealt)) AND t.id = d.id
    {_RETURNING}
)
{
    _ANSWER.format(
        superseded="(SELECT count(*) FROM superseded)",
        context=_CONTEXT.format(reach="'{(,)}'::int8multirange"),
    )
}
"""
"""Claim the newest task of a PerUpdate job when none runs, and complete the older ones as Superseded: one run reads
everything past the cursor, so their work is done by it."""

CLAIM_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('trace.claim:' || %(job)s::text, 0))"
"""Serialise the claims of one limited job over all replicas, before the statement that counts what runs."""

TASK_JOB = "SELECT job_id FROM tasks WHERE id = %(task)s AND org_id = %(org)s"
"""The job generation of a task."""


@dataclass(frozen=True, slots=True)
class Claimant:
    """One worker's part in a coalesced claim: it gets up to `wanted` tasks under its own claim id."""

    claim_id: UUID
    worker_id: str
    wanted: int


class ClaimedRow(NamedTuple):
    """One task that a claim leased. `scope` is JSON text; `number` counts from 1 over all claimants. Ids are text,
    as the answer needs them: making and printing UUID objects would cost more than the rest of a row, and so would
    a frozen dataclass."""

    number: int
    task_id: str
    attempt: int
    lease_token: str
    lease_epoch: int
    cause: str
    scope: str
    queued_at: datetime
    waits_since: datetime
    """`queued_at` or, where the claim is `traced`, the end of the attempt before if that is later."""
    producer: UUID | None = None
    """The task whose event this one follows from, where the claim is `traced`."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """What one claim statement did. `context` is JSON text: state, cursors, finality and relocations of the job.

    `partitions` by cold version are those that the tasks read, looked up where something was relocated.
    """

    limited: bool
    rows: tuple[ClaimedRow, ...]
    lease_expires_at: datetime
    now: datetime
    timeout_seconds: float | None
    superseded: int
    context: str | None
    partitions: Mapping[str, Sequence[ColdPartition]] = field(default_factory=dict)


async def claim(
    conn: Connection,
    *,
    org_id: UUID,
    job_id: UUID,
    claimants: Sequence[Claimant],
    alone: bool,
    newest: bool,
    task_id: UUID | None = None,
    traced: bool = False,
) -> Claimed | None:
    """Claim for `claimants`, in order; None where the job may not run. `alone` takes the job's claim lock first."""
    starts, wanted = [], 0
    for claimant in claimants:
        starts.append(wanted + 1)
        wanted += claimant.wanted
    parameters = {
        "org": org_id,
        "job": job_id,
        "task": task_id,
        "wanted": wanted,
        "alone": alone,
        "traced": traced,
        "claims": [claimant.claim_id for claimant in claimants],
        "workers": [claimant.worker_id for claimant in claimants],
        "starts": starts,
    }
    statement = CLAIM_NEWEST if newest else CLAIM if task_id is None else CLAIM_TASK
    if not alone:
        rows = await (await conn.execute(statement, parameters)).fetchall()
    else:
        async with conn.pipeline(), conn.transaction():
            await conn.execute(CLAIM_LOCK, parameters)
            rows = await (await conn.execute(statement, parameters)).fetchall()
    if not rows:
        return None
    first = rows[0]
    return Claimed(
        limited=first[0],
        lease_expires_at=first[1],
        timeout_seconds=first[2],
        now=first[13],
        superseded=first[14],
        context=first[15],
        rows=tuple(ClaimedRow(*row[3:13]) for row in rows if row[3] is not None),
    )


async def job_of(conn: Connection, *, org_id: UUID, task_id: UUID) -> UUID | None:
    """The job generation of a task, or None for an unknown task."""
    row = await (await conn.execute(TASK_JOB, {"org": org_id, "task": task_id})).fetchone()
    return None if row is None else row[0]
