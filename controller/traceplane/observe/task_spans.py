"""The spans of a task's trace that state knows: its wait in the queue, its attempts, and what it follows from.

The trace begins with `task`: from the event or other cause that made the task, to its first claim. Each attempt has
`queued` and `attempt`, however it ended. What an attempt did is recorded by its worker, below `attempt`. A task
that follows from an event of another task has a link to the attempts' trace of that one: traces of a chain are
linked and not one, since one completion may cause a thousand tasks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import Protocol
from uuid import UUID

from traceplane.kit import spans
from traceplane.kit.spans import Span, Value
from traceplane.tasks.states import Result
from traceplane_sdk import tracing
from traceplane_sdk.wire import Fence

Job = tuple[str, str, str]
"""Its namespace, its DAG and its name."""
_FAULTS = frozenset({Result.FAILED, Result.TIMED_OUT, Result.LEASE_EXPIRED})


def claimed(
    job: Job,
    task_id: str,
    attempt: int,
    cause: str,
    waits_since: datetime,
    now: datetime,
    producer: UUID | None,
) -> None:
    """A claim took a task. `producer` is the task whose event it follows from."""
    root = spans.of_task(task_id, "task")
    if not root.sampled:
        return
    start, end = _nanoseconds(waits_since), _nanoseconds(now)
    about = _about(job, task_id)
    if attempt == 1:
        links = [spans.of_task(producer, "task")] if producer is not None else []
        about_task = about | {"trace.cause": cause}
        spans.record(Span("task", root, None, spans.CONSUMER, start, end, about_task, links=links))
    about["trace.attempt"] = attempt
    queued = spans.of_task(task_id, attempt, "queued")
    spans.record(Span("queued", queued, root.span_id, spans.INTERNAL, start, end, about))


class Ended(Protocol):
    """An attempt that ended, as state has it."""

    @property
    def task_id(self) -> str: ...
    @property
    def attempt(self) -> int: ...
    @property
    def result(self) -> str: ...
    @property
    def started_at(self) -> datetime | None: ...
    @property
    def ended_at(self) -> datetime | None: ...
    @property
    def code(self) -> str | None: ...


def ended(job: Job, attempt: Ended) -> None:
    """An attempt ended, by a completion or without one."""
    own = spans.of_task(attempt.task_id, attempt.attempt, "attempt")
    if not own.sampled or attempt.started_at is None or attempt.ended_at is None:
        return
    about = _about(job, attempt.task_id)
    about |= {"trace.attempt": attempt.attempt, "trace.result": attempt.result}
    if attempt.code is not None:
        about["error.type"] = attempt.code
    spans.record(
        Span(
            "attempt",
            own,
            spans.of_task(attempt.task_id, "task").span_id,
            start=_nanoseconds(attempt.started_at),
            end=_nanoseconds(attempt.ended_at),
            attributes=about,
            failed=attempt.code or attempt.result if attempt.result in _FAULTS else None,
        )
    )


@contextmanager
def committing(fences: Sequence[Fence]) -> Iterator[None]:
    """A span for each completion of a call, around the checks and the statement."""
    with ExitStack() as stack:
        for fence in fences if spans.enabled() else ():
            own = spans.of_task(fence.task_id, fence.attempt, "attempt")
            called = tracing.current()
            parent = called if called is not None and called.trace_id == own.trace_id else own
            span = stack.enter_context(spans.spanned("commit", parent))
            span.attributes |= {"trace.task_id": fence.task_id, "trace.attempt": fence.attempt}
        yield


def _about(job: Job, task_id: str) -> dict[str, Value]:
    namespace, dag, name = job
    return {"trace.namespace": namespace, "trace.dag": dag, "trace.job": name, "trace.task_id": task_id}


def _nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000) * 1000
