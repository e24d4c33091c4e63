"""How attempts end without a completion of their own, and how failed tasks come back.

The reaper, a worker that drains, and the controller that saw a pod end all end attempts, by one statement shape:
lock the rows first (`locked`), then write under the same guard (status **and** attempt), so that a task which
completed in between stays completed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from traceplane.store.documents import document
from traceplane.store.engine import Connection
from traceplane.store.rows import column, many
from traceplane.store.statements.transitions import ENDED, HELD, HISTORY, RELEASED, RETRIED
from traceplane.tasks.retries import RetryPolicy

_LOCKED = "t.id, t.attempt, t.worker_id, t.lease_epoch, t.lease_token"

_END = f"""
ended AS (
    UPDATE tasks t SET {{assignments}}
    FROM locked x
    -- second guard: `locked` holds the rows already. It counts for a row that changed just before it was locked.
    WHERE t.id = x.id AND t.status = 'Running' AND t.attempt = x.attempt
    -- The lease columns as they were: a released task has none any more.
    RETURNING t.id, t.job_id, t.org_id, t.attempt, t.status, x.worker_id, x.lease_epoch, x.lease_token,
              t.started_at, CASE t.status WHEN 'Canceled' THEN 'Canceled' ELSE x.result END AS result, x.error
),
{HISTORY}"""

_FAIL = _END.format(assignments=ENDED)
_RELEASE = _END.format(assignments=RELEASED)
_ANSWER = """
SELECT e.id::text, e.job_id, e.result, e.status, j.namespace, j.dag, j.name, e.attempt, e.started_at,
       statement_timestamp(), e.error ->> 'code'
FROM ended e JOIN jobs j ON j.id = e.job_id"""

REAP = f"""
WITH late AS (
    SELECT t.id FROM tasks t
    WHERE t.status = 'Running' AND t.lease_expires_at < statement_timestamp()
    ORDER BY t.lease_expires_at LIMIT %(limit)s
    FOR NO KEY UPDATE SKIP LOCKED
),
overdue AS (
    SELECT t.id FROM tasks t
    WHERE t.status = 'Running' AND t.deadline_at < statement_timestamp()
    ORDER BY t.deadline_at LIMIT %(limit)s
    FOR NO KEY UPDATE SKIP LOCKED
),
locked AS (
    SELECT {_LOCKED}, 'Failed' AS status, r.result,
           jsonb_build_object('code', r.result, 'retryable', true, 'message', r.message) AS error
    FROM tasks t
    CROSS JOIN LATERAL (
        SELECT 'TimedOut' AS result, 'the attempt ran longer than timeoutSeconds' AS message
        WHERE t.id IN (SELECT id FROM overdue)
        UNION ALL
        SELECT 'LeaseExpired', 'no heartbeat before the lease ended'
        -- second guard: an UPDATE takes one of several rows for a task, but nobody promises which.
        WHERE t.id NOT IN (SELECT id FROM overdue)
    ) r
    WHERE t.id IN (SELECT id FROM late UNION SELECT id FROM overdue)
),
{_FAIL}
{_ANSWER}
"""
"""Fail up to `limit` attempts whose lease ran out and `limit` that are past their deadline; schedule retries."""

RELEASE = f"""
WITH item AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset(%(items)s::jsonb)
        AS x(task_id uuid, attempt int4, lease_token uuid, claim_id uuid, state jsonb)
),
locked AS (
    SELECT {_LOCKED}, 'Released' AS result, NULL::jsonb AS error
    FROM tasks t JOIN item x ON t.id = x.task_id
    WHERE {HELD}
    ORDER BY t.id
    FOR NO KEY UPDATE OF t
),
{_RELEASE},
saved_state AS (
    INSERT INTO operator_state (job_id, key, org_id, value, task_id)
    SELECT DISTINCT ON (e.job_id, s.key) e.job_id, s.key, e.org_id, s.value, e.id
    FROM ended e JOIN item x ON x.task_id = e.id CROSS JOIN LATERAL jsonb_each(x.state) s
    ORDER BY e.job_id, s.key, e.lease_epoch DESC
    ON CONFLICT (job_id, key) DO UPDATE
        SET value = excluded.value, task_id = excluded.task_id, updated_at = statement_timestamp()
)
{_ANSWER}
"""
"""Hand tasks back unspent under their fence: queued again at once, one more attempt allowed instead."""

_OF_WORKER = """
    FROM tasks t
    WHERE t.worker_id = %(worker)s AND t.org_id = %(org)s
      AND t.status = 'Running'  -- second guard: so does the update; here, what has ended does not use up the limit
    ORDER BY t.id LIMIT 10000
    FOR NO KEY UPDATE"""

FAIL_WORKER = f"""
WITH locked AS (SELECT {_LOCKED}, 'Failed' AS status, 'Failed' AS result, %(error)s::jsonb AS error {_OF_WORKER}),
{_FAIL}
{_ANSWER}
"""
"""Fail whatever one worker holds, because its pod ended."""

RELEASE_WORKER = f"""
WITH locked AS (SELECT {_LOCKED}, 'Released' AS result, %(error)s::jsonb AS error {_OF_WORKER}),
{_RELEASE}
{_ANSWER}
"""
"""The same, where the end of the pod was not the work's fault."""

