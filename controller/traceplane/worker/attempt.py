"""One attempt of one task: the run in a thread of its own, the heartbeat in another, and who waits for both.

The supervising thread never executes operator code, so it can always see that a deadline passed, a lease was
lost or a drain began. What it cannot do is end a thread; a run that ignores a stop for too long is answered by
leaving the process, which is what `Ending.STUCK` asks for. Fences make that safe.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from traceplane.settings import WorkerSettings
from traceplane.worker import surroundings
from traceplane.worker.health import Health
from traceplane.worker.heartbeat import Heartbeat, Lease
from traceplane_sdk import wire
from traceplane_sdk.client import TaskApi, TaskApiError, TaskApiUnavailable
from traceplane_sdk.control import Control
from traceplane_sdk.errors import StaleLease, StopReason
from traceplane_sdk.runner import run_task

STOP_SECONDS = 20.0
"""How long a canceled run, or one whose lease is gone, may take to notice."""
TURN_SECONDS = 5.0
"""The supervising thread looks up this often even if nothing happens."""


class Ending(StrEnum):
    """How an attempt ended, as the worker's metrics count it."""

    COMPLETED = "Completed"
    FAILED = "Failed"
    RELEASED = "Released"
    CANCELED = "Canceled"
    LEASE_LOST = "LeaseLost"
    STUCK = "Stuck"


class Attempt:
    """Runs `claimed` once. `wake` is set by whoever wants the supervising thread to look up."""

    def __init__(
        self,
        settings: WorkerSettings,
        api: TaskApi,
        health: Health,
        claimed: wire.ClaimedTask,
        log: Callable[[str, Mapping[str, Any]], None],
        directory: Path,
        wake: threading.Event,
    ) -> None:
        self._settings = settings
        self._api = api
        self._health = health
        self._claimed = claimed
        self._log = log
        self._wake = wake
        self._control = Control()
        self._lease = Lease(claimed)
        self._io = surroundings.task_io(settings, api, self._lease, self._control, health, log, directory)
        self._completion: wire.Completion | None = None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="run", daemon=True)

    def run(self, drain_started: Callable[[], float | None]) -> Ending:
        """Run, wait, complete. `drain_started` tells since when (monotonic) the process is draining, or None."""
        lease_seconds = self._claimed.lease_seconds or lease_length(
            self._claimed.lease_expires_at, datetime.now(UTC), self._settings.lease_seconds
        )
        interval = min(self._settings.heartbeat_seconds, lease_seconds / 3)
        with Heartbeat(self._api, self._lease, self._control, interval=interval, lease_seconds=lease_seconds):
            self._thread.start()
            if not self._supervise(drain_started):
                return self._abandon()
            return self._complete(lease_seconds)

    def _run(self) -> None:
        try:
            self._completion = run_task(self._claimed, self._io)
        except StaleLease as error:
            self._log("lease lost", {"level": "warning", "error": str(error)})
        finally:
            self._done.set()
            self._wake.set()

    def _supervise(self, drain_started: Callable[[], float | None]) -> bool:
        """Wait for the run to end; False where it did not end in time after it was asked to."""
        asked: float | None = None
        while not self._done.is_set():
            self._health.turn()
            now = time.monotonic()
            started = drain_started()
            if started is not None and now >= started + self._patience():
                self._control.stop(StopReason.DRAINING)
            if self._control.reason is not None:
                asked = asked or now
                if now >= self._last_moment(asked, started):
                    return False
            self._wake.wait(0.2 if started is not None or asked is not None else TURN_SECONDS)
            self._wake.clear()
        return True

    def _patience(self) -> float:
        """Seconds of the grace period that a run may use before it is asked to stop."""
        if self._claimed.task.scope.get("kind") == "source":
            return 0.0
        return self._settings.worker_grace_seconds * 0.6

    def _last_moment(self, asked: float, drain_started: float | None) -> float:
        if drain_started is None:
            return asked + STOP_SECONDS
        return min(asked + STOP_SECONDS, drain_started + self._settings.worker_grace_seconds * 0.85)

    def _complete(self, lease_seconds: float) -> Ending:
        if self._completion is None:
            return Ending.LEASE_LOST
        try:
            self._send(self._completion, lease_seconds)
        except StaleLease as error:
            if self._control.reason is StopReason.CANCELED:
                return Ending.CANCELED  # the task has ended already, and so has the run: nothing is in doubt
            self._log("completion refused: lease lost", {"level": "warning", "error": str(error)})
            return Ending.LEASE_LOST
        except TaskApiUnavailable as error:
            self._log("completion not delivered", {"level": "error", "error": str(error)})
            return Ending.LEASE_LOST
        return Ending(self._completion.status)

    def _send(self, completion: wire.Completion, lease_seconds: float) -> None:
        """Deliver a completion; one that is refused for its content becomes a failure that says so."""
        error = completion.error
        self._log(
            "completing",
            {"status": completion.status} | ({"code": error.code, "error": error.message} if error else {}),
        )
        try:
            self._api.complete(completion, self._lease.token, patience=lease_seconds)
        except TaskApiError as refusal:
            self._log("completion refused", {"level": "error", "error": str(refusal)})
            failure = wire.TaskError(code="CompletionRefused", message=str(refusal)[:4096])
            failed = wire.Completion(fence=completion.fence, status="Failed", error=failure)
            self._api.complete(failed, self._lease.token, patience=lease_seconds)
            self._completion = failed

    def _abandon(self) -> Ending:
        """The run would not end. Hand the task back where it is still ours; the process must leave."""
        reason = self._control.reason
        self._log("run did not stop", {"level": "error", "reason": reason.value if reason else None})
        if reason is StopReason.DRAINING:
            released = wire.Completion(fence=self._lease.fence, status="Released")
            try:
                self._api.complete(released, self._lease.token, patience=2.0)
            except (StaleLease, TaskApiError, TaskApiUnavailable) as error:
                self._log("not released; the lease will expire", {"level": "warning", "error": str(error)})
        return Ending.STUCK


def lease_length(expires_at: str, now: datetime, longest: float) -> float:
    """Seconds the lease holds, by our clock; `longest` where the clocks disagree so far that it makes no sense."""
    try:
        length = (datetime.fromisoformat(expires_at) - now).total_seconds()
    except ValueError:
        return longest
    return length if 1.0 <= length <= longest else longest
