"""The life of a worker: claim, run, complete, and again, until there is a reason to exit.

A worker is warm: it claims the next task when one is done. It exits when it was idle for `idle_timeout_seconds`, on
SIGTERM, or when an attempt lost its lease or got stuck, because then nobody knows what its run still does.

Draining. After SIGTERM nothing more is claimed. A source is handed back at once, since its run has no end; any
other run may finish within the grace period less a margin, is then asked to stop, and is handed back
`Released`, which spends no attempt.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from enum import StrEnum

from traceplane.kit import crash
from traceplane.kit.loops import backoff
from traceplane.runtime import journal
from traceplane.runtime.attempt import Attempt, Ending
from traceplane.settings import WorkerSettings
from traceplane.worker.health import Health
from traceplane.worker.host import host
from traceplane_sdk import wire
from traceplane_sdk.client import TaskApi
from traceplane_sdk.errors import CallRefused, DispatcherUnavailable, StaleLease

MAX_REFUSALS = 10
"""Claims refused in a row (a wrong token, say) before the process gives up and shows it."""
CLAIMED = crash.declare("worker.claimed")
COMPLETED = crash.declare("worker.completed")


class ExitReason(StrEnum):
    """Why a worker exits; all but REFUSED are an orderly end."""

    IDLE = "Idle"
    DRAINED = "Drained"
    LEASE_LOST = "LeaseLost"
    STUCK = "Stuck"
    """The run would not end in time; only ending the process ends it."""
    JOB_DELETED = "Gone"
    """The job generation does not exist any more."""
    REFUSED = "Refused"


_FINAL = {Ending.LEASE_LOST: ExitReason.LEASE_LOST, Ending.STUCK: ExitReason.STUCK}
"""Endings after which the process exits: a thread of it may still be running operator code."""


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
        self._host = host(settings, health)
        self._clock = clock
        self._log = journal.log(worker_id=settings.worker_id)
        self._wake = threading.Event()
        self._drain_started: float | None = None

    def drain(self) -> None:
        """Stop claiming and bring the running task to an end."""
        if self._drain_started is None:
            self._drain_started = self._clock()
        self._wake.set()

    def run(self) -> ExitReason:
        """Serve tasks until there is a reason to exit. Raises GiveUp where the worker token cannot be read."""
        reason = self._serve()
        self._log("worker exits", {"reason": reason.value})
        return reason

    def _serve(self) -> ExitReason:
        idle_since = self._clock()
        failures = 0
        while self._drain_started is None:
            self._health.beat()
            try:
                claimed = self._claim(idle_since)
                failures = 0
            except (DispatcherUnavailable, CallRefused, StaleLease) as error:
                failures += 1
                if (reason := self._refusal(failures, error)) is not None:
                    return reason
                self._pause(failures, error)
                continue
            if claimed is not None:
                if (reason := _FINAL.get(self._run(claimed))) is not None:
                    return reason
                idle_since = self._clock()
            elif self._idle_for(idle_since):
                return ExitReason.IDLE
        return ExitReason.DRAINED

    def _claim(self, idle_since: float) -> wire.ClaimedTask | None:
        # A claim that waits at the dispatcher is not dropped when a drain begins: a lease granted to a closed
        # connection would hold its task until it expires. So the wait has to fit into the grace period.
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

    def _run(self, claimed: wire.ClaimedTask) -> Ending:
        attempt = Attempt(self._api, self._host, claimed, self._wake)
        self._health.running.set(1)
        try:
            ending = attempt.run(lambda: self._drain_started)
        finally:
            self._health.running.set(0)
        self._health.tasks.labels(ending.value).inc()
        crash.point(COMPLETED)
        return ending

    def _refusal(self, failures: int, error: Exception) -> ExitReason | None:
        """Why a failed claim ends the worker; None where it is to try again."""
        if not isinstance(error, CallRefused):
            return None
        if error.code == "UnknownJob":
            return ExitReason.JOB_DELETED
        if failures >= MAX_REFUSALS:
            self._log("claims refused", {"level": "error", "error": str(error)})
            return ExitReason.REFUSED
        return None

    def _pause(self, failures: int, error: Exception) -> None:
        delay = backoff(failures, base=0.5, limit=15)
        self._log("claim failed", {"level": "warning", "error": str(error), "retry_in": round(delay, 1)})
        if self._drain_started is None:
            self._wake.wait(delay)
