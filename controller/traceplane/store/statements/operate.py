"""What a person does to one task: try it again, or stop it.

Each is one statement that looks at the row under its lock, changes it where it may be changed, wakes the workers,
and tells what it saw, so that a refusal can say why.
"""

from __future__ import annotations

from sqlalchemy import text

_ASKED = """
asked AS (
    SELECT t.id, t.status, t.cause, t.attempt, t.next_retry_at, t.job_id, d.max_attempts,
           d.job_id IS NOT NULL AS current
    FROM tasks t
    JOIN jobs j ON j.id = t.job_id
    LEFT JOIN dag_current_versions c
      ON c.org_id = j.org_id AND c.namespace = j.namespace AND c.dag = j.dag AND c.deleted_at IS NULL
    LEFT JOIN dag_version_jobs d ON d.dag_version_id = c.active_version_id AND d.job_id = t.job_id
    WHERE t.id = :id AND t.org_id = :org
    FOR UPDATE OF t
)
"""

RETRY = text(f"""
WITH {_ASKED},
done AS (
    UPDATE tasks t
    SET status = 'Queued', queued_at = now(), next_retry_at = NULL, finished_at = NULL, cancel_requested = false,
        result = NULL, error = NULL, max_attempts = a.attempt + a.max_attempts, claim_id = NULL, worker_id = NULL,
        lease_token = NULL, lease_epoch = NULL, lease_expires_at = NULL, deadline_at = NULL
    FROM asked a
    WHERE t.id = a.id AND a.current AND a.status IN ('Failed', 'Canceled')
    RETURNING t.job_id
),
woken AS (SELECT pg_notify('trace_wake', job_id::text) FROM done)
SELECT a.status, a.cause, a.current, EXISTS (SELECT FROM done) AS changed, (SELECT count(*) FROM woken) AS woken
FROM asked a
""")
"""Queue a failed or canceled task again, with all the attempts of its job before it; its id stays."""

CANCEL = text(f"""
WITH {_ASKED},
done AS (
    UPDATE tasks t
    SET status = CASE WHEN a.status = 'Running' THEN 'Running' ELSE 'Canceled' END,
        finished_at = CASE WHEN a.status = 'Running' THEN t.finished_at ELSE now() END,
        next_retry_at = NULL,
        cancel_requested = a.status = 'Running'
    FROM asked a
    WHERE t.id = a.id AND a.cause <> 'Source'
      AND (a.status IN ('Queued', 'Running') OR (a.status = 'Failed' AND a.next_retry_at IS NOT NULL))
    RETURNING t.id
)
SELECT a.status, a.cause, a.current, EXISTS (SELECT FROM done) AS changed FROM asked a
""")
"""End a task that waits; ask one that runs to stop, which its next heartbeat tells it."""