RETRY = f"""
WITH due AS (
    SELECT t.ctid AS place FROM tasks t
    WHERE t.next_retry_at <= statement_timestamp()
      AND t.status = 'Failed'  -- second guard: no other task has such a time (retry_of_failed); it names the index
    ORDER BY t.next_retry_at LIMIT %(limit)s
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE tasks t SET {RETRIED}
WHERE t.ctid = ANY(ARRAY(SELECT place FROM due))
RETURNING t.job_id
"""
"""Queue up to `limit` failed tasks whose retry is due."""


@dataclass(frozen=True, slots=True)
class Ended:
    """One attempt that was ended. `result` is the attempt's, `status` the task's state afterwards."""

    task_id: str
    job_id: UUID
    result: str
    status: str
    namespace: str
    dag: str
    job: str
    attempt: int
    started_at: datetime
    ended_at: datetime
    code: str | None
    """Of its error."""


async def reap(conn: Connection, *, retry: RetryPolicy, limit: int) -> tuple[Ended, ...]:
    """End attempts whose lease or time ran out; at most `limit` of each kind."""
    return await _ended(conn, REAP, {"limit": limit, **retry.parameters()})


async def release(conn: Connection, *, org_id: UUID, items: Sequence[dict[str, object]]) -> tuple[Ended, ...]:
    """Hand back `items` (task_id, attempt, lease_token, claim_id, state); what is stale is not in the answer."""
    return await _ended(conn, RELEASE, {"org": org_id, "items": document(items)})


async def end_worker(
    conn: Connection, *, org_id: UUID, worker_id: str, reason: str, message: str, spent: bool, retry: RetryPolicy
) -> tuple[Ended, ...]:
    """End the attempts of a worker whose pod ended, for `reason` (CamelCase); `spent`: by the work's own fault."""
    error = document({"code": reason, "message": message[:4096], "retryable": True})
    statement = FAIL_WORKER if spent else RELEASE_WORKER
    parameters = {"org": org_id, "worker": worker_id, "error": error, **retry.parameters()}
    return await _ended(conn, statement, parameters)


async def retry_due(conn: Connection, *, limit: int) -> tuple[UUID, ...]:
    """Queue failed tasks whose time has come; the job generation of each."""
    return tuple(await column(conn, RETRY, {"limit": limit}))


async def _ended(conn: Connection, statement: str, parameters: dict[str, object]) -> tuple[Ended, ...]:
    return tuple(await many(conn, Ended, statement, parameters))
