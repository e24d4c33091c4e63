"""What a writer does to one task: try it again, or stop it."""

from __future__ import annotations

from typing import Any

import structlog

from traceplane.errors import NotFound, Refused
from traceplane.store.statements import browse, operate
from traceplane.userapi.call import Call

_log = structlog.get_logger("trace.audit")


class Conflict(Refused):
    """The task is in no state for that. HTTP 409."""

    code = "TaskState"


async def retry_task(call: Call) -> Any:
    """Queue a failed or canceled task again, with new attempts before it; answers with the task."""
    return await _operate(call, "retry", operate.RETRY)


async def cancel_task(call: Call) -> Any:
    """End a task that waits, or ask one that runs to stop; answers with the task."""
    return await _operate(call, "cancel", operate.CANCEL)


async def _operate(call: Call, verb: str, statement: Any) -> Any:
    task = call.request.path_params["id"]
    rows = await call.rows(statement, id=task)
    if not rows:
        raise NotFound(f"there is no task {task}")
    if not rows[0]["changed"]:
        raise Conflict(_why(verb, **rows[0]))
    _log.info("task", verb=verb, task_id=str(task), user_id=str(call.principal.user_id))
    found = await call.rows(browse.TASK, id=task)
    return dict(found[0])


def _why(verb: str, *, status: str, cause: str, current: bool, **_: Any) -> str:
    if verb == "cancel" and cause == "Source":
        return "this is the run of a source: it ends with its DAG"
    if verb == "retry" and status in ("Failed", "Canceled") and not current:
        return "its job is no part of the active version any more: nothing would run it"
    if verb == "retry":
        return f"the task is {status}: only one that failed or was canceled can be tried again"
    return f"the task is {status}, and over: there is nothing to cancel"
