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
from traceplane.store.statements.previews import HELD_BACK
from traceplane.store.statements.transitions import HELD

Row = dict[str, object]
"""A lease as its holder names it: task_id, attempt, lease_token, claim_id."""

_LEASES = """jsonb_to_recordset(%(leases)s::jsonb)
        AS x(task_id uuid, attempt int4, lease_token uuid, claim_id uuid)"""

_RENEW = f"""
WITH renewed AS (
    UPDATE tasks t SET
        heartbeat_at = statement_timestamp(),
        -- By the length it was granted.
        lease_expires_at = statement_timestamp() + (t.lease_expires_at - t.heartbeat_at) {{reported}}
    FROM {{leases}}
    WHERE t.id = x.task_id AND {HELD}
    RETURNING t.id, t.job_id, t.lease_expires_at, t.cancel_requested, {{news}} AS news
)
SELECT r.id, r.lease_expires_at, r.cancel_requested, j.paused OR {HELD_BACK}, r.job_id, r.news
FROM renewed r JOIN jobs j ON j.id = r.job_id
"""

RENEW = _RENEW.format(leases=_LEASES, reported="", news="false")
"""Extend leases. One that is past its end but not reaped yet is still held."""

RENEW_AND_REPORT = _RENEW.format(
    leases="""jsonb_to_recordset(%(leases)s::jsonb)
        AS x(task_id uuid, attempt int4, lease_token uuid, claim_id uuid, report jsonb)
    JOIN tasks before ON before.id = x.task_id""",
    reported=", report = coalesce(x.report, t.report)",
    # A source that goes on as well as before is no news, whatever its position is: it has one with every heartbeat.
    news="""coalesce(x.report -> 'healthy' IS DISTINCT FROM before.report -> 'healthy'
        OR (NOT (x.report ->> 'healthy')::bool AND x.report -> 'message' <> before.report -> 'message'), false)
        AND x.report IS NOT NULL""",
)
"""The same, and keep what sources report; `news` where people should see it."""

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
    job_id: UUID
    news: bool
    """Whether its source reports another health than before, or another trouble."""


async def renew(conn: Connection, *, org_id: UUID, leases: Sequence[Row]) -> dict[UUID, Renewed]:
    """Extend `leases`, some of which may have a `report` to keep; one that is lost has no entry."""
    # In the order of their ids, so that two requests never wait for one another's rows.
    ordered = sorted(leases, key=lambda lease: str(lease["task_id"]))
    statement = RENEW_AND_REPORT if any(lease.get("report") for lease in leases) else RENEW
    rows = await (await conn.execute(statement, {"org": org_id, "leases": document(ordered)})).fetchall()
    return {row[0]: Renewed(*row[1:]) for row in rows}


async def scopes(
    conn: Connection, *, org_id: UUID, leases: Sequence[Row]
) -> dict[str, tuple[int | None, int | None]]:
    """Inclusive range of each of `leases` that is held; None where a task has no range."""
    rows = await (await conn.execute(SCOPES, {"org": org_id, "leases": document(leases)})).fetchall()
    return {row[0]: (row[1], row[2]) for row in rows}
