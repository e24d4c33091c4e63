"""Pausing a job: its queue keeps growing, nothing of it is claimed, and what runs is left to finish."""

from __future__ import annotations

from traceplane.store.engine import Connection
from traceplane.store.statements import notify, versions
from traceplane.store.statements.pointers import DagKey


async def set_paused(conn: Connection, dag: DagKey, *, job: str, paused: bool) -> bool:
    """Pause or resume every generation of a job; whether anything changed. Resuming wakes its workers."""
    changed = await versions.set_paused(conn, dag, job=job, paused=paused)
    if not paused:
        await notify.jobs(conn, changed)
    return bool(changed)
