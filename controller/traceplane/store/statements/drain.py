"""Taking a DAG out of service: nothing routes to it any more, what waits is canceled, what runs is asked to stop.

Data, versions and generations stay: a DAG of the same name that is applied again finds them.
"""

from __future__ import annotations

from sqlalchemy import text

RETIRE = text("""
UPDATE dag_current_versions
SET active_version_id = NULL, staged_version_id = NULL, deleted_at = coalesce(deleted_at, now()), updated_at = now()
WHERE org_id = :org AND namespace = :namespace AND dag = :dag AND resource_uid = :uid
RETURNING dag
""")
"""Clear the pointers, unless a new resource of the same name has taken the DAG over. Locks the pointer row."""

UNPUBLISH = text("""
DELETE FROM asset_publications WHERE org_id = :org AND namespace = :namespace AND dag = :dag
""")
"""Withdraw everything it publishes."""

CANCEL_WAITING = text("""
UPDATE tasks t SET status = 'Canceled', finished_at = now(), next_retry_at = NULL
FROM jobs j
WHERE j.org_id = :org AND j.namespace = :namespace AND j.dag = :dag AND t.job_id = j.id
  AND (t.status = 'Queued' OR (t.status = 'Failed' AND t.next_retry_at IS NOT NULL))
""")
"""End what waits in any generation of the DAG."""

ASK_TO_STOP = text("""
UPDATE tasks t SET cancel_requested = true
FROM jobs j
WHERE j.org_id = :org AND j.namespace = :namespace AND j.dag = :dag AND t.job_id = j.id
  AND t.status = 'Running' AND NOT t.cancel_requested
""")
"""Their next heartbeat tells running tasks; they end as Canceled."""

RUNNING = text("""
SELECT count(*) FROM tasks t JOIN jobs j ON j.id = t.job_id
WHERE j.org_id = :org AND j.namespace = :namespace AND j.dag = :dag AND t.status = 'Running'
""")
"""How many tasks of the DAG hold a lease."""

CANCEL_RUNNING = text("""
WITH ended AS (
    UPDATE tasks t SET status = 'Canceled', finished_at = now(), deadline_at = NULL
    FROM jobs j
    WHERE j.org_id = :org AND j.namespace = :namespace AND j.dag = :dag AND t.job_id = j.id AND t.status = 'Running'
    RETURNING t.id, t.attempt, t.org_id, t.worker_id, t.lease_epoch, t.lease_token, t.started_at
)
INSERT INTO task_attempts
    (task_id, attempt, org_id, worker_id, lease_epoch, lease_token, started_at, finished_at, result)
SELECT id, attempt, org_id, worker_id, lease_epoch, lease_token, started_at, now(), 'Canceled' FROM ended
""")
"""End what did not stop in time; its worker's completion is then refused."""
