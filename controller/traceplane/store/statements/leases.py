"""Leases while they are held: renewing them, and looking at what a holder may write.

The fence (`transitions.HELD`) stands in the statement itself, so no answer read earlier can be acted upon late.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from traceplane.store.documents import document
from traceplane.store.engine import Connection
from traceplane.store.statements.transitions import HELD

Row = dict[str, object]
"""A lease as its holder names it: task_id, attempt, lease_token, claim_id."""

_LEASES = """jsonb_to_recordset(%(leases)s::jsonb)
        AS x(task_id uuid, attempt int4, lease_token uuid, claim_id uuid)"""

RENEW = f"""
WITH renewed AS (
    UPDATE tasks t SET
        heartbeat_at = statement_timestamp(),
        -- By the length it was granted.
        lease_expires_at = statement_timestamp() + (t.lease_expires_at - t.heartbeat_at)
    FROM {_LEASES}
    WHERE t.id = x.task_id AND {HELD}
    RETURNING t.id, t.job_id, t.lease_expires_at, t.cancel_requested
)
SELECT r.id, r.lease_expires_at, r.cancel_requested, j.paused
FROM renewed r JOIN jobs j ON j.id = r.job_id
"""
"""Extend leases. One that is past its end but not reaped yet is still held."""

SCOPES = f"""
SELECT t.id::text, t.range_start, t.range_end
FROM {_LEASES}
JOIN tasks t ON t.id = x.task_id AND {HELD}
"""
"""The ranges of leased tasks, which never change: looked at before files are verified. The fence decides later."""


@dataclass(frozen=True, slots=True)
class Renewed:
    """A lease that was extended, and what its holder should know."""

    lease_expires_at: datetime
    canceled: bool
    paused: bool


async def renew(conn: Connection, *, org_id: UUID, leases: Sequence[Row]) -> dict[UUID, Renewed]:
    """Extend `leases`; one that is lost has no entry."""
    # In the order of their ids, so that two requests never wait for one another's rows.
    ordered = sorted(leases, key=lambda lease: str(lease["task_id"]))
    rows = await (await conn.execute(RENEW, {"org": org_id, "leases": document(ordered)})).fetchall()
    return {row[0]: Renewed(row[1], row[2], row[3]) for row in rows}


async def scopes(
    conn: Connection, *, org_id: UUID, leases: Sequence[Row]
) -> dict[str, tuple[int | None, int | None]]:
    """Inclusive range of each of `leases` that is held; None where a task has no range."""
    rows = await (await conn.execute(SCOPES, {"org": org_id, "leases": document(leases)})).fetchall()
    return {row[0]: (row[1], row[2]) for row in rows}
