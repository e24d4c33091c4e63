"""How the process around a run asks it to pause or to end.

A run is plain synchronous code in a thread of its own. Signals, heartbeats and deadlines happen in other
threads and reach it only here; the run looks at places where nothing is half done.
"""

from __future__ import annotations

import threading

from traceplane_sdk.errors import Stopped, StopReason

_RANK = {reason: rank for rank, reason in enumerate(StopReason)}


class Control:
    """Thread-safe. Stopping is final; pausing is not."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._reason: StopReason | None = None
        self._paused = False
        self._woken = False

    @property
    def reason(self) -> StopReason | None:
        """Why the run is to end, or None."""
        with self._changed:
            return self._reason

    def stop(self, reason: StopReason) -> None:
        """Ask the run to end; a graver reason replaces a lighter one, never the other way round."""
        with self._changed:
            # A run that is draining may still lose its lease; one that lost it must not hand back what it lost.
            if self._reason is None or _RANK[reason] > _RANK[self._reason]:
                self._reason = reason
            self._changed.notify_all()

    def pause(self, paused: bool) -> None:
        """Hold a source back, or let it go on."""
        with self._changed:
            self._paused = paused
            self._changed.notify_all()

    def check(self) -> None:
        """Block while paused; raise Stopped once asked to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._reason is not None or not self._paused)
            if self._reason is not None:
                raise Stopped(self._reason)

    def wait(self, seconds: float) -> None:
        """Sleep for `seconds`, then as `check`; ends at once with Stopped when asked to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._reason is not None, timeout=seconds)
        self.check()

    def wait_for_wake(self, seconds: float) -> None:
        """As `wait`, and ends at `wake`. For the one thread that has nothing to do until then."""
        with self._changed:
            self._changed.wait_for(lambda: self._reason is not None or self._woken, timeout=seconds)
            self._woken = False
        self.check()

    def wake(self) -> None:
        """End the current `wait_for_wake`, or the next one where the run is busy: there is something to do."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()
