"""How many events of a running job are not worked off yet: what a source paces itself by.

It reads every open task of the job's readers, so it is asked for by itself and is no part of a report.
"""

from __future__ import annotations

from uuid import UUID

from traceplane.store.engine import Connection

UNFINISHED = """
WITH readers AS (
    SELECT j.id, o.output, v.id AS dataset_version_id
    FROM dataset_versions v
    JOIN datasets o ON o.id = v.dataset_id
    JOIN job_inputs i ON i.dataset_version_id = v.id AND i.is_trigger
    -- Of its own DAG: what other DAGs read of it they catch up on by themselves, and no source waits for them.
    JOIN jobs j ON j.id = i.job_id AND (j.namespace, j.dag) = (o.namespace, o.dag)
    JOIN dag_current_versions c
      ON c.org_id = j.org_id AND c.namespace = j.namespace AND c.dag = j.dag AND c.deleted_at IS NULL
    -- A reader that is built beside the one that serves has everything to catch up on, and must not stop the
    -- source for it. Where the source itself does not serve yet, its readers are of its own version.
    JOIN dag_version_jobs d ON d.job_id = j.id AND d.dag_version_id = CASE
        WHEN EXISTS (SELECT FROM dag_version_jobs s
                     WHERE s.job_id = v.job_id AND s.dag_version_id = c.active_version_id)
        THEN c.active_version_id ELSE c.staged_version_id END
    WHERE v.job_id = %(job)s
),
-- Each by the partial index of its state: of completed tasks there may be millions.
open_tasks AS (
    SELECT t.job_id, t.event_id FROM tasks t JOIN readers r ON r.id = t.job_id WHERE t.status = 'Queued'
    UNION ALL
    SELECT t.job_id, t.event_id FROM tasks t JOIN readers r ON r.id = t.job_id WHERE t.status = 'Running'
    UNION ALL
    -- Dead ones as well: what waits for a person is not done.
    SELECT t.job_id, t.event_id FROM tasks t JOIN readers r ON r.id = t.job_id WHERE t.status = 'Failed'
)
SELECT r.output, count(DISTINCT e.id)::int8
FROM open_tasks t JOIN events e ON e.id = t.event_id
JOIN readers r ON r.id = t.job_id AND r.dataset_version_id = e.dataset_version_id
GROUP BY r.output
"""
"""How many events of each output of a job have a task that is neither completed nor canceled."""


async def unfinished(conn: Connection, *, job_id: UUID) -> dict[str, int]:
    """Events of each output of a job that have an open task; outputs that have none are left out."""
    rows = await (await conn.execute(UNFINISHED, {"job": job_id})).fetchall()
    return {row[0]: row[1] for row in rows}
