"""Accepting what is reported while work goes on: events and invalidations, from a running task or from data.

Both ways end in one shape: insert by an id that the producer chose, do nothing the second time, and make the tasks
of what is new in the same statement (`enqueue`). A running task is fenced here like any other call; a row relayed
from **data** was fenced there, by the write fence of the transaction that wrote it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from traceplane.store.documents import document
from traceplane.store.engine import Connection
from traceplane.store.statements.enqueue import ENQUEUED, WANTED_OF_ACCEPTED
from traceplane.store.statements.transitions import HELD

ACCEPTED = """
accepted AS (
    INSERT INTO events (id, org_id, dataset_id, dataset_version_id, kind, cursor_value, partition_key, range_start,
                        range_end, producer_task_id)
    SELECT r.id, r.org_id, r.dataset_id, r.dataset_version_id,
           CASE WHEN r.partition_key IS NULL THEN 'Cursor' ELSE 'Partition' END,
           coalesce(r.cursor_value, r.range_end),  -- a partition counts as a cursor at its end
           r.partition_key, r.range_start, r.range_end, r.task_id
    FROM reported_events r
    ON CONFLICT (id) DO NOTHING
    RETURNING *
)"""
"""Insert the events of `reported_events`; only those that are new go on."""

RAISED = """
known AS (
    -- Never past the cursor: what is final but not written yet is nobody's to read.
    SELECT e.dataset_version_id, e.org_id, max(least(r.final, e.cursor_value)) AS final
    FROM accepted e JOIN reported_events r ON r.id = e.id
    WHERE r.final IS NOT NULL
    GROUP BY e.dataset_version_id, e.org_id
),
raised AS (
    INSERT INTO dataset_finality AS f (dataset_version_id, org_id, final_value)
    SELECT dataset_version_id, org_id, final FROM known
    -- Events come in any order, and a source may know less after a restart: it never goes back by itself.
    ON CONFLICT (dataset_version_id) DO UPDATE
        SET final_value = excluded.final_value, updated_at = statement_timestamp()
        WHERE f.final_value < excluded.final_value
)"""
"""How far datasets are final, by the events of `accepted`."""

_RAISED_OR_LOWERED = """
said AS (
    SELECT e.dataset_version_id, e.org_id, r.place, least(r.final, e.cursor_value) AS final, NULL::int8 AS below
    FROM accepted e JOIN reported_events r ON r.id = e.id
    WHERE r.final IS NOT NULL
    UNION ALL
    SELECT i.dataset_version_id, i.org_id, r.place, NULL, i.range_start - 1
    FROM invalidated i JOIN reported_invalidations r ON r.id = i.id
),
known AS (
    -- Each event raises and each invalidation lowers, in the order in which they were written: so what an event
    -- says holds as far as no later invalidation goes below it.
    SELECT dataset_version_id, org_id, max(least(final, later)) FILTER (WHERE final IS NOT NULL) AS final,
           min(below) AS below
    FROM (SELECT *, min(below) OVER (PARTITION BY dataset_version_id ORDER BY place
                                     ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING) AS later FROM said) s
    GROUP BY dataset_version_id, org_id
),
raised AS (
    INSERT INTO dataset_finality AS f (dataset_version_id, org_id, final_value)
    SELECT dataset_version_id, org_id, final FROM known WHERE final IS NOT NULL
    -- Events come in any order, and a source may know less after a restart: it never goes back by itself.
    ON CONFLICT (dataset_version_id) DO UPDATE
        SET updated_at = statement_timestamp(), final_value = greatest(excluded.final_value, least(f.final_value, (
            SELECT k.below FROM known k WHERE k.dataset_version_id = f.dataset_version_id)))
        WHERE f.final_value < excluded.final_value OR EXISTS (
            SELECT FROM known k WHERE k.dataset_version_id = f.dataset_version_id AND k.below < f.final_value)
),
lowered AS (
    -- Only rows that `raised` leaves alone: a statement changes a row once.
    UPDATE dataset_finality f SET final_value = k.below, updated_at = statement_timestamp()
    FROM known k
    WHERE f.dataset_version_id = k.dataset_version_id AND k.final IS NULL AND k.below < f.final_value
)"""
"""The same, and what was rewritten is final no more, until the source says so again."""

_INVALIDATED = """
invalidated AS (
    INSERT INTO data_invalidations (id, org_id, dataset_id, dataset_version_id, kind, range_start, range_end,
                                    time_start, time_end, reason, detail)
    SELECT id, org_id, dataset_id, dataset_version_id, 'Rows', start, "end", time_start, time_end, reason, detail
    FROM reported_invalidations
    ON CONFLICT (id) DO NOTHING
    RETURNING id, org_id, dataset_version_id, range_start
)"""

_COUNTS = """
SELECT {known}, (SELECT count(*) FROM accepted), (SELECT count(*) FROM invalidated),
       (SELECT coalesce(array_agg(DISTINCT job_id), '{{}}') FROM enqueued)
