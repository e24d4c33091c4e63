"""How fast one provider is asked after it said that it was too fast: half as fast, and gradually faster again.

Additive increase, multiplicative decrease, as TCP does it (RFC 5681, 3.1): a limit that nobody knew is found and
kept close to, and one that was lifted is used again. There is no pace until a provider limits. Thread-safe.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

SLOWEST = 0.2
"""Requests a second."""
RECOVERY = 0.2
"""Requests a second that the pace rises by with each second that is not limited."""
UNPACED = 200.0
"""Requests a second beyond which there is no pace any more."""
_MEASURED = 512
"""Requests that the present rate is measured by, at most."""


class Pace:
    """`rate`: requests a second; None while the provider has not limited. `clock` in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.rate: float | None = None
        self._clock = clock
        self._lock = threading.Lock()
        self._sent: deque[float] = deque(maxlen=_MEASURED)
        self._next = 0.0
        self._limited_at = float("-inf")

    def reserve(self) -> float:
        """Take the next place for a request; returns the seconds to wait for it."""
        with self._lock:
            now = self._clock()
            place = now if self.rate is None else max(now, self._next)
            if self.rate is not None:
                self._next = place + 1 / self.rate
            self._sent.append(place)
            return place - now

    def passed(self) -> None:
        """A request was answered."""
        with self._lock:
            if self.rate is None:
                return
            self.rate += RECOVERY / self.rate  # `rate` answers a second: together RECOVERY a second
            if self.rate > UNPACED:
                self.rate = None

    def limited(self) -> None:
        """A request was refused because there were too many."""
        with self._lock:
            now = self._clock()
            if now < self._limited_at + 1:
                return  # the others of those that were on their way together
            self._limited_at = now
            measured = float(sum(now - 1 <= sent <= now for sent in self._sent))
            self.rate = max(SLOWEST, min(measured, self.rate or measured) / 2)
            self._next = max(self._next, now + 1 / self.rate)
