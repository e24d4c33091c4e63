"""Making tasks. Every cause of a task goes through the one INSERT of this module.

A statement selects what is `wanted`, and `enqueued` makes it so: one task per job generation and dedupe key, so
that a repeated cause makes no second task. To add a cause, write its `wanted`; everything else is here.

One upstream event makes one task per dependent job generation, in the same statement that accepts the event. The
dedupe key is the event's id, which its producer chose and a repeat has again. Events of dataset versions that no
runnable generation reads are kept for audit and make none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from traceplane.store.documents import document
from traceplane.store.engine import Connection
from traceplane.store.rows import column
from traceplane.store.statements.pointers import DagKey
from traceplane.store.statements.previews import WANTS
from traceplane.store.statements.runnable import RUNNABLE
from traceplane.store.statements.transitions import REOPENED, WAITS

_ENQUEUED = """
enqueued AS (
    INSERT INTO tasks AS t (org_id, namespace, job_id, dedupe_key, cause, max_attempts, priority, scope,
                            range_start, range_end, event_id, queued_at)
    SELECT w.org_id, w.namespace, w.job_id, w.dedupe_key, w.cause, w.max_attempts, w.priority, w.scope,
           w.range_start, w.range_end, w.event_id, statement_timestamp()
    FROM wanted w
    ON CONFLICT (job_id, dedupe_key) {on_conflict}
    RETURNING t.id, t.job_id
)"""

ENQUEUED = _ENQUEUED.format(on_conflict="DO NOTHING")
"""Make the tasks of `wanted`; those that exist stay as they are. Its rows are the jobs that got tasks."""

_AGAIN = f"""DO UPDATE SET {REOPENED}, priority = excluded.priority,
        max_attempts = t.attempt + excluded.max_attempts  -- all of its job's attempts before it again
    WHERE t.status = 'Canceled'"""

_ENQUEUED_AGAIN = _ENQUEUED.format(on_conflict=_AGAIN)
"""The same, and those that were canceled are wanted again."""

_ENQUEUED_FURTHER = _ENQUEUED.format(on_conflict=_AGAIN.replace("= 'Canceled'", "IN ('Canceled', 'Completed')"))
"""The same, and those that were completed short of what they are about, as a preview makes them."""

_WANTED_OF_EVENT = """
    SELECT j.org_id, j.namespace, j.id AS job_id, 'event:' || e.id AS dedupe_key, 'Event' AS cause,
           d.max_attempts, d.priority,
           CASE j.execution_strategy
               WHEN 'PerPartition' THEN jsonb_build_object(
                   'kind', 'partition', 'key', e.partition_key, 'start', e.range_start, 'end', e.range_end)
               ELSE jsonb_build_object('kind', 'cursor', 'cursor', e.cursor_value)
           END AS scope,
           CASE j.execution_strategy WHEN 'PerPartition' THEN e.range_start END AS range_start,
           CASE j.execution_strategy WHEN 'PerPartition' THEN e.range_end END AS range_end,
           e.id AS event_id"""
"""What an event `e` asks of a job `j` that may run as `d` says."""

WANTED_OF_ACCEPTED = f"""
wanted AS ({_WANTED_OF_EVENT}
    FROM accepted e
    JOIN job_inputs i ON i.dataset_version_id = e.dataset_version_id AND i.is_trigger
    JOIN jobs j ON j.id = i.job_id {RUNNABLE}
    WHERE (j.execution_strategy = 'PerUpdate' OR e.kind = 'Partition') AND {WANTS}
)"""
"""A task for every runnable generation that an event of `accepted` (`events`) triggers."""

MISSED_EVENTS = f"""
WITH back AS (
    SELECT j.id, j.execution_strategy,
           -- While it ran, each event made its task; but one that raced with its leaving may have seen it gone.
           coalesce(j.left_at - interval '10 minutes', '-infinity') AS since
    FROM jobs j WHERE j.id = ANY(%(jobs)s)
),
fresh AS MATERIALIZED (
    -- Read once, however many jobs read the same dataset.
    SELECT e.* FROM events e
    WHERE e.kind = 'Partition' AND e.created_at >= (SELECT min(since) FROM back)
      AND e.dataset_version_id IN (
          SELECT i.dataset_version_id FROM back b JOIN job_inputs i ON i.job_id = b.id AND i.is_trigger
          WHERE b.execution_strategy = 'PerPartition')
),
missed AS (
    SELECT b.id AS job_id, e.*
    FROM back b
    JOIN job_inputs i ON i.job_id = b.id AND i.is_trigger
    JOIN fresh e ON e.dataset_version_id = i.dataset_version_id AND e.created_at >= b.since
    WHERE b.execution_strategy = 'PerPartition'
    UNION ALL
    -- What was canceled when it was left; later ones are above.
    SELECT b.id, e.*
    FROM back b
    JOIN tasks t ON t.job_id = b.id AND t.status = 'Canceled'
    JOIN events e ON e.id = t.event_id AND e.created_at < b.since
    WHERE b.execution_strategy = 'PerPartition'
    UNION ALL
    -- Of a cursor the furthest event alone, since one run reads everything past its cursor.
    SELECT b.id, e.*
    FROM back b
    JOIN job_inputs i ON i.job_id = b.id AND i.is_trigger
    CROSS JOIN LATERAL (
        SELECT * FROM events WHERE dataset_version_id = i.dataset_version_id AND cursor_value IS NOT NULL
        ORDER BY cursor_value DESC LIMIT 1) e
    WHERE b.execution_strategy = 'PerUpdate'
),
wanted AS ({_WANTED_OF_EVENT}
    FROM missed e
    JOIN jobs j ON j.id = e.job_id {RUNNABLE}
    -- A conflict would lock the row of each task that is done.
    WHERE {WANTS} AND NOT EXISTS (
        SELECT FROM tasks t
        WHERE t.job_id = e.job_id AND t.dedupe_key = 'event:' || e.id AND t.status <> 'Canceled'
          -- The end of a preview keeps a run from the event's cursor: what lies between is missing as well.
          AND NOT (t.status = 'Completed' AND j.execution_strategy = 'PerUpdate' AND EXISTS (
              SELECT FROM dataset_cursors k WHERE k.job_id = j.id
                AND k.dataset_version_id = e.dataset_version_id AND k.cursor_value < e.cursor_value)))
),
{_ENQUEUED_FURTHER}
SELECT DISTINCT job_id FROM enqueued
"""
"""Catch up on events accepted while a generation was not current; tasks canceled meanwhile are taken up again."""

MISSED_LATELY = f"""
WITH moved AS (
    -- Longer than any transaction that moves a pointer; nothing to look for long after it.
    SELECT greatest(c.staged_at, v.activated_at) - interval '5 minutes' AS since
    FROM dag_current_versions c LEFT JOIN dag_versions v ON v.id = c.active_version_id
    WHERE c.org_id = %(org)s AND c.namespace = %(namespace)s AND c.dag = %(dag)s
      AND greatest(c.staged_at, v.activated_at) > statement_timestamp() - interval '10 minutes'
),
fresh AS MATERIALIZED (
    -- Read once, however many jobs read the same dataset.
    SELECT e.* FROM moved JOIN events e ON e.created_at >= moved.since
    WHERE e.dataset_version_id IN (
        SELECT i.dataset_version_id FROM job_inputs i WHERE i.job_id = ANY(%(jobs)s) AND i.is_trigger)
),
wanted AS ({_WANTED_OF_EVENT}
    FROM fresh e
    JOIN job_inputs i ON i.dataset_version_id = e.dataset_version_id AND i.is_trigger
    JOIN jobs j ON j.id = i.job_id {RUNNABLE}
    WHERE j.id = ANY(%(jobs)s) AND {WANTS}
      AND CASE j.execution_strategy WHEN 'PerPartition' THEN e.kind = 'Partition' ELSE NOT EXISTS (
          SELECT FROM events n
          WHERE n.dataset_version_id = e.dataset_version_id AND n.cursor_value > e.cursor_value) END
      AND NOT EXISTS (SELECT FROM tasks t WHERE t.job_id = j.id AND t.dedupe_key = 'event:' || e.id)
),
{ENQUEUED}
SELECT DISTINCT job_id FROM enqueued
"""
"""Events that were accepted while a pointer moved, and saw it where it was; of a cursor the furthest alone."""

SOURCES = f"""
WITH wanted AS (
    SELECT j.org_id, j.namespace, j.id AS job_id, 'source' AS dedupe_key, 'Source' AS cause,
           NULL::int4 AS max_attempts,  -- a source is restarted for as long as its DAG wants it
           d.priority, '{{"kind": "source"}}'::jsonb AS scope, NULL::int8 AS range_start, NULL::int8 AS range_end,
           NULL::uuid AS event_id
    FROM jobs j {RUNNABLE}
    WHERE j.id = ANY(%(jobs)s) AND j.activation = 'Source'
),
{_ENQUEUED_AGAIN}
SELECT DISTINCT job_id FROM enqueued
"""
"""The one task of each AlwaysOn source: its run. A source that was canceled with its DAG runs again with it."""

ONE = f"""
WITH wanted AS (
    SELECT j.org_id, j.namespace, j.id AS job_id, %(dedupe_key)s::text AS dedupe_key, 'Manual' AS cause,
           d.max_attempts, d.priority, %(scope)s::jsonb AS scope, NULL::int8 AS range_start,
           NULL::int8 AS range_end, NULL::uuid AS event_id
    FROM jobs j {RUNNABLE}
    WHERE j.id = %(job)s
),
{ENQUEUED}
SELECT id FROM enqueued
"""
"""One task that nothing upstream asks for: a refresh of an external asset."""

REPRIORITISE = f"""
UPDATE tasks t SET priority = v.priority
FROM dag_version_jobs v
WHERE v.dag_version_id = %(version)s AND t.job_id = v.job_id AND {WAITS} AND t.priority <> v.priority
"""
"""Waiting tasks follow the new priority of their job."""


async def missed_events(conn: Connection, *, job_ids: Sequence[UUID]) -> tuple[UUID, ...]:
    """Make the tasks that generations missed while they were not current; the generations that got any."""
    return await _jobs(conn, MISSED_EVENTS, job_ids)


async def missed_lately(conn: Connection, dag: DagKey, *, job_ids: Sequence[UUID]) -> tuple[UUID, ...]:
    """Make the tasks of events that raced with a change of the DAG's pointers; the generations that got any."""
    return tuple(await column(conn, MISSED_LATELY, dag.parameters | {"jobs": list(job_ids)}))


async def sources(conn: Connection, *, job_ids: Sequence[UUID]) -> tuple[UUID, ...]:
    """Make the task of each source among runnable generations; those whose task is new or queued again."""
    return await _jobs(conn, SOURCES, job_ids)


async def one(conn: Connection, *, job_id: UUID, dedupe_key: str, scope: Mapping[str, Any]) -> UUID:
    """Make a task of a runnable generation, of this scope; its id."""
    asked = {"job": job_id, "dedupe_key": dedupe_key, "scope": document(scope)}
    made: list[UUID] = await column(conn, ONE, asked)
    return made[0]


async def reprioritise(conn: Connection, *, version_id: UUID) -> None:
    """Give tasks that wait the priority that a DAG version says."""
    await conn.execute(REPRIORITISE, {"version": version_id})


async def _jobs(conn: Connection, statement: str, job_ids: Sequence[UUID]) -> tuple[UUID, ...]:
    return tuple(await column(conn, statement, {"jobs": list(job_ids)}))
