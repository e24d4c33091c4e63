"""What a writer does to one task: retry it, or cancel it."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Protocol
from uuid import UUID

import structlog

from traceplane.errors import NotFound, Refused
from traceplane.store.engine import Connection
from traceplane.store.statements import browse_dags, operate
from traceplane.userapi.call import Call

_log = structlog.get_logger("trace.audit")


class Operation(Protocol):
    """A statement on one task."""

    def __call__(self, conn: Connection, *, org_id: UUID, task_id: UUID) -> Awaitable[operate.Found | None]: ...


class Conflict(Refused):
    """The task is in no state for that. HTTP 409."""

    code = "TaskState"


async def retry_task(call: Call) -> Any:
    """Queue a failed or canceled task again, with new attempts before it; answers with the task."""
    return await _operate(call, "retry", operate.reopen)


async def cancel_task(call: Call) -> Any:
    """End a task that waits, or ask one that runs to stop; answers with the task."""
    return await _operate(call, "cancel", operate.cancel)


async def _operate(call: Call, verb: str, statement: Operation) -> Any:
    task = call.request.path_params["id"]
    async with call.state.autocommit() as conn:
        found_task = await statement(conn, org_id=call.principal.org_id, task_id=task)
    if found_task is None:
        raise NotFound(f"there is no task {task}")
    if not found_task.changed:
        raise Conflict(_why(verb, found_task))
    _log.info("task", verb=verb, task_id=str(task), user_id=str(call.principal.user_id))
    return await call.run(browse_dags.task, task_id=task)


def _why(verb: str, task: operate.Found) -> str:
    if verb == "cancel" and task.cause == "Source":
        return "this is the run of a source: it ends with its DAG"
    if verb == "retry" and task.status in ("Failed", "Canceled") and not task.current:
        return "its job is not part of the running version of its DAG any more: nothing would run it"
    if verb == "retry":
        return f"the task is {task.status}: only one that failed or was canceled can be retried"
    return f"the task is {task.status} already: there is nothing to cancel"
