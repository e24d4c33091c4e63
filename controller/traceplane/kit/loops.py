"""One shape for every background loop, and one runner for all of them.

A loop is `run_once() -> int`, the number of things it did. It does one bounded batch and knows nothing of
schedules, so a test calls it once and looks. The runner decides when to call it: at once again while it finds
work, on a wake-up, or after `interval` as a net under lost wake-ups; with exponential backoff and jitter after
an error, so that a database that is away is not hammered. Its report callback feeds metrics and logs.

`GiveUp` is not retried: it ends the loop, and the process that runs it exits with its message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from traceplane.errors import GiveUp

# One formula for the platform and for operators, which cannot import the platform.
from traceplane_sdk.patience import backoff as backoff


class LoopReport(Protocol):
    """What the runner reports of each pass."""

    def __call__(self, name: str, *, done: int, seconds: float, error: BaseException | None) -> None:
        """`seconds` is how long the pass took; `error` is what it raised, or None."""


@dataclass
class Loop:
    """A named loop. `interval` and `max_backoff` in seconds."""

    name: str
    run_once: Callable[[], Awaitable[int]]
    interval: float
    max_backoff: float = 30.0
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    """Set it to run the next pass now."""


async def run(loop: Loop, stop: asyncio.Event, report: LoopReport) -> None:
    """Run `loop` until `stop` is set. Reports an error of a pass and backs off; raises GiveUp, and nothing else."""
    clock = asyncio.get_running_loop().time
    failures = 0
    while not stop.is_set():
        loop.wake.clear()
        started = clock()
        try:
            done = await loop.run_once()
        except GiveUp:  # settings or schema are wrong: backing off would only hide that
            raise
        except Exception as error:  # reported, counted and retried: a loop must outlive any one pass
            failures += 1
            report(loop.name, done=0, seconds=clock() - started, error=error)
            await _wait(backoff(failures, base=0.2, limit=loop.max_backoff), stop)
            continue
        failures = 0
        report(loop.name, done=done, seconds=clock() - started, error=None)
        if done == 0:
            await _wait(loop.interval, stop, loop.wake)


async def _wait(seconds: float, *events: asyncio.Event) -> None:
    """Return after `seconds` or when any of `events` is set."""
    waiters = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiters, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for waiter in waiters:
            waiter.cancel()
