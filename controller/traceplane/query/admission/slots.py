"""How many queries run, and how many may wait.

A fixed number runs at once, because each has a memory budget; a bounded number waits, and one more is refused at
once, to come back later. Which caller is next is decided in `fair_queue`; here is the waiting itself. It counts
against the query's own time limit, so that no query waits for a slot that it could not use.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager

from traceplane.query.admission.deadline import within
from traceplane.query.admission.fair_queue import FairQueue, NoSlot
from traceplane.web.disconnect import Disconnect


class Slots:
    """`concurrency` slots and a queue of at most `queue` queries, shared fairly among callers."""

    def __init__(self, concurrency: int, queue: int) -> None:
        self._queue: FairQueue[asyncio.Event] = FairQueue(concurrency, queue)

    @property
    def waiting(self) -> int:
        """Queries that wait for a slot."""
        return self._queue.waiting

    @property
    def running(self) -> int:
        """Queries that hold one."""
        return self._queue.running

    @asynccontextmanager
    async def slot(self, caller: Hashable, seconds: float, disconnected: Disconnect) -> AsyncIterator[None]:
        """Hold a slot. Raises NoSlot where the queue is full, or no slot came free within `seconds`; QueryFailed
        where the client disconnected while it waited."""
        granted = asyncio.Event()
        if not self._queue.enter(caller, granted):
            try:
                await _wait(granted, seconds, disconnected)
            except BaseException:  # also a cancellation: the place, or the slot that just came, is for others
                if granted.is_set():
                    self._release(caller)
                else:
                    self._queue.withdraw(caller, granted)
                raise
        try:
            yield
        finally:
            self._release(caller)

    def _release(self, caller: Hashable) -> None:
        following = self._queue.release(caller)
        if following is not None:
            following.set()


async def _wait(granted: asyncio.Event, seconds: float, disconnected: Disconnect) -> None:
    try:
        async with within(seconds, disconnected):
            await granted.wait()
    except TimeoutError:
        raise NoSlot(f"no slot came free within {seconds:g} seconds; try again later") from None
