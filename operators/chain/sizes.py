"""How many calls one provider takes in one HTTP request: found by halving, remembered, and tried upward again.

A size is remembered only once a smaller one has passed: an outage refuses every size and says nothing of any. Twice
as many are tried after a run of requests of the full size, each time after a longer one, so that a limit which
stays costs less and less. Thread-safe.
"""

from __future__ import annotations

import threading

GROW_AFTER, GROW_AFTER_LIMIT = 20, 2_000
"""Requests of the full size in a row before twice as many calls are tried: at first, and at most."""


class BatchSize:
    """`limit`: the calls of one request that are known to pass; None while none was refused."""

    def __init__(self) -> None:
        self.limit: int | None = None
        self._lock = threading.Lock()
        self._run = 0
        self._grow_after = GROW_AFTER

    def next(self, wanted: int) -> int:
        """How many of `wanted` calls to send together; more than the limit where it is time to try."""
        with self._lock:
            if self.limit is None:
                return wanted
            if wanted <= self.limit or self._run < self._grow_after:
                return min(wanted, self.limit)
            self._run = 0  # one try at a time, of the threads that share a provider
            return min(wanted, 2 * self.limit)

    def passed(self, size: int) -> None:
        """A request of `size` calls was answered."""
        with self._lock:
            if self.limit is None or size < self.limit:
                return
            self._run = self._run + 1 if size == self.limit else 0
            self.limit = size

    def shrunk(self, refused: int, passed: int) -> None:
        """`refused` calls were too many, `passed` of them were not."""
        with self._lock:
            if self.limit is not None and refused > self.limit:  # growing was tried too early
                self._grow_after = min(2 * self._grow_after, GROW_AFTER_LIMIT)
            self.limit = passed if self.limit is None else min(passed, self.limit)
            self._run = 0
