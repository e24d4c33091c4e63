"""The life of a worker: claim, run, complete, again; then leave.

A worker is warm: it claims the next task when one is done and leaves only when idle for `idle_timeout_seconds`,
when it is told to (SIGTERM), or when its lease is lost, because then nobody can say what its run still does.

Draining. After SIGTERM nothing more is claimed. A source is handed back at once, since its run has no end; any
other run may finish within the grace period less a margin, is then asked to stop, and is handed back `Released`,
which spends no attempt. A claim that is waiting at the dispatcher is let go to its end, because a lease granted to
a closed connection would hold its task until it expires; its wait is bounded by a third of the grace period.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from enum import StrEnum

from traceplane.kit import crash
from traceplane.kit.loops import backoff
from traceplane.settings import WorkerSettings
from traceplane.worker import journal, surroundings
from traceplane.worker.attempt import Attempt, Ending
from traceplane.worker.health import Health
from traceplane_sdk import wire
from traceplane_sdk.client import TaskApi, TaskApiError, TaskApiUnavailable
from traceplane_sdk.errors import StaleLease

MAX_REFUSALS = 10
"""Claims refused in a row (a wrong token, say) before the process gives up and shows it."""
CLAIMED = crash.declare("worker.claimed")
COMPLETED = crash.declare("worker.completed")


class Left(StrEnum):
    """Why a worker left; all but REFUSED are an orderly end."""

    IDLE = "Idle"
    DRAINED = "Drained"
    LEASE_LOST = "LeaseLost"
    STUCK = "Stuck"
    """The run would not end in time; only ending the process ends it."""
    GONE = "Gone"
    """The job generation does not exist any more."""
    REFUSED = "Refused"


class Worker:
    """One worker of one job generation. `run` is called in the main thread, `drain` from a signal handler."""

    def __init__(
        self,
        settings: WorkerSettings,
        job: str,
        api: TaskApi,
        health: Health,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._job = job
        self._api = api
        self._health = health
        self._clock = clock
        self._log = journal.of_worker(settings.worker_id)
        self._wake = threading.Event()
        self._drain_started: float | None = None

    def drain(self) -> None:
        """Stop claiming and bring the running task to an end."""
        if self._drain_started is None:
            self._drain_started = self._clock()
        self._wake.set()

    def run(self) -> Left:
        """Serve tasks until there is a reason to leave."""
        idle_since = self._clock()
        failures = 0
        while True:
            self._health.turn()
            if self._drain_started is not None:
                return self._leave(Left.DRAINED)
            try:
                claimed = self._claim(idle_since)
                failures = 0
            except (TaskApiUnavailable, TaskApiError, StaleLease) as error:
                failures = failures + 1
                if isinstance(error, TaskApiError) and error.code == "UnknownJob":
                    return self._leave(Left.GONE)
                if isinstance(error, TaskApiError) and failures >= MAX_REFUSALS:
                    self._log("claims refused", {"level": "error", "error": str(error)})
                    return self._leave(Left.REFUSED)
                self._pause(failures, error)
                continue
            if claimed is not None:
                left = self._serve(claimed)
                if left is not None:
                    return self._leave(left)
                idle_since = self._clock()
            elif self._idle_for(idle_since):
                return self._leave(Left.IDLE)

    def _claim(self, idle_since: float) -> wire.ClaimedTask | None:
        wait = min(self._settings.claim_wait_seconds, self._settings.worker_grace_seconds / 3)
        idle = self._settings.idle_timeout_seconds
        if idle is not None:
            wait = max(0.0, min(wait, idle_since + idle - self._clock()))
        request = wire.ClaimRequest(worker_id=self._settings.worker_id, job=self._job, wait_seconds=wait)
        started = self._clock()
        tasks = self._api.claim(request)
        if not tasks:
            # An answer that comes back early and empty must not turn this into a busy loop.
            if self._clock() - started < min(wait, 0.2):
                self._wake.wait(0.2)
            return None
        crash.point(CLAIMED)
        return tasks[0]

    def _idle_for(self, idle_since: float) -> bool:
        idle = self._settings.idle_timeout_seconds
        return idle is not None and self._clock() - idle_since >= idle

    def _serve(self, claimed: wire.ClaimedTask) -> Left | None:
        """Run one task; None to go on, or why to leave."""
        log = journal.of_task(self._settings.worker_id, claimed)
        log("claimed", {"operator": claimed.task.operator, "cause": claimed.task.cause})
        with surroundings.scratch(self._settings) as directory:
            attempt = Attempt(self._settings, self._api, self._health, claimed, log, directory, self._wake)
            self._health.running.set(1)
            try:
                ending = attempt.run(lambda: self._drain_started)
            finally:
                self._health.running.set(0)
        self._health.tasks.labels(ending.value).inc()
        crash.point(COMPLETED)
        return {Ending.LEASE_LOST: Left.LEASE_LOST, Ending.STUCK: Left.STUCK}.get(ending)

    def _pause(self, failures: int, error: Exception) -> None:
        delay = backoff(failures, base=0.5, limit=15, jitter=random.random())  # noqa: S311
        self._log("claim failed", {"level": "warning", "error": str(error), "retry_in": round(delay, 1)})
        if self._drain_started is None:
            self._wake.wait(delay)

    def _leave(self, left: Left) -> Left:
        self._log("leaving", {"reason": left.value})
        return left
