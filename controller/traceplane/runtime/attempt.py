"""One attempt of one task: the run in a thread of its own, the heartbeat in another, and a supervisor of both.

The supervising thread never executes operator code, so it always notices that a lease was lost, a cancellation
was requested or a drain began. What it cannot do is end a thread. A run that ignores a request to stop for too
long is given up as `Ending.STUCK`: its task is handed back where that is still possible, and fences refuse whatever
it still writes. A worker pod then ends its process; the dispatcher, which serves others, leaves the thread its
slot.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum

from traceplane.kit import spans
from traceplane.kit.spans import Span
from traceplane.runtime import task_io
from traceplane.runtime.heartbeat import Heartbeat, Lease
from traceplane.runtime.host import Host
from traceplane.runtime.journal import of_task
from traceplane.runtime.port import TaskPort
from traceplane.runtime.reports import Reports
from traceplane_sdk import tracing, wire
from traceplane_sdk.context import TaskIO
from traceplane_sdk.control import Control
from traceplane_sdk.errors import CallRefused, DispatcherUnavailable, StaleLease, StopReason
from traceplane_sdk.runner import run_task

STOP_SECONDS = 20.0
"""How long a canceled run, or one whose lease is lost, may take to stop."""
LAST_CALL_SECONDS = 2.0
"""How long handing back the task of a stuck run may take: the process is about to be killed."""
LOOK_SECONDS = 5.0
"""How often the supervising thread looks if nothing wakes it."""
LOOK_SOON_SECONDS = 0.2
"""The same while a run is to stop, or the process drains."""


class Ending(StrEnum):
    """How an attempt ended, as the worker's metrics count it."""

    COMPLETED = "Completed"
    FAILED = "Failed"
    RELEASED = "Released"
    CANCELED = "Canceled"
    LEASE_LOST = "LeaseLost"
    STUCK = "Stuck"


