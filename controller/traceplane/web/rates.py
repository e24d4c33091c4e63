"""How often one user, or one job, may ask: a bucket of tokens for each, filled at a steady rate.

A full bucket holds a minute's worth, so a person who opens a dashboard is not slowed and a loop is. Each process
counts for itself; the number of users it remembers is bounded, and who is forgotten is who asked longest ago, whose
bucket is the fullest.
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
    """This user asks too often. `retry_after` is in whole seconds, at least 1."""

    code = "RateLimited"

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RateLimit:
    """`per_minute` requests of each user, in one process."""

    def __init__(self, per_minute: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._buckets: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def take(self, user: Hashable, *, who: str | None = None) -> None:
        """Count a request of this user, whom a log calls `who`. Raises RateLimited; a refused one costs nothing."""
        now = self._clock()
        full = max(1.0, self._per_minute)
        held, since = self._buckets.get(user, (full, now))
        held = min(full, held + (now - since) * self._per_minute / 60)
        allowed = held > 1 - _ROUNDING
        self._buckets[user] = (held - 1 if allowed else held, now)
        self._buckets.move_to_end(user)
        if len(self._buckets) > REMEMBERED:
            self._buckets.popitem(last=False)
        if not allowed:
            wait = math.ceil((1 - held) * 60 / self._per_minute - _ROUNDING)
            refused = RateLimited(f"more than {self._per_minute:g} requests a minute; try again in {wait} s", wait)
            refused.who = who
            raise refused
