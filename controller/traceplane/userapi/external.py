"""External assets: a refresh is asked for, and looked at."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import structlog

from traceplane.errors import NotFound, Refused
from traceplane.store.statements import asset_policies
from traceplane.store.statements import external as statements
from traceplane.store.statements.external import Standing
from traceplane.userapi.call import Call
from traceplane.versions import external

_log = structlog.get_logger("trace.audit")


async def refresh_asset(call: Call) -> Any:
    """Read an external asset's source again; answers with the refresh, which goes on."""
    name, namespace = call.name(), call.own_namespace()
    await _seen(call, namespace, name)
    async with call.state.transaction() as conn:
        task = await external.request(conn, org_id=call.principal.org_id, namespace=namespace, asset=name)
    _log.info(
        "asset",
        verb="refresh",
        namespace=namespace,
        asset=name,
        task_id=str(task),
        user_id=str(call.principal.user_id),
    )
    return await _refresh(call, namespace, name, task)


async def asset_refresh(call: Call) -> Any:
    """How a refresh stands, `?task=` or the last one."""
    name, namespace = call.name(), call.own_namespace()
    await _seen(call, namespace, name)
    wanted = call.request.query_params.get("task")
    try:
        task = UUID(wanted) if wanted is not None else None
    except ValueError:
        raise Refused("task: not the id of a task") from None
    return await _refresh(call, namespace, name, task)


async def shown(call: Call, namespace: str, name: str) -> dict[str, Any] | None:
    """What one asset shows of being external; None where a job makes it."""
    found = await _standing(call, namespace, name, None)
    if found is None:
        return None
    return {
        "source": found.content.get("source"),
        "content": found.content.get("content"),
        "version": found.version,
        "refreshed_at": (found.last or {}).get("at"),
        "status": found.status,
        "error": found.error,
    }


async def _seen(call: Call, namespace: str, name: str) -> None:
    """Raise NotFound unless the caller may know of the asset: all may read it, or a role of the caller's."""
    async with call.state.autocommit() as conn:
        stored = await asset_policies.stored(conn, org_id=call.principal.org_id, namespace=namespace, names=[name])
    roles = stored[name].policy.read_roles if name in stored else ()
    if name not in stored or (roles and call.principal.roles.isdisjoint(roles)):
        raise NotFound(f"there is no asset {name!r} in namespace {namespace!r}")


async def _refresh(call: Call, namespace: str, name: str, task: UUID | None) -> dict[str, Any]:
    found = await _standing(call, namespace, name, task)
    if found is None or found.task is None:
        raise NotFound(f"asset {name!r} was not refreshed, or not by this task")
    last = found.last if found.last and found.last.get("task") == str(found.task) else {}
    return {
        "asset": name,
        "namespace": namespace,
        "task": found.task,
        "status": found.status,
        "error": found.error,
        "next_retry_at": found.next_retry_at,
        "result": last.get("result"),
        "before": last.get("before"),
        "version": found.version,
        "source": found.content.get("source"),
        "content": found.content.get("content"),
        "rows": found.rows,
        "bytes": found.bytes,
    }


async def _standing(call: Call, namespace: str, name: str, task: UUID | None) -> Standing | None:
    dag = external.key(call.principal.org_id, namespace, name)
    async with call.state.autocommit() as conn:
        return await statements.standing(conn, dag, job=external.REFRESH, task_id=task)