"""

REPORT = f"""
WITH held AS MATERIALIZED (
    SELECT t.id, t.job_id
    FROM (SELECT %(attempt)s::int4 AS attempt, %(token)s::uuid AS lease_token, %(claim)s::uuid AS claim_id) x
    JOIN tasks t ON t.id = %(task)s AND {HELD}
    FOR SHARE OF t  -- keeps the lease as it is until commit
),
reported_events AS (
    SELECT x.id, v.org_id, v.dataset_id, v.id AS dataset_version_id, x.cursor AS cursor_value,
           x.key AS partition_key, x.start AS range_start, x."end" AS range_end, x.final, x.place, h.id AS task_id
    FROM jsonb_to_recordset(%(events)s::jsonb)
        AS x(place int4, id uuid, output text, cursor int8, key text, start int8, "end" int8, final int8)
    CROSS JOIN held h
    JOIN dataset_versions v ON v.job_id = h.job_id
    JOIN datasets o ON o.id = v.dataset_id AND o.output = x.output
),
{ACCEPTED},
{WANTED_OF_ACCEPTED},
{ENQUEUED},
reported_invalidations AS (
    SELECT x.*, v.org_id, v.dataset_id, v.id AS dataset_version_id
    FROM jsonb_to_recordset(%(invalidations)s::jsonb)
        AS x(place int4, id uuid, output text, start int8, "end" int8, time_start timestamptz,
             time_end timestamptz, reason text, detail jsonb)
    CROSS JOIN held h
    JOIN dataset_versions v ON v.job_id = h.job_id
    JOIN datasets o ON o.id = v.dataset_id AND o.output = x.output
),
{_INVALIDATED},
{_RAISED_OR_LOWERED}
{_COUNTS.format(known="(SELECT count(*) FROM held)")}
"""
"""Accept events and invalidations of one running task. A report says nothing of their order: its invalidations
count as the later ones."""

RELAY = f"""
WITH reported_events AS (
    SELECT x.id, v.org_id, v.dataset_id, v.id AS dataset_version_id, x.cursor AS cursor_value,
           x.key AS partition_key, x.start AS range_start, x."end" AS range_end, x.final, x.place, x.task_id
    FROM jsonb_to_recordset(%(events)s::jsonb)
        AS x(place int4, id uuid, version uuid, task_id uuid, cursor int8, key text, start int8, "end" int8,
             final int8)
    JOIN dataset_versions v ON v.id = x.version
),
{ACCEPTED},
{WANTED_OF_ACCEPTED},
{ENQUEUED},
reported_invalidations AS (
    SELECT x.*, v.org_id, v.dataset_id, v.id AS dataset_version_id
    FROM jsonb_to_recordset(%(invalidations)s::jsonb)
        AS x(place int4, id uuid, version uuid, start int8, "end" int8, time_start timestamptz,
             time_end timestamptz, reason text, detail jsonb)
    JOIN dataset_versions v ON v.id = x.version
),
{_INVALIDATED},
{_RAISED_OR_LOWERED}
{_COUNTS.format(known="(SELECT count(*) FROM reported_events) + (SELECT count(*) FROM reported_invalidations)")}
"""
"""Accept rows of the source outbox, in any order and any number of times. `place` is their order in the outbox."""

FORGET = """
WITH deleted_events AS (
    DELETE FROM events WHERE id IN (
        SELECT e.id FROM events e
        WHERE e.kind = 'Cursor' AND e.created_at < statement_timestamp() - make_interval(secs => %(older)s)
          -- Its task may still run, or wait to.
          AND NOT EXISTS (SELECT FROM tasks t WHERE t.event_id = e.id AND t.finished_at IS NULL)
          -- Never the furthest of a dataset version: it says how far a PerUpdate job has to read.
          AND EXISTS (SELECT FROM events n WHERE n.dataset_version_id = e.dataset_version_id
                        AND n.cursor_value > e.cursor_value)
        ORDER BY e.created_at LIMIT %(limit)s
        FOR UPDATE SKIP LOCKED)
    RETURNING id, dataset_version_id
),
deleted_tasks AS (
    DELETE FROM tasks t USING deleted_events g JOIN job_inputs i ON i.dataset_version_id = g.dataset_version_id
    WHERE t.dedupe_key = 'event:' || g.id AND t.status IN ('Completed', 'Canceled')
      AND t.job_id = i.job_id  -- second guard: no other job has a task of this event; it finds the index
    RETURNING t.id
)
SELECT (SELECT count(*) FROM deleted_events), (SELECT count(*) FROM deleted_tasks)
"""
"""Old events of cursors, with the finished tasks that they caused and the attempts of these.

Never an event of a partition: a job that joins later finds by them what there is to do. Dead tasks stay for a
person to see.
"""


@dataclass(frozen=True, slots=True)
class Accepted:
    """What an accepting statement found and did.

    `known`: of a report, 1 if the lease holds; of a relay, rows whose dataset version exists.
    """

    known: int
    events: int
    invalidations: int
    enqueued: frozenset[UUID]
    """Job generations that got tasks."""


async def report(
    conn: Connection,
    *,
    org_id: UUID,
    fence: dict[str, object],
    events: Sequence[dict[str, object]],
    invalidations: Sequence[dict[str, object]],
) -> Accepted:
    """Accept what a running task reports. `fence` has task, attempt, token, claim."""
    placed = [[{**one, "place": place} for one in given] for place, given in enumerate((events, invalidations))]
    return await _accept(conn, REPORT, {"org": org_id, **fence}, *placed)


async def relay(
    conn: Connection, *, events: Sequence[dict[str, object]], invalidations: Sequence[dict[str, object]]
) -> Accepted:
    """Accept rows relayed from data; `place` of each is its order among all of them."""
    return await _accept(conn, RELAY, {}, events, invalidations)


async def forget(conn: Connection, *, older_seconds: float, limit: int) -> int:
    """Delete up to `limit` old events and the finished tasks they caused; how many rows of either went."""
    row = await (await conn.execute(FORGET, {"older": older_seconds, "limit": limit})).fetchone()
    return sum(row) if row else 0


async def _accept(
    conn: Connection,
    statement: str,
    parameters: dict[str, object],
    events: Sequence[dict[str, object]],
    invalidations: Sequence[dict[str, object]],
) -> Accepted:
    documents = {"events": document(events), "invalidations": document(invalidations)}
    row = await (await conn.execute(statement, {**parameters, **documents})).fetchone()
    assert row is not None
    return Accepted(row[0], row[1], row[2], frozenset(row[3]))
