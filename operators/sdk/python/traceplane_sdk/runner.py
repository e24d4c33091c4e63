"""Runs one claimed task and says on the wire how it ended.

The one place that maps exceptions to `wire.Completion`, shared by worker pods and the dispatcher's own runtime:

| ends with                      | completion                                       |
|--------------------------------|--------------------------------------------------|
| a Result                       | Completed                                        |
| OperatorError                  | Failed with its code                             |
| database, network or           | Failed `Unavailable`, retryable                  |
| dispatcher that did not answer |                                                  |
| anything else                  | Failed `OperatorCrashed`, retryable              |
| Stopped(Draining)              | Released                                         |
| Stopped(Canceled)              | Failed `Canceled`, not retryable                 |
| StaleLease, Stopped(LeaseLost) | StaleLease is raised: nothing is to be completed |

Errors and log lines leave the process here, so the secrets that were lent to the run are redacted.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import traceback
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from traceplane_sdk import wire
from traceplane_sdk.context import Context, Result, TaskIO
from traceplane_sdk.errors import OperatorError, StaleLease, Stopped, StopReason
from traceplane_sdk.operator import Operator
from traceplane_sdk.secrecy import RunSecrets

ENTRY_POINTS = "traceplane.operators"
_MESSAGE_LIMIT = 4096
_UNAVAILABLE = frozenset(
    {
        "psycopg.OperationalError",
        "adbc_driver_manager.OperationalError",
        "httpx.TransportError",
        "traceplane_sdk.DispatcherUnavailable",
        "builtins.ConnectionError",
    }
)


Run = Callable[[Context], Result | None]


def run_task(claimed: wire.ClaimedTask, io: TaskIO, run: Run | None = None) -> wire.Completion:
    """Run to the end, synchronously: `run`, or the entry point of the task's operator.

    Raises only StaleLease; every other failure is in the completion.
    """
    fence = wire.Fence(claimed.task.task_id, claimed.attempt, claimed.lease_token)
    secrets = RunSecrets()
    io = secrets.guard(io)
    try:
        result = _run(claimed.task, io, run)
    except Stopped as stopped:
        if stopped.reason is StopReason.LEASE_LOST:
            raise StaleLease("the lease was lost while the task ran") from stopped
        if stopped.reason is StopReason.DRAINING:
            return wire.Completion(fence=fence, status="Released")
        # Ends as Canceled while the request to stop stands; where it was withdrawn meanwhile, the task is retried.
        return _failed(fence, "Canceled", "the task was canceled while it ran", retryable=True)
    except StaleLease:
        raise
    except OperatorError as error:
        return _failed(fence, error.code, secrets.redacted(error.message), retryable=error.retryable)
    except Exception as error:  # the boundary: whatever an operator raises becomes its task's error
        io.log("operator raised", {"error": type(error).__name__, "traceback": traceback.format_exc(limit=20)})
        code = "Unavailable" if is_unavailable(error) else "OperatorCrashed"
        return _failed(fence, code, secrets.redacted(f"{type(error).__name__}: {error}"), retryable=True)
    return wire.Completion(
        fence=fence,
        status="Completed",
        outputs=list(result.outputs),
        events=list(result.events),
        relocations=list(result.relocations),
        state=dict(result.state),
    )


def load_operator(name: str) -> Operator:
    """The operator registered as `name`. OperatorError where there is none."""
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS, name=name):
        operator = entry.load()
        if isinstance(operator, Operator):
            return operator
    raise OperatorError("UnknownOperator", f"no operator {name!r} is installed here", retryable=False)


def is_unavailable(error: BaseException) -> bool:
    """Whether a part we depend on did not answer, by the class names of the drivers that may be in use."""
    names = {f"{kind.__module__.split('.')[0]}.{kind.__name__}" for kind in type(error).__mro__}
    return bool(names & _UNAVAILABLE)


def _run(task: wire.TaskPayload, io: TaskIO, run: Run | None) -> Result:
    config: Any = task.config
    if run is None:
        operator = load_operator(task.operator)
        try:
            config = operator.config_model.model_validate(task.config)
        except ValidationError as error:
            raise OperatorError("BadConfig", str(error), retryable=False) from error
        run = _entrypoint(operator)
    ctx = Context(task, config, io)
    try:
        io.control.check()
        return run(ctx) or Result()
    finally:
        ctx.close()


def _entrypoint(operator: Operator) -> Run:
    module, _, function = operator.entrypoint.partition(":")
    run: Run = getattr(importlib.import_module(module), function)
    return run


def _failed(fence: wire.Fence, code: str, message: str, *, retryable: bool) -> wire.Completion:
    error = wire.TaskError(code=code, message=message[:_MESSAGE_LIMIT], retryable=retryable)
    return wire.Completion(fence=fence, status="Failed", error=error)
