"""The transitions of `tasks.states` in SQL: each one's assignments, and the guards that several share, once.

Fragments, to be put behind `UPDATE tasks t SET` or into a WHERE. The task's row is `t`; what else a fragment reads
is said below it. A statement that ends attempts names its UPDATE `ended` and returns the columns that
`HISTORY` and the fragments of `completions` read from it.
"""

from __future__ import annotations

from traceplane.tasks.retries import MAX_DOUBLINGS

WAITS = "(t.status = 'Queued' OR (t.status = 'Failed' AND t.next_retry_at IS NOT NULL))"
"""Guard: the task waits, to be claimed or for its retry. Dead tasks stay for a person to see."""

HELD = """t.status = 'Running' AND t.attempt = x.attempt AND t.lease_token = x.lease_token
      AND t.claim_id = x.claim_id AND t.org_id = %(org)s"""
"""Guard: the fence. `x` (attempt, lease_token, claim_id) is what the caller says that it holds."""

_FREE = """claim_id = NULL, worker_id = NULL, lease_token = NULL, lease_epoch = NULL, lease_expires_at = NULL,
        deadline_at = NULL"""

CLAIMED = """status = 'Running', attempt = t.attempt + 1, next_retry_at = NULL,
        claim_id = d.claim_id, worker_id = d.worker_id,
        lease_token = gen_random_uuid(), lease_epoch = nextval('lease_epochs'),
        lease_expires_at = l.lease_expires_at, heartbeat_at = l.now, started_at = l.now,
        deadline_at = l.deadline_at, report = NULL"""
"""Queued -> Running. `d` is the claimant's row (claim_id, worker_id), `l` the job's limits (`claims.live`)."""

SUPERSEDED = "status = 'Completed', result = 'Superseded', finished_at = statement_timestamp()"
"""Queued -> Completed, by the newer task that reads everything past the cursor."""

RETRIED = f"status = 'Queued', queued_at = statement_timestamp(), next_retry_at = NULL, {_FREE}"
"""Failed -> Queued, when the retry is due."""

REOPENED = f"""status = 'Queued', queued_at = statement_timestamp(), next_retry_at = NULL, finished_at = NULL,
        cancel_requested = false, result = NULL, error = NULL, {_FREE}"""
"""Failed or Canceled -> Queued, as if the task were new; its attempts and their history stay."""

CANCELED = "status = 'Canceled', finished_at = statement_timestamp(), next_retry_at = NULL, deadline_at = NULL"
"""Queued, Failed (waiting) or Running -> Canceled, at once."""

FAILURES = """CASE
            WHEN statement_timestamp() - t.started_at > make_interval(secs => %(retry_max)s) THEN 1
            ELSE coalesce((t.error ->> 'failures')::int4, 0) + 1 END"""
"""Failures in a row, this one included: a run that held longer than the longest delay starts the count anew."""

_DELAY = f"""make_interval(secs => least(
            %(retry_max)s::float8, %(retry_base)s::float8 * 2 ^ least({FAILURES} - 1, {MAX_DOUBLINGS}))
            * (0.5 + random()))"""

_RETRIES = """x.status = 'Failed' AND NOT t.cancel_requested AND (x.error ->> 'retryable')::bool
                 AND (t.max_attempts IS NULL OR t.attempt < t.max_attempts)"""

ENDED = f"""
        status = CASE WHEN x.status = 'Failed' AND t.cancel_requested THEN 'Canceled' ELSE x.status END,
        error = CASE x.status WHEN 'Failed' THEN x.error || jsonb_build_object('failures', {FAILURES}) END,
        next_retry_at = CASE WHEN {_RETRIES} THEN statement_timestamp() + {_DELAY} END,
        -- Without a retry to come this is the end: Completed, Canceled, or dead.
        finished_at = CASE WHEN {_RETRIES} THEN NULL ELSE statement_timestamp() END,
        deadline_at = NULL"""
"""Running -> Completed, Failed, or (what fails after it was asked to stop) Canceled. `x` has status and error."""

RELEASED = f"""
        status = CASE WHEN t.cancel_requested THEN 'Canceled' ELSE 'Queued' END,
        -- `attempt` rises again at the next claim: what is handed back is not spent. NULL stays without limit.
        max_attempts = t.max_attempts + 1,
        -- queued_at stays: the task keeps its place by age.
        finished_at = CASE WHEN t.cancel_requested THEN statement_timestamp() END,
        {_FREE}"""
"""Running -> Queued, or Canceled where it was asked to stop."""

HISTORY = """
history AS (
    INSERT INTO task_attempts
        (task_id, attempt, org_id, worker_id, lease_epoch, lease_token, started_at, finished_at, result, error)
    SELECT id, attempt, org_id, worker_id, lease_epoch, lease_token, started_at, statement_timestamp(), result,
           error
    FROM ended
)"""
"""One row per ended attempt, never updated. Reads `ended`."""
