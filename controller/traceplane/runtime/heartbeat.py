"""Renews a lease from a thread of its own, so that a busy operator never loses it.

The thread also brings back what the dispatcher answers: pause, cancel, a renewed token, or that the lease is lost.
It takes along what the run reports of itself, and goes earlier where the run's health changed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from traceplane.kit.spans import Span
from traceplane.runtime.port import TaskPort
from traceplane.runtime.reports import Reports
from traceplane_sdk import wire
from traceplane_sdk.context import Log
from traceplane_sdk.control import Control
from traceplane_sdk.errors import CallRefused, DispatcherUnavailable, StaleLease, StopReason

SPACING_SECONDS = 5.0
"""Shortest time between two heartbeats, however often a run's health changes."""


class Lease:
    """One held lease. `token` is the capability token, the newest that the dispatcher sent."""

    def __init__(self, claimed: wire.ClaimedTask) -> None:
        self.fence = wire.Fence(claimed.task.task_id, claimed.attempt, claimed.lease_token)
        self.token = claimed.capability_token


class Heartbeat:
    """Use as a context manager around the run. `interval` and `lease_seconds` in seconds."""

    def __init__(
        self,
        port: TaskPort,
        lease: Lease,
        control: Control,
        reports: Reports,
        *,
        interval: float,
        lease_seconds: float,
        log: Log,
        span: Span,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._port = port
        self._lease = lease
        self._control = control
        self._reports = reports
        self._interval = interval
        self._lease_seconds = lease_seconds
        self._log = log
        self._span = span
        self._clock = clock
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._reports.urgent.set()
        self._thread.join(timeout=1)

    def _beat(self) -> None:
        renewed = self._clock()
        while self._wait():
            try:
                self.renew()
                renewed = self._clock()
            except DispatcherUnavailable:
                self._span.event("heartbeat missed")
                # The lease outlives several missed beats. Once it ran out by this process's clock, the dispatcher
                # may have given the task away, and the fences would refuse what the run still writes.
                if self._clock() - renewed > self._lease_seconds:
                    self._lost("no answer")
                    return
            except (StaleLease, CallRefused):
                self._lost("refused")
                return
            except Exception as error:
                # Without this thread nothing renews the lease, and nobody would notice: the run must not go on.
                self._log("heartbeats ended unexpectedly", {"level": "error", "error": repr(error)})
                self._lost(type(error).__name__)
                return

    def _lost(self, why: str) -> None:
        self._span.event("lease lost", reason=why)
        self._control.stop(StopReason.LEASE_LOST)

    def _wait(self) -> bool:
        """Wait until the next heartbeat is due; False once the run has ended."""
        spacing = min(self._interval, SPACING_SECONDS)
        if self._stop.wait(spacing):
            return False
        self._reports.urgent.wait(min(self._interval - spacing, self._reports.stalls_in()))
        return not self._stop.is_set()

    def renew(self) -> None:
        """One heartbeat, and what its answer asks for."""
        report, fence = self._reports.due(), self._lease.fence
        renewal = wire.Renewal(fence.task_id, fence.attempt, fence.lease_token, report)
        answer = self._port.heartbeat([renewal], self._lease.token, patience=self._interval)
        self._reports.delivered(report)
        state = answer.leases[0]
        if state.lease_expires_at is None:
            raise StaleLease(f"the lease of task {state.task_id} is lost")
        if state.capability_token is not None:  # only a source's run outlives its first token
            self._lease.token = state.capability_token
        self._reports.pause(state.paused)
        self._control.pause(state.paused)
        if state.canceled:
            self._control.stop(StopReason.CANCELED)
