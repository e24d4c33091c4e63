"""How often one user, or one job, may call: a token bucket for each, filled at a steady rate.

A full bucket holds a minute's worth, so a person who opens a dashboard is not slowed and a loop is. Each process
counts for itself, and remembers a bounded number of callers.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

from traceplane.errors import Overloaded

REMEMBERED = 10_000
_ROUNDING = 1e-6


class RateLimited(Overloaded):
    """This caller calls too often. `retry_after` is in whole seconds, at least 1."""

    code = "RateLimited"

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RateLimit:
    """`per_minute` requests of each caller, in one process."""

    def __init__(self, per_minute: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._buckets: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def take(self, key: Hashable, *, caller: str | None = None) -> None:
        """Count a request of `key`, which the audit log names `caller`. Raises RateLimited; a refused one costs
        nothing."""
        now = self._clock()
        full = max(1.0, self._per_minute)
        held, since = self._buckets.get(key, (full, now))
        held = min(full, held + (now - since) * self._per_minute / 60)
        allowed = held > 1 - _ROUNDING
        self._buckets[key] = (held - 1 if allowed else held, now)
        self._buckets.move_to_end(key)
        if len(self._buckets) > REMEMBERED:
            self._buckets.popitem(last=False)  # of the caller seen longest ago: the fullest, so least is lost
        if not allowed:
            wait = math.ceil((1 - held) * 60 / self._per_minute - _ROUNDING)
            refused = RateLimited(f"more than {self._per_minute:g} requests a minute; try again in {wait} s", wait)
            refused.caller = caller
            raise refused
