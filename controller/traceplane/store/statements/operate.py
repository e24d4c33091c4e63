"""What a person does to one task: reopen it, or cancel it.

Each is one statement that looks at the row under its lock, changes it where it may be changed, and returns what it
saw, so that a refusal can say why.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from traceplane.store.engine import Connection
from traceplane.store.rows import first
from traceplane.store.statements.runnable import RUNNABLE
from traceplane.store.statements.transitions import CANCELED, REOPENED, WAITS

_TASK = f"""
task AS MATERIALIZED (
    SELECT t.id, t.status, t.cause, t.attempt, t.job_id, r.max_attempts, r.job_id IS NOT NULL AS current,
           {WAITS} AS waits
    FROM tasks t
    LEFT JOIN LATERAL (SELECT d.job_id, d.max_attempts FROM jobs j {RUNNABLE} WHERE j.id = t.job_id) r ON true
    WHERE t.id = %(task)s AND t.org_id = %(org)s
    FOR UPDATE OF t
)"""

_FOUND = "SELECT x.status, x.cause, x.current, EXISTS (SELECT FROM changed) AS changed FROM task x"

REOPEN = f"""
WITH {_TASK},
changed AS (
    UPDATE tasks t SET {REOPENED},
        -- All the attempts of its job before it again; a source has no limit.
        max_attempts = CASE WHEN x.cause <> 'Source' THEN x.attempt + x.max_attempts END
    FROM task x
    WHERE t.id = x.id AND x.current AND x.status IN ('Failed', 'Canceled')
    RETURNING t.job_id
),
-- In the statement's own transaction: a person's retry is rare, and needs no second round trip.
woken AS MATERIALIZED (SELECT pg_notify('trace_wake', job_id::text) FROM changed)
{_FOUND} LEFT JOIN woken ON true
"""
"""Queue a failed or canceled task again; its id stays."""

CANCEL = f"""
WITH {_TASK},
canceled AS (
    UPDATE tasks t SET {CANCELED}
    FROM task x
    WHERE t.id = x.id AND x.waits
      AND x.cause <> 'Source'  -- a source ends with its DAG
    RETURNING t.id
),
stopping AS (
    UPDATE tasks t SET cancel_requested = true
    FROM task x
    WHERE t.id = x.id AND x.status = 'Running' AND x.cause <> 'Source'
    RETURNING t.id
),
changed AS (SELECT id FROM canceled UNION ALL SELECT id FROM stopping)
{_FOUND}
"""
"""End a task that waits; ask one that runs to stop, which its next heartbeat says."""


@dataclass(frozen=True, slots=True)
class Found:
    """The task before the statement. `current`: its generation may run; `changed`: it was done."""

    status: str
    cause: str
    current: bool
    changed: bool


async def reopen(conn: Connection, *, org_id: UUID, task_id: UUID) -> Found | None:
    """Queue a failed or canceled task again; None where there is no such task."""
    return await _operate(conn, REOPEN, org_id, task_id)


async def cancel(conn: Connection, *, org_id: UUID, task_id: UUID) -> Found | None:
    """Cancel a task that waits or runs; None where there is no such task."""
    return await _operate(conn, CANCEL, org_id, task_id)


async def _operate(conn: Connection, statement: str, org_id: UUID, task_id: UUID) -> Found | None:
    return await first(conn, Found, statement, {"org": org_id, "task": task_id})
