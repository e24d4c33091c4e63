"""What users read about DAGs, their jobs, tasks and versions.

Every list is a page by key (`WHERE key > last ORDER BY key LIMIT n`), never by offset: the hundredth page costs
what the first does, and rows that come or go between two pages shift nothing. One statement answers one request,
and its rows are the JSON objects of the user API: their columns are the fields of `userapi.shapes`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row

from traceplane.store.engine import Connection
from traceplane.store.statements.versions import NAME

Row = dict[str, Any]

DAGS = f"""
SELECT c.namespace, c.dag AS name, {NAME.format(v="v")} AS active_version,
       {NAME.format(v="s")} AS staged_version, v.spec_hash, c.updated_at,
       (SELECT count(*) FROM dag_version_jobs j WHERE j.dag_version_id = c.active_version_id) AS jobs
FROM dag_current_versions c
LEFT JOIN dag_versions v ON v.id = c.active_version_id
LEFT JOIN dag_versions s ON s.id = c.staged_version_id
WHERE c.org_id = %(org)s AND c.deleted_at IS NULL
  AND (%(namespace)s::text IS NULL OR c.namespace = %(namespace)s)
  -- The DAG of an external asset (`versions.external`) is found by its name, and is none that anybody wrote.
  AND CASE WHEN %(dag)s::text IS NULL THEN c.dag NOT LIKE '%%.external' ELSE c.dag = %(dag)s END
  AND (c.namespace, c.dag) > (%(after_namespace)s, %(after_name)s)
ORDER BY c.namespace, c.dag
LIMIT %(limit)s
"""
"""DAGs that are not deleted, with their active version; also one DAG by its name."""

LIVE = """(SELECT count(*) FROM tasks t WHERE t.job_id = j.id AND t.status = 'Queued') AS queued,
       (SELECT count(*) FROM tasks t WHERE t.job_id = j.id AND t.status = 'Running') AS running,
       (SELECT count(*) FROM tasks t
        WHERE t.job_id = j.id AND t.status = 'Failed' AND t.next_retry_at IS NOT NULL) AS retrying,
       (SELECT min(t.queued_at) FROM tasks t WHERE t.job_id = j.id AND t.status = 'Queued') AS oldest_queued_at"""
"""What is live in the queue of a job `j`, each from a partial index: it costs what is alive, not what ever ran."""

DAG_JOBS = f"""
SELECT j.name, j.id, j.operator, j.activation, d.runtime, j.execution_strategy, j.update_strategy, j.config_hash,
       j.paused, j.provisioned_at IS NOT NULL AS provisioned, d.max_workers, d.max_concurrency,
       {LIVE}
FROM dag_current_versions c
JOIN dag_version_jobs d ON d.dag_version_id = c.active_version_id
JOIN jobs j ON j.id = d.job_id
WHERE c.org_id = %(org)s AND c.namespace = %(namespace)s AND c.dag = %(dag)s
  -- second guard: a DAG that is deleted has no active version.
  AND c.deleted_at IS NULL
ORDER BY j.name
"""
"""Jobs of a DAG's active version with what is live in their queues."""

_TASK_COLUMNS = """
t.id, j.name AS job, j.id AS job_id, t.status, t.attempt, t.max_attempts, t.cause, t.scope, t.worker_id,
t.queued_at, t.started_at, t.heartbeat_at, t.next_retry_at, t.finished_at, t.result, t.error,
CASE t.status WHEN 'Running' THEN t.report END AS report
"""

DAG_TASKS = f"""
SELECT {_TASK_COLUMNS}
FROM tasks t
JOIN jobs j ON j.id = t.job_id
WHERE j.org_id = %(org)s AND j.namespace = %(namespace)s AND j.dag = %(dag)s
  AND (%(job)s::text IS NULL OR j.name = %(job)s)
  AND (%(status)s::text IS NULL OR t.status = %(status)s)
  AND (%(before)s::uuid IS NULL OR t.id < %(before)s)
-- Ids are UUIDv7, so they sort by birth.
ORDER BY t.id DESC
LIMIT %(limit)s
"""
"""Tasks of every generation of a DAG's jobs, newest first."""

TASK = f"""
SELECT {_TASK_COLUMNS}, j.dag, t.cancel_requested
FROM tasks t
JOIN jobs j ON j.id = t.job_id
WHERE t.id = %(id)s AND t.org_id = %(org)s
"""

DAG_VERSIONS = f"""
SELECT v.id, {NAME.format(v="v")} AS name, v.spec_hash, v.created_at, v.activated_at, v.purged_at,
       coalesce(v.id = c.active_version_id, false) AS active, coalesce(v.id = c.staged_version_id, false) AS staged
FROM dag_versions v
JOIN dag_current_versions c ON c.org_id = v.org_id AND c.namespace = v.namespace AND c.dag = v.dag
WHERE v.org_id = %(org)s AND v.namespace = %(namespace)s AND v.dag = %(dag)s
  AND (%(before)s::uuid IS NULL OR v.id < %(before)s)
ORDER BY v.id DESC
LIMIT %(limit)s
"""
"""Every version of a DAG, newest first."""


async def dags(
    conn: Connection, org_id: UUID, *, namespace: str | None, after: tuple[str, str], limit: int
) -> list[Row]:
    """DAGs of one namespace or all, by (namespace, name) after `after`."""
    page = {"namespace": namespace, "dag": None, "after_namespace": after[0], "after_name": after[1]}
    return await rows(conn, DAGS, {"org": org_id, "limit": limit, **page})


async def dag(conn: Connection, org_id: UUID, *, namespace: str, dag: str) -> Row | None:
    """One DAG; None where there is none of this name, or it is deleted."""
    page = {"namespace": namespace, "dag": dag, "after_namespace": "", "after_name": ""}
    return await row(conn, DAGS, {"org": org_id, "limit": 1, **page})


async def jobs(conn: Connection, org_id: UUID, *, namespace: str, dag: str) -> list[Row]:
    """All jobs of the active version, by name."""
    return await rows(conn, DAG_JOBS, {"org": org_id, "namespace": namespace, "dag": dag})


async def tasks(
    conn: Connection,
    org_id: UUID,
    *,
    namespace: str,
    dag: str,
    job: str | None,
    status: str | None,
    before: UUID | None,
    limit: int,
) -> list[Row]:
    """Tasks of one job or all, in one status or any, older than the task `before`."""
    page = {"namespace": namespace, "dag": dag, "job": job, "status": status, "before": before}
    return await rows(conn, DAG_TASKS, {"org": org_id, "limit": limit, **page})


async def task(conn: Connection, org_id: UUID, *, task_id: UUID) -> Row | None:
    """One task; None where the organisation has none of this id."""
    return await row(conn, TASK, {"org": org_id, "id": task_id})


async def versions(
    conn: Connection, org_id: UUID, *, namespace: str, dag: str, before: UUID | None, limit: int
) -> list[Row]:
    """Versions older than the version `before`."""
    page = {"namespace": namespace, "dag": dag, "before": before}
    return await rows(conn, DAG_VERSIONS, {"org": org_id, "limit": limit, **page})


async def rows(conn: Connection, statement: str, parameters: Mapping[str, object]) -> list[Row]:
    """All rows of a statement, as dicts by column."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement, parameters)
        return await cursor.fetchall()


async def row(conn: Connection, statement: str, parameters: Mapping[str, object]) -> Row | None:
    """The first row of a statement, as a dict by column."""
    found = await rows(conn, statement, parameters)
    return found[0] if found else None
