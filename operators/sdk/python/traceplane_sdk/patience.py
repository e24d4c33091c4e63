"""Trying again, within bounds: exponential delays with jitter until a total time is used up."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator


def delays(
    patience: float,
    *,
    base: float = 0.2,
    limit: float = 5.0,
    clock: Callable[[], float] = time.monotonic,
    jitter: Callable[[], float] = random.random,
) -> Iterator[float]:
    """Seconds to wait before each further try, x0.5 to x1.5 of a doubling delay; ends after `patience` seconds."""
    give_up = clock() + patience
    delay = base
    while clock() < give_up:
        yield min(delay, limit) * (0.5 + jitter())
        delay = min(delay * 2, limit)
