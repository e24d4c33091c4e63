"""How many queries run, and how many may wait.

A fixed number runs at once, because each has a memory budget; a bounded line waits in order of arrival, and the
next one is told at once to come back later. Waiting counts against the query's own time limit, so nobody waits
for a turn that could not be used; and who has gone leaves the line, where others wait behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from traceplane.errors import Overloaded
from traceplane.query.job import canceled
from traceplane.query.leaving import Gone


class NoTurn(Overloaded):
    """There is no room for another query now. The query did not begin."""


class Admission:
    """`concurrency` turns and a line of at most `queue`."""

    def __init__(self, concurrency: int, queue: int) -> None:
        self._turns = asyncio.Semaphore(concurrency)
        self._queue = queue
        self.waiting = 0
        self.running = 0

    @asynccontextmanager
    async def turn(self, seconds: float, gone: Gone) -> AsyncIterator[None]:
        """Hold a turn. Raises NoTurn when the line is full, or when no turn came within `seconds`; QueryFailed when
        the client had `gone` by then."""
        if self._turns.locked() and self.waiting >= self._queue:
            raise NoTurn(f"{self.waiting} queries wait already; try again later")
        self.waiting += 1
        try:
            async with asyncio.timeout(seconds) as limit, _cut_short(limit, gone):
                await self._turns.acquire()
        except TimeoutError:
            if gone.done():
                raise canceled() from None
            raise NoTurn(f"no turn within {seconds:g} seconds; try again later") from None
        finally:
            self.waiting -= 1
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1
            self._turns.release()


@asynccontextmanager
async def _cut_short(limit: asyncio.Timeout, gone: Gone) -> AsyncIterator[None]:
    """Let `limit` end now when the client goes."""

    def end(_: Gone) -> None:
        if not limit.expired():
            limit.reschedule(0)

    gone.add_done_callback(end)
    try:
        yield
    finally:
        gone.remove_done_callback(end)
