"""How far a staged version is, and what an active one has still to catch up on.

One statement looks at the generations that a staged version has and the active one has not, each beside its
namesake of the active version: what the running version lags by is what the new one may lag by.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from traceplane.store.engine import Connection
from traceplane.store.rows import named

_UNFINISHED = """
    -- By the time of what caused it: when a task was queued says nothing of how long there was something to do.
    SELECT count(*) AS unfinished,
           extract(epoch FROM statement_timestamp()
                   - min(coalesce(e.created_at, waiting.queued_at)))::float8 AS oldest
    FROM (  -- UNION ALL: so the planner answers each from the partial index of that status.
        SELECT event_id, queued_at FROM tasks WHERE job_id = {job} AND status = 'Queued'
        UNION ALL SELECT event_id, queued_at FROM tasks WHERE job_id = {job} AND status = 'Running'
        UNION ALL SELECT event_id, queued_at FROM tasks
                  WHERE job_id = {job} AND status = 'Failed' AND finished_at IS NULL
    ) waiting LEFT JOIN events e ON e.id = waiting.event_id"""

_POSITION = """
    SELECT max(furthest.cursor_value) AS position
    FROM dataset_versions v CROSS JOIN LATERAL (
        SELECT e.cursor_value FROM events e
        WHERE e.dataset_version_id = v.id AND e.cursor_value IS NOT NULL
          AND e.created_at <= statement_timestamp() - make_interval(secs => {ago})
        ORDER BY e.cursor_value DESC LIMIT 1
    ) furthest
    WHERE v.job_id = {job}"""

DEAD = """
    SELECT count(*) AS dead, (array_agg(error ORDER BY finished_at DESC))[1] AS error
    FROM tasks WHERE job_id = j.id AND status = 'Failed' AND finished_at IS NOT NULL"""
"""The tasks of a job `j` that failed for good, and the error of the last one."""

_SHORT = """
    j.preview IS NOT NULL AND j.execution_strategy = 'PerUpdate' AND EXISTS (
        SELECT FROM job_inputs i
        JOIN dataset_versions v ON v.id = i.dataset_version_id
        CROSS JOIN LATERAL (
            SELECT e.cursor_value FROM events e
            WHERE e.dataset_version_id = v.id AND e.cursor_value IS NOT NULL
            ORDER BY e.cursor_value DESC LIMIT 1) furthest
        LEFT JOIN dataset_cursors k ON k.job_id = j.id AND k.dataset_version_id = v.id
        LEFT JOIN dataset_finality f ON f.dataset_version_id = v.id
        LEFT JOIN LATERAL (
            SELECT e.range_start, e.range_end FROM dataset_versions o JOIN events e ON e.dataset_version_id = o.id
            WHERE o.job_id = j.id AND e.kind = 'Partition' AND e.cursor_value IS NOT NULL
            ORDER BY e.cursor_value DESC LIMIT 1) made ON true
        WHERE i.job_id = j.id AND i.is_trigger AND furthest.cursor_value >= upper(j.preview) - 1
          AND (coalesce(k.cursor_value < upper(j.preview) - 1, true)
               -- One completion announces so many partitions; the next run goes on, if another one is final.
               OR (made.range_end < upper(j.preview) - 1
                   AND 2 * made.range_end - made.range_start + 1
                       <= coalesce(f.final_value, furthest.cursor_value - v.finality_depth))))"""
"""Whether a job `j` that runs past a cursor has more to do within its range."""

_UNRELAYED = """
    SELECT extract(epoch FROM statement_timestamp() - r.caught_up_at)::float8 AS seconds
    FROM relay_progress r
    WHERE EXISTS (SELECT FROM job_inputs i JOIN dataset_versions v ON v.id = i.dataset_version_id
                  WHERE i.job_id = j.id AND v.storage = 'Postgres')"""
"""How long ago what a job `j` reads of hot tables may have been announced without that state knows of it."""

STANDING = f"""
SELECT j.id AS job_id, j.name, j.activation, j.execution_strategy, j.paused,
       j.provisioned_at IS NOT NULL AS provisioned,
       queue.unfinished, queue.oldest AS oldest_seconds, failed.dead, failed.error, made.tasks, own.position,
       before.id IS NOT NULL AS replaces, usual.oldest AS usual_seconds, goal.position AS goal, source.report,
       unrelayed.seconds AS unrelayed_seconds,
       lower(j.preview) AS preview_start, upper(j.preview) - 1 AS preview_end, {_SHORT} AS short
