"""How attempts end without a completion of their own, and how failed tasks come back.

The reaper, a worker that drains, and the controller that saw a pod die all end attempts. They use one statement
shape: lock the rows first, then write under the same guard (status **and** attempt), so that a task which
completed in between stays completed. `task_attempts` gets one row per ended attempt and is never updated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import orjson

from traceplane.store.engine import Connection
from traceplane.tasks.retries import RetryPolicy

FAILURES = """CASE
            WHEN statement_timestamp() - t.started_at > make_interval(secs => %(retry_max)s) THEN 1
            ELSE coalesce((t.error ->> 'failures')::int4, 0) + 1 END"""
"""Failures in a row: a run that held longer than the longest delay starts the count anew (`tasks.retries`)."""

DELAY = f"""make_interval(secs => least(
            %(retry_max)s::float8, %(retry_base)s::float8 * 2 ^ (least({FAILURES}, 30) - 1)) * (0.5 + random()))"""
"""`tasks.retries.delay` in SQL, where the count of failures and the jitter are at hand."""

_END = f"""
ended AS (
    UPDATE tasks t SET
        status = CASE WHEN t.cancel_requested THEN 'Canceled' WHEN h.released THEN 'Queued' ELSE 'Failed' END,
        max_attempts = t.max_attempts + CASE WHEN h.released THEN 1 ELSE 0 END,
        error = CASE WHEN h.released THEN t.error
                     ELSE h.error || jsonb_build_object('failures', {FAILURES}) END,
        next_retry_at = CASE WHEN t.cancel_requested OR h.released OR t.attempt >= t.max_attempts THEN NULL
                             ELSE statement_timestamp() + {DELAY} END,
        finished_at = CASE WHEN t.cancel_requested OR (NOT h.released AND t.attempt >= t.max_attempts)
                           THEN statement_timestamp() END,
        claim_id = CASE WHEN h.released THEN NULL ELSE t.claim_id END,
        worker_id = CASE WHEN h.released THEN NULL ELSE t.worker_id END,
        lease_token = CASE WHEN h.released THEN NULL ELSE t.lease_token END,
        lease_epoch = CASE WHEN h.released THEN NULL ELSE t.lease_epoch END,
        lease_expires_at = CASE WHEN h.released THEN NULL ELSE t.lease_expires_at END,
        deadline_at = NULL
    FROM held h
    WHERE t.id = h.id AND t.status = 'Running' AND t.attempt = h.attempt
    RETURNING t.id, t.job_id, t.org_id, t.attempt, t.status, h.result, h.error, h.worker_id, h.lease_epoch,
              h.lease_token, t.started_at, t.finished_at
),
history AS (
    INSERT INTO task_attempts
        (task_id, attempt, org_id, worker_id, lease_epoch, lease_token, started_at, finished_at, result, error)
    SELECT id, attempt, org_id, worker_id, lease_epoch, lease_token, started_at, statement_timestamp(),
           CASE status WHEN 'Canceled' THEN 'Canceled' ELSE result END, error
    FROM ended
)
"""

_HELD = "t.id, t.attempt, t.worker_id, t.lease_epoch, t.lease_token"

REAP = f"""
WITH late AS (
    SELECT t.id FROM tasks t
    WHERE t.status = 'Running' AND t.lease_expires_at < statement_timestamp()
    ORDER BY t.lease_expires_at LIMIT %(limit)s
    FOR NO KEY UPDATE SKIP LOCKED
),
over AS (
    SELECT t.id FROM tasks t
    WHERE t.status = 'Running' AND t.deadline_at < statement_timestamp()
    ORDER BY t.deadline_at LIMIT %(limit)s
    FOR NO KEY UPDATE SKIP LOCKED
),
held AS (
    SELECT {_HELD}, false AS released,
           CASE WHEN t.id IN (SELECT id FROM over) THEN 'TimedOut' ELSE 'LeaseExpired' END AS result,
           CASE WHEN t.id IN (SELECT id FROM over)
                THEN jsonb_build_object('code', 'TimedOut', 'retryable', true,
                                        'message', 'the attempt ran longer than timeoutSeconds')
                ELSE jsonb_build_object('code', 'LeaseExpired', 'retryable', true,
                                        'message', 'no heartbeat before the lease ended') END AS error
    FROM tasks t
    WHERE t.id IN (SELECT id FROM late UNION SELECT id FROM over)
),
{_END}
SELECT id::text, job_id, result, status FROM ended
"""
"""Fail up to `limit` attempts whose lease ran out and `limit` that are past their deadline; schedule retries."""

RELEASE = f"""
WITH item AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset(%(items)s::jsonb)
        AS x(task_id uuid, attempt int4, lease_token uuid, claim_id uuid, state jsonb)
),
held AS (
    SELECT {_HELD}, true AS released, 'Released' AS result, NULL::jsonb AS error
    FROM tasks t JOIN item x ON t.id = x.task_id AND t.attempt = x.attempt AND t.lease_token = x.lease_token
         AND t.claim_id = x.claim_id
    WHERE t.status = 'Running' AND t.org_id = %(org)s
    ORDER BY t.id
    FOR NO KEY UPDATE OF t
),
{_END},
kept AS (
    INSERT INTO operator_state (job_id, key, org_id, value, task_id)
    SELECT e.job_id, s.key, e.org_id, s.value, e.id
    FROM ended e JOIN item x ON x.task_id = e.id CROSS JOIN LATERAL jsonb_each(x.state) s
    ON CONFLICT (job_id, key) DO UPDATE
        SET value = excluded.value, task_id = excluded.task_id, updated_at = statement_timestamp()
)
SELECT id::text, job_id, result, status FROM ended
"""
"""Hand tasks back unspent under their fence: queued again at once, one more attempt allowed instead."""

RELEASE_WORKER = f"""
WITH held AS (
    SELECT {_HELD}, %(released)s::bool AS released,
           CASE WHEN %(released)s::bool THEN 'Released' ELSE 'Failed' END AS result, %(error)s::jsonb AS error
    FROM tasks t
    WHERE t.status = 'Running' AND t.worker_id = %(worker)s AND t.org_id = %(org)s
    ORDER BY t.id LIMIT 10000
    FOR NO KEY UPDATE
),
{_END}
SELECT id::text, job_id, result, status FROM ended
"""
"""End whatever one worker holds, because its pod is known to be gone."""

RETRY = """
WITH due AS (
    SELECT t.ctid AS place FROM tasks t
    WHERE t.status = 'Failed' AND t.next_retry_at <= statement_timestamp()
    ORDER BY t.next_retry_at LIMIT %(limit)s
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE tasks t SET
    status = 'Queued', queued_at = statement_timestamp(), next_retry_at = NULL, claim_id = NULL, worker_id = NULL,
    lease_token = NULL, lease_epoch = NULL, lease_expires_at = NULL, deadline_at = NULL
WHERE t.ctid = ANY(ARRAY(SELECT place FROM due))
RETURNING t.job_id
"""
"""Queue up to `limit` failed tasks whose retry is due."""

NOT_SPENT = frozenset({"Evicted", "NodeLost"})
"""Reasons of a pod's end that are not the task's fault: they spend no attempt."""


@dataclass(frozen=True, slots=True)
class Ended:
    """One attempt that was ended. `result` is the attempt's, `status` the task's state afterwards."""

    task_id: str
    job_id: UUID
    result: str
    status: str


async def reap(conn: Connection, *, retry: RetryPolicy, limit: int) -> tuple[Ended, ...]:
    """End attempts whose lease or time ran out; at most `limit` of each kind."""
    return await _ended(conn, REAP, {"limit": limit, **_policy(retry)})


async def release(
    conn: Connection, *, org_id: UUID, items: Sequence[dict[str, object]], retry: RetryPolicy
) -> tuple[Ended, ...]:
    """Hand back `items` (task_id, attempt, lease_token, claim_id, state); what is stale is not in the answer."""
    document = orjson.dumps(list(items)).decode()
    return await _ended(conn, RELEASE, {"org": org_id, "items": document, **_policy(retry)})


async def release_worker(
    conn: Connection, *, org_id: UUID, worker_id: str, reason: str, message: str, retry: RetryPolicy
) -> tuple[Ended, ...]:
    """End the attempts of a worker whose pod is gone, for `reason` (CamelCase, as the pod's own status says)."""
    error = orjson.dumps({"code": reason, "message": message[:4096], "retryable": True}).decode()
    parameters = {"org": org_id, "worker": worker_id, "released": reason in NOT_SPENT, "error": error}
    return await _ended(conn, RELEASE_WORKER, {**parameters, **_policy(retry)})


async def retry_due(conn: Connection, *, limit: int) -> tuple[UUID, ...]:
    """Queue failed tasks whose time has come; the job generation of each."""
    rows = await (await conn.execute(RETRY, {"limit": limit})).fetchall()
    return tuple(row[0] for row in rows)


def _policy(retry: RetryPolicy) -> dict[str, float]:
    return {"retry_base": retry.base_seconds, "retry_max": retry.max_seconds}


async def _ended(conn: Connection, statement: str, parameters: dict[str, object]) -> tuple[Ended, ...]:
    rows = await (await conn.execute(statement, parameters)).fetchall()
    return tuple(Ended(*row) for row in rows)