class Attempt:
    """Runs `claimed` once. Set `wake` to make the supervising thread look now."""

    def __init__(self, port: TaskPort, host: Host, claimed: wire.ClaimedTask, wake: threading.Event) -> None:
        self._port = port
        self._host = host
        self._claimed = claimed
        self._wake = wake
        self._log = of_task(host.worker_id, claimed)
        self._control = Control()
        self._lease = Lease(claimed)
        self._reports = Reports()
        self._lease_seconds = claimed.lease_seconds or lease_length(
            claimed.lease_expires_at, datetime.now(UTC), host.times.lease
        )
        self._completion: wire.Completion | None = None
        self._ended = threading.Event()
        self._span = Span("run", self._context("run"), self._context("attempt").span_id)
        self._span.attributes |= {
            "trace.task_id": self._lease.fence.task_id,
            "trace.attempt": claimed.attempt,
            "trace.operator": claimed.task.operator,
        }

    @property
    def ended(self) -> bool:
        """Whether the run's thread has ended; after `Ending.STUCK` it may go on for as long as the process."""
        return self._ended.is_set()

    def run(self, drain_started: Callable[[], float | None]) -> Ending:
        """Run, wait, complete. `drain_started` gives when (monotonic) the process began to drain, or None."""
        task = self._claimed.task
        self._log("claimed", {"operator": task.operator, "cause": task.cause})
        heartbeat = Heartbeat(
            self._port,
            self._lease,
            self._control,
            self._reports,
            interval=min(self._host.times.heartbeat, self._lease_seconds / 3),
            lease_seconds=self._lease_seconds,
            log=self._log,
            span=self._span,
        )
        with task_io.scratch(self._host.scratch_dir) as directory, heartbeat:
            io = task_io.task_io(
                self._port, self._host, self._lease, self._control, self._log, directory, self._reports.put
            )
            threading.Thread(target=self._run, args=(io,), name="run", daemon=True).start()
            return self._complete() if self._supervise(drain_started) else self._give_up()

    def _run(self, io: TaskIO) -> None:
        failed: str | None = "LeaseLost"
        try:
            with tracing.entered(self._span.context):
                self._completion = run_task(self._claimed, io, self._host.own.get(self._claimed.task.operator))
            failed = self._completion.error.code if self._completion.error else None
        except StaleLease as error:
            self._log("lease lost", {"level": "warning", "error": str(error)})
        finally:
            self._record(failed)
            self._ended.set()
            self._wake.set()

    def _context(self, name: str) -> tracing.TraceContext:
        return spans.of_task(self._claimed.task.task_id, self._claimed.attempt, name)

    def _record(self, failed: str | None) -> None:
        """The run's span is over: when the run has ended, or is given up."""
        if not self._span.end:
            self._span.end, self._span.failed = time.time_ns(), failed and failed[:64]  # an operator's own word
            spans.record(self._span)

    def _supervise(self, drain_started: Callable[[], float | None]) -> bool:
        """Wait for the run to end; False where it did not end in time after it was asked to."""
        asked: float | None = None
        while not self.ended:
            self._host.beat()
            now = time.monotonic()
            draining = drain_started()
            if draining is not None and now >= draining + self._finish_seconds():
                self._control.stop(StopReason.DRAINING)
            if self._control.reason is not None:
                asked = asked or now
                if now >= self._last_moment(asked, draining):
                    return False
            self._wake.wait(LOOK_SECONDS if draining is None and asked is None else LOOK_SOON_SECONDS)
            self._wake.clear()
        return True

    def _finish_seconds(self) -> float:
        """Seconds of a drain that the run may use before it is asked to stop."""
        return 0.0 if self._claimed.task.scope.get("kind") == "source" else self._host.times.finish

    def _last_moment(self, asked: float, draining: float | None) -> float:
        if draining is None:
            return asked + STOP_SECONDS
        return min(asked + STOP_SECONDS, draining + self._host.times.hand_back)

    def _complete(self) -> Ending:
        if self._completion is None:
            return Ending.LEASE_LOST
        # Read before the delivery: a heartbeat that arrives after it finds the lease gone, which is no reason.
        canceled = self._control.reason is StopReason.CANCELED
        try:
            with (
                spans.spanned(
                    "complete", self._context("attempt"), context=self._context("complete"), kind=spans.CLIENT
                ) as span,
                tracing.entered(span.context),
            ):
                ending = Ending(self._deliver(self._completion).status)
            return Ending.CANCELED if canceled and ending is Ending.FAILED else ending
        except StaleLease as error:
            if canceled:
                return Ending.CANCELED  # the task has ended already, and so has the run: nothing is in doubt
            self._log("completion refused: lease lost", {"level": "warning", "error": str(error)})
        except DispatcherUnavailable as error:
            self._log("completion not delivered; the lease will expire", {"level": "error", "error": str(error)})
        except CallRefused as error:  # not even the failure was taken: the token has expired, say
            self._log("failure refused; the lease will expire", {"level": "error", "error": str(error)})
        return Ending.LEASE_LOST

    def _deliver(self, completion: wire.Completion) -> wire.Completion:
        """Deliver a completion and return the accepted one: a refused one becomes a failure that says so."""
        error = completion.error
        self._log(
            "completing",
            {"status": completion.status} | ({"code": error.code, "error": error.message} if error else {}),
        )
        try:
            self._port.complete(completion, self._lease.token, patience=self._lease_seconds)
        except CallRefused as refusal:
            self._log("completion refused", {"level": "error", "error": str(refusal)})
            # Where it was refused for what it says, the next attempt would say the same: none is spent on it.
            failure = wire.TaskError(
                code="CompletionRefused", message=str(refusal)[:4096], retryable=not refusal.final
            )
            completion = wire.Completion(fence=completion.fence, status="Failed", error=failure)
            self._port.complete(completion, self._lease.token, patience=self._lease_seconds)
        return completion

    def _give_up(self) -> Ending:
        """The run did not stop. Hand its task back, if this attempt still owns it."""
        reason = self._control.reason
        self._log("run did not stop", {"level": "error", "reason": reason.value if reason else None})
        self._record(Ending.STUCK)
        if reason is StopReason.DRAINING:
            released = wire.Completion(fence=self._lease.fence, status="Released")
            try:
                self._port.complete(released, self._lease.token, patience=LAST_CALL_SECONDS)
            except (StaleLease, CallRefused, DispatcherUnavailable) as error:
                self._log("not handed back; the lease will expire", {"level": "warning", "error": str(error)})
        return Ending.STUCK


def lease_length(expires_at: str, now: datetime, longest: float) -> float:
    """Seconds that the lease holds, by this machine's clock.

    `longest` where the clocks of the two machines differ so far that the difference makes no sense.
    """
    try:
        length = (datetime.fromisoformat(expires_at) - now).total_seconds()
    except ValueError:
        return longest
    return length if 1.0 <= length <= longest else longest