FROM dag_version_jobs d
JOIN jobs j ON j.id = d.job_id
LEFT JOIN LATERAL (
    SELECT a.id FROM dag_version_jobs x JOIN jobs a ON a.id = x.job_id
    WHERE x.dag_version_id = %(active)s AND a.name = j.name) before ON true
CROSS JOIN LATERAL ({_UNFINISHED.format(job="j.id")}) queue
CROSS JOIN LATERAL ({_UNFINISHED.format(job="before.id")}) usual
CROSS JOIN LATERAL ({_POSITION.format(job="j.id", ago="0")}) own
CROSS JOIN LATERAL ({_POSITION.format(job="before.id", ago="%(lag)s")}) goal
CROSS JOIN LATERAL ({DEAD}) failed
CROSS JOIN LATERAL (SELECT count(*) AS tasks FROM tasks WHERE job_id = j.id) made
LEFT JOIN LATERAL (
    SELECT report FROM tasks
    WHERE job_id = j.id AND status = 'Running' AND report IS NOT NULL
      AND lease_expires_at > statement_timestamp()
    ORDER BY heartbeat_at DESC LIMIT 1) source ON true
LEFT JOIN LATERAL ({_UNRELAYED}) unrelayed ON true
WHERE d.dag_version_id = %(staged)s
  AND NOT EXISTS (SELECT FROM dag_version_jobs x WHERE x.dag_version_id = %(active)s AND x.job_id = j.id)
ORDER BY j.name
"""
"""The generations that are built for a staged version, and how far each is."""

CATCHING_UP = """
EXISTS (
    SELECT FROM dag_version_jobs d
    JOIN tasks t ON t.job_id = d.job_id AND t.status = 'Queued'
    JOIN events e ON e.id = t.event_id AND e.created_at <= v.activated_at
    WHERE d.dag_version_id = v.id
      -- A DAG that was never at another version has missed nothing.
      AND EXISTS (SELECT FROM dag_versions o WHERE (o.org_id, o.namespace, o.dag) = (v.org_id, v.namespace, v.dag)
                    AND o.activated_at IS NOT NULL AND o.id <> v.id))
"""
"""Whether tasks still wait for events that a version `v` missed while it was not active."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One generation that is being built. Counts are tasks, ages seconds, positions values of the scope column."""

    job_id: UUID
    name: str
    activation: str
    paused: bool
    provisioned: bool
    unfinished: int
    oldest_seconds: float | None
    """Since the oldest of what the unfinished tasks are about was announced."""
    dead: int
    error: Mapping[str, Any] | None
    """Of the task that died last."""
    tasks: int
    position: int | None
    replaces: bool
    """The active version has a job of this name."""
    usual_seconds: float | None
    """How old the oldest unfinished task of that one is."""
    goal: int | None
    """How far that one had come a moment ago."""
    report: Mapping[str, Any] | None
    """What a running source said of itself last."""
    unrelayed_seconds: float | None = None
    """Everything that was announced before so long ago is known; None where it reads no hot table, or no relay of
    this release ran yet."""
    execution_strategy: str | None = None
    preview_start: int | None = None
    preview_end: int | None = None
    """The range that it is built over for now, inclusive; None: whole."""
    short: bool = False
    """Of a job that runs past a cursor: it has more to do within that range."""


async def standing(conn: Connection, *, active: UUID | None, staged: UUID, lag_seconds: float) -> list[Standing]:
    """The generations of `staged` that `active` has not, by name; goals are those of `lag_seconds` ago."""
    return await named(conn, Standing, STANDING, {"active": active, "staged": staged, "lag": lag_seconds})
