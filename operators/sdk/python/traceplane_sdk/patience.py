"""Trying again, within bounds: exponential delays with jitter, until a total time is used up."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from traceplane_sdk.errors import DispatcherUnavailable

T = TypeVar("T")

_MAX_DOUBLINGS = 30
"""Bounds the power, not the delay: a count of failures may grow for days."""


def backoff(failures: int, *, base: float, limit: float, jitter: Callable[[], float] = random.random) -> float:
    """Seconds to wait after the `failures`-th failure in a row: x0.5 to x1.5 of a delay that doubles up to `limit`.

    `jitter` gives a number in [0, 1); it keeps callers that failed together from coming back together.
    """
    doublings = min(max(0, failures - 1), _MAX_DOUBLINGS)
    return float(min(limit, base * 2**doublings)) * (0.5 + jitter())


def delays(
    patience: float,
    *,
    base: float = 0.2,
    limit: float = 5.0,
    clock: Callable[[], float] = time.monotonic,
    jitter: Callable[[], float] = random.random,
) -> Iterator[float]:
    """Seconds to wait before each further try, as `backoff` has them; ends after `patience` seconds."""
    give_up = clock() + patience
    failures = 0
    while clock() < give_up:
        failures += 1
        yield backoff(failures, base=base, limit=limit, jitter=jitter)


def retrying(call: Callable[[], T], patience: float) -> T:
    """The answer of `call`, tried again while it raises DispatcherUnavailable, for up to `patience` seconds."""
    failure = DispatcherUnavailable("no attempt was made")
    for delay in delays(patience):
        try:
            return call()
        except DispatcherUnavailable as error:
            failure = error
            time.sleep(delay)
    raise failure
