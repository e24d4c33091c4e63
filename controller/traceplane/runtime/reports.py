"""What a run reports of itself, on its way from the run's thread to the heartbeat's.

Only the newest report counts, and it is sent where it differs from what the dispatcher has. A run that is stuck
reports nothing, so the heartbeat's thread watches in its place. A source that judges itself says how long a report
holds, so one bound serves both; after that it is reported as unhealthy, until it reports again. One that does not
judge itself is reported as unhealthy while it stays at one position although its chain goes on.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from traceplane_sdk.context import STALL_SECONDS, Report
from traceplane_sdk.wire import MAX_REPORT_BYTES, SourceReport

_INT64 = range(-(2**63), 2**63)


class Reports:
    """The newest report of one run. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._newest: SourceReport | None = None
        self._stalls_at = math.inf
        """When a healthy source counts as stalled."""
        self._why = ""
        self._paused = False
        self._delivered: SourceReport | None = None
        self.urgent = threading.Event()
        """Set while the dispatcher believes a source to be well that is not, or the other way round."""

    def put(self, given: Report) -> None:
        """Take what the run says."""
        report = SourceReport(
            healthy=bool(given.healthy),
            message=_plain(str(given.message)),
            position=_int64(given.position),
            head=_int64(given.head),
        )
        with self._lock:
            old, self._newest = self._newest, report
            now = self._clock()
            if given.holds is not None:
                self._stalls_at, self._why = now + given.holds, f"no report for over {given.holds:.0f} s"
            elif not _behind(report):
                self._stalls_at = math.inf
            elif old is None or old.position != report.position or not _behind(old):
                self._stalls_at, self._why = now + STALL_SECONDS, f"no advance for over {STALL_SECONDS:.0f} s"
            healthy = report.healthy and now < self._stalls_at
            if healthy != (self._delivered is None or self._delivered.healthy):
                self.urgent.set()

    def pause(self, paused: bool) -> None:
        """A run that is held back says nothing, and does not hang; afterwards it has its time anew."""
        with self._lock:
            if self._paused and not paused and self._stalls_at != math.inf:
                self._stalls_at = max(self._stalls_at, self._clock() + STALL_SECONDS)
            self._paused = paused

    def due(self) -> SourceReport | None:
        """What the dispatcher does not know yet; None where it knows all."""
        with self._lock:
            self.urgent.clear()
            report = self._newest
            if report is not None and report.healthy and not self._paused and self._clock() >= self._stalls_at:
                report = SourceReport(
                    healthy=False,
                    message=_plain(f"{self._why}{_where(report)}; its last report: {report.message}"),
                    position=report.position,
                    head=report.head,
                )
            return None if report == self._delivered else report

    def delivered(self, report: SourceReport | None) -> None:
        """The dispatcher has `report`, which `due` gave."""
        with self._lock:
            self._delivered = report or self._delivered

    def stalls_in(self) -> float:
        """Seconds until the source counts as stalled; infinite where it does already, or need not move."""
        with self._lock:
            healthy = self._newest is not None and self._newest.healthy and not self._paused
            left = self._stalls_at - self._clock() if healthy else math.inf
            return left if left > 0 else math.inf


def _behind(report: SourceReport) -> bool:
    return report.head is not None and (report.position is None or report.position < report.head)


def _where(report: SourceReport) -> str:
    at = "" if report.position is None else f", at {report.position}"
    return at if report.head is None else f"{at}, while the head is {report.head}"


def _plain(message: str) -> str:
    """`message` on one line, of printable characters, cut to the bound: part of it may be a provider's words."""
    line = "".join(character if character.isprintable() else " " for character in message)
    return " ".join(line.split()).encode()[:MAX_REPORT_BYTES].decode(errors="ignore")


def _int64(value: int | None) -> int | None:
    """A height that a provider made up may be of any size."""
    return int(value) if value is not None and value in _INT64 else None
