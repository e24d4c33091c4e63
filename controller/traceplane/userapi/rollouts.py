"""The versions of a DAG as a person moves them: how a rollout stands, approval, rollback, and its end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

import structlog

from traceplane.errors import NotFound, Refused
from traceplane.store.engine import Connection
from traceplane.store.statements import controller_facts
from traceplane.store.statements.pointers import DagKey
from traceplane.userapi.call import Call
from traceplane.versions import gc, rollout

_log = structlog.get_logger("trace.audit")


async def dag_rollout(call: Call) -> Any:
    """How the staged version of the DAG stands."""
    async with call.state.transaction() as conn:
        return await _shown(conn, _key(call))


async def approve_rollout(call: Call) -> Any:
    """Let the staged version take over as soon as it is ready; `?version=` makes sure that it is the one meant."""
    version = call.request.query_params.get("version")
    return await _move(call, "approve", lambda conn, dag: rollout.approve(conn, dag, version=version))


async def resume_rollout(call: Call) -> Any:
    """Deploy again the spec that a rollback held off."""
    return await _move(call, "resume", rollout.resume)


async def roll_back_dag(call: Call) -> Any:
    """Make a former version active, `?version=` or the one before; the spec is held off until it changes."""
    version = call.request.query_params.get("version")
    return await _move(call, "rollback", lambda conn, dag: rollout.roll_back(conn, dag, version=version))


async def collect_garbage(call: Call) -> Any:
    """Purge what only former versions hold, but for the last `?keep=` of them; `?dry_run=true` only looks."""
    keep = _number(call.request.query_params.get("keep", "1"))
    dry_run = call.request.query_params.get("dry_run", "false")
    if dry_run not in ("true", "false"):
        raise Refused("dry_run: true or false")
    dag = _key(call)
    async with call.state.transaction() as conn:
        delay = call.settings.longest_query_seconds
        found = await gc.collect(conn, dag, keep=keep, delay_seconds=delay, dry_run=dry_run == "true")
    if dry_run == "false":
        purged = [str(one.output.version_id) for one in found if one.kept is None]
        _log.info("dag", verb="gc", dag=dag.dag, purged=purged, user_id=str(call.principal.user_id))
    items = [
        {
            "job": one.output.job,
            "output": one.output.output,
            "version": one.output.version_id,
            "storage": one.output.storage,
            "location": one.output.location,
            "rows": one.output.rows,
            "bytes": one.output.bytes,
            "kept": one.kept,
        }
        for one in found
    ]
    return {"dry_run": dry_run == "true", "items": items}


def _number(text: str) -> int:
    if not (text.isdecimal() and len(text) <= 4):
        raise Refused("keep: a number of versions from 0 to 9999")
    return int(text)


async def _move(call: Call, verb: str, change: Callable[[Connection, DagKey], Awaitable[object]]) -> Any:
    dag = _key(call)
    async with call.state.transaction() as conn:
        await change(conn, dag)
        shown = await _shown(conn, dag)
    _log.info(
        "dag",
        verb=verb,
        namespace=dag.namespace,
        dag=dag.dag,
        active=shown["active_version"],
        user_id=str(call.principal.user_id),
    )
    return shown


def _key(call: Call) -> DagKey:
    return DagKey(call.principal.org_id, call.own_namespace(), call.name())


async def _shown(conn: Connection, dag: DagKey) -> dict[str, Any]:
    facts = await controller_facts.pointer_facts(conn, dag)
    if facts is None or facts.deleted_at is not None:
        raise NotFound(f"there is no DAG {dag.dag}")
    found = None
    if facts.staged_version_id is not None:
        found = await rollout.look(conn, active=facts.active_version_id, staged=facts.staged_version_id)
    return {
        "active_version": facts.active_name,
        "staged_version": facts.staged_name,
        "staged_at": facts.staged_at,
        "phase": found.phase if found else "NothingStaged",
        "preview": dict(zip(("start", "end"), found.preview, strict=True)) if found and found.preview else None,
        "approved": facts.approved,
        "held": facts.held_spec_hash is not None,
        "catching_up": facts.catching_up,
        "jobs": [asdict(job) for job in (found.jobs if found else ())],
    }
