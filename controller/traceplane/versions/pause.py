"""Pausing a job: its queue keeps growing, nothing of it is claimed, and what runs is left to finish."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from traceplane.store.statements import policy as statements
from traceplane.store.statements import versions


async def set_paused(
    conn: AsyncConnection, *, org_id: UUID, namespace: str, dag: str, job: str, paused: bool
) -> bool:
    """Pause or resume every generation of a job; whether anything changed. Resuming wakes its workers."""
    parameters = {"org": org_id, "namespace": namespace, "dag": dag, "job": job, "paused": paused}
    changed = list((await conn.execute(statements.SET_PAUSED, parameters)).scalars())
    if changed and not paused:
        await conn.execute(versions.WAKE, {"jobs": changed})
    return bool(changed)
