"""The jobs on the way from an asset back to its source, with what each does: what `versions.waits` explains."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from traceplane.store.engine import Connection
from traceplane.store.rows import named
from traceplane.store.statements.browse_dags import LIVE
from traceplane.store.statements.lineage import UP
from traceplane.store.statements.rollouts import DEAD

STEPS = f"""
WITH RECURSIVE {UP},
near AS (
    SELECT v.job_id, min(up.depth) AS distance, array_agg(DISTINCT v.id) AS versions
    FROM up JOIN dataset_versions v ON v.id = up.version AND v.org_id = %(org)s
    GROUP BY v.job_id ORDER BY distance, v.job_id LIMIT %(limit)s
)
SELECT n.distance, j.namespace, j.dag, j.id AS job_id, j.name AS job, j.activation, j.execution_strategy, j.paused,
       j.provisioned_at IS NOT NULL AS provisioned, may_run.active IS NOT NULL AS active,
       own.position, own.final, made.covered, queue.*, failed.dead, failed.error, source.report, about.*,
       (SELECT count(*) FROM tasks b
        WHERE b.job_id = j.id AND b.status = 'Queued' AND about.status = 'Queued'
          AND (b.priority, b.queued_at, b.id) < (about.priority, about.queued_at, about.task_id)) AS ahead,
       ARRAY(SELECT DISTINCT w.job_id FROM job_inputs i JOIN dataset_versions w ON w.id = i.dataset_version_id
             WHERE i.job_id = j.id ORDER BY 1) AS reads,
       ARRAY(SELECT w.job_id FROM job_inputs i JOIN dataset_versions w ON w.id = i.dataset_version_id
             WHERE i.job_id = j.id AND i.is_trigger) AS triggers
FROM near n
JOIN jobs j ON j.id = n.job_id
LEFT JOIN LATERAL (
    SELECT true AS active
    FROM dag_current_versions c JOIN dag_version_jobs m ON m.dag_version_id = c.active_version_id
    WHERE m.job_id = j.id AND c.deleted_at IS NULL) may_run ON true
CROSS JOIN LATERAL (
    SELECT max(furthest.cursor_value) AS position,
           min(coalesce(f.final_value, furthest.cursor_value - v.finality_depth)) AS final
    FROM dataset_versions v
    LEFT JOIN dataset_finality f ON f.dataset_version_id = v.id
    LEFT JOIN LATERAL (
        SELECT e.cursor_value FROM events e WHERE e.dataset_version_id = v.id AND e.cursor_value IS NOT NULL
        ORDER BY e.cursor_value DESC LIMIT 1) furthest ON true
    WHERE v.id = ANY(n.versions)) own
CROSS JOIN LATERAL (
    SELECT EXISTS (
        SELECT FROM partition_versions p
        WHERE p.dataset_version_id = ANY(n.versions) AND p.superseded_at IS NULL AND p.range_start IS NOT NULL
          AND int8range(p.range_start, p.range_end, '[]') @> %(at)s::int8)
    OR EXISTS (  -- Hot rows: partitions of a version do not overlap, so only the first that ends there may hold it.
        SELECT FROM dataset_versions v
        CROSS JOIN LATERAL (
            SELECT e.range_start FROM events e WHERE e.dataset_version_id = v.id AND e.cursor_value >= %(at)s::int8
            ORDER BY e.cursor_value, e.range_start LIMIT 1) first_end
        WHERE v.id = ANY(n.versions) AND v.storage = 'Postgres' AND first_end.range_start <= %(at)s::int8
    ) AS covered) made
CROSS JOIN LATERAL (
    -- Each count is a partial index of the queue: it costs what is alive, not what ever ran.
    SELECT {LIVE}
) queue
CROSS JOIN LATERAL ({DEAD}) failed
LEFT JOIN LATERAL (
    SELECT report FROM tasks
    WHERE job_id = j.id AND status = 'Running' AND lease_expires_at > statement_timestamp()
    ORDER BY heartbeat_at DESC NULLS LAST LIMIT 1) source ON true
LEFT JOIN LATERAL (
    SELECT t.id AS task_id, t.status, t.attempt, t.max_attempts, t.worker_id, t.started_at, t.next_retry_at,
           t.finished_at, t.error AS task_error, t.priority, t.queued_at
    FROM (  -- UNION ALL: so the planner answers each from the partial index of that status.
        SELECT * FROM tasks WHERE job_id = j.id AND status = 'Queued'
        UNION ALL SELECT * FROM tasks WHERE job_id = j.id AND status = 'Running'
        UNION ALL SELECT * FROM tasks WHERE job_id = j.id AND status = 'Failed') t
    WHERE %(at)s::int8 BETWEEN t.range_start AND t.range_end
    ORDER BY t.id DESC LIMIT 1) about ON true
ORDER BY n.distance, j.namespace, j.dag, j.name
"""
"""The generations that an asset's versions come from, the nearest first, with what each does and waits for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A job generation on the way from an asset back to its source. Counts are tasks, positions values of the scope
    column; what follows `task_id` is of the newest live or dead task about the value that was asked for."""

    distance: int
    namespace: str
    dag: str
    job_id: UUID
    job: str
    activation: str
    execution_strategy: str | None
    paused: bool
    provisioned: bool
    active: bool
    """The active version of its DAG holds it."""
    position: int | None
    """The furthest value that it announced."""
    final: int | None
    """Up to where what it announced will not change any more; None where nothing says so."""
    covered: bool
    """A committed or announced partition holds the value."""
    queued: int
    running: int
    retrying: int
    oldest_queued_at: datetime | None
    dead: int
    error: Mapping[str, Any] | None
    """Of the task that died last."""
    report: Mapping[str, Any] | None
    """What a running source said of itself last."""
    reads: list[UUID]
    """The generations that it reads."""
    triggers: list[UUID]
    """Those of them whose events make its tasks."""
    task_id: UUID | None = None
    status: str | None = None
    attempt: int | None = None
    max_attempts: int | None = None
    worker_id: str | None = None
    started_at: datetime | None = None
    next_retry_at: datetime | None = None
    finished_at: datetime | None = None
    task_error: Mapping[str, Any] | None = None
    priority: int | None = None
    queued_at: datetime | None = None
    ahead: int = 0
    """Queued tasks of its job that are claimed before it."""


async def steps(
    conn: Connection, org_id: UUID, *, roots: Collection[UUID], at: int | None, depth: int, limit: int
) -> list[Step]:
    """The `limit` generations nearest to `roots`; tasks and partitions about the value `at` of the scope column."""
    given = {"org": org_id, "roots": list(roots), "at": at, "depth": depth, "limit": limit}
    return await named(conn, Step, STEPS, given)
