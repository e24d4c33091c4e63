"""Canceling the work of job generations: what is left behind by a deploy, and what goes with a deleted DAG.

What waits ends at once. What runs is asked to stop, which its next heartbeat says; it ends as Canceled then, or is
ended here once its time is over. Dead tasks stay as they are, for a person to see.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from traceplane.store.engine import Connection
from traceplane.store.statements.pointers import DagKey
from traceplane.store.statements.transitions import CANCELED, HISTORY, WAITS

WAITING = f"UPDATE tasks t SET {CANCELED} WHERE t.job_id = ANY(%(jobs)s) AND {WAITS}"
"""End what waits to be claimed or for its retry."""

LEFT_BEHIND = f"""
UPDATE tasks t SET {CANCELED}
FROM jobs j
WHERE j.org_id = %(org)s AND j.namespace = %(namespace)s AND j.dag = %(dag)s AND j.id <> ALL(%(running)s)
  AND t.job_id = j.id AND {WAITS}
"""
"""End what waits of generations that do not run: what came while they were left."""

REQUEST_STOP = """
UPDATE tasks t SET cancel_requested = true
WHERE t.job_id = ANY(%(jobs)s) AND t.status = 'Running' AND NOT t.cancel_requested
"""
"""Ask running tasks to stop."""

LEAVE = "UPDATE jobs SET left_at = statement_timestamp() WHERE id = ANY(%(jobs)s) AND preview IS NULL"
"""Note when a generation was left: what was announced long before has its task. Of a preview it has not."""

WITHDRAW_STOP = """
UPDATE tasks t SET cancel_requested = false
WHERE t.job_id = ANY(%(jobs)s) AND t.status = 'Running' AND t.cancel_requested
"""
"""Take such a request back, where the generation is current again before the task has ended."""

COUNT_RUNNING = "SELECT count(*) FROM tasks WHERE job_id = ANY(%(jobs)s) AND status = 'Running'"
"""How many tasks hold a lease."""

END_RUNNING = f"""
WITH ended AS (
    UPDATE tasks t SET {CANCELED}
    WHERE t.job_id = ANY(%(jobs)s) AND t.status = 'Running'
    RETURNING t.id, t.attempt, t.org_id, t.worker_id, t.lease_epoch, t.lease_token, t.started_at,
              t.status AS result, NULL::jsonb AS error
),
{HISTORY}
SELECT count(*) FROM ended
"""
"""End what did not stop in time; the fence refuses its worker's completion from now on."""


async def waiting(conn: Connection, *, job_ids: Sequence[UUID]) -> None:
    """Cancel queued tasks and those that wait for a retry."""
    await conn.execute(WAITING, {"jobs": list(job_ids)})


async def left_behind(conn: Connection, dag: DagKey, *, running: Sequence[UUID]) -> None:
    """Cancel what waits of every generation of a DAG but those that run."""
    await conn.execute(LEFT_BEHIND, dag.parameters | {"running": list(running)})


async def request_stop(conn: Connection, *, job_ids: Sequence[UUID]) -> None:
    """Ask running tasks to stop."""
    await conn.execute(REQUEST_STOP, {"jobs": list(job_ids)})


async def leave(conn: Connection, *, job_ids: Sequence[UUID]) -> None:
    """Generations that ran until now run no more."""
    await conn.execute(LEAVE, {"jobs": list(job_ids)})
    await request_stop(conn, job_ids=job_ids)


async def withdraw_stop(conn: Connection, *, job_ids: Sequence[UUID]) -> None:
    """Let running tasks go on that were asked to stop."""
    await conn.execute(WITHDRAW_STOP, {"jobs": list(job_ids)})


async def count_running(conn: Connection, *, job_ids: Sequence[UUID]) -> int:
    """How many tasks run."""
    return await _number(conn, COUNT_RUNNING, job_ids)


async def end_running(conn: Connection, *, job_ids: Sequence[UUID]) -> int:
    """Cancel running tasks without waiting for their workers; how many ran."""
    return await _number(conn, END_RUNNING, job_ids)


async def _number(conn: Connection, statement: str, job_ids: Sequence[UUID]) -> int:
    row = await (await conn.execute(statement, {"jobs": list(job_ids)})).fetchone()
    return int(row[0]) if row else 0
