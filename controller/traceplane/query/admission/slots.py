"""How many queries run, and how many may wait.

A fixed number runs at once, because each has a memory budget; a bounded line waits, and one more is told at once to
come back later. Whose turn is next is decided in `line`; here is the waiting itself. It counts against the query's
own time limit, so nobody waits for a turn that could not be used; and who has gone leaves the line, where others
wait behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager

from traceplane.query.admission.fair_queue import FairQueue, NoSlot
from traceplane.query.api.disconnect import within
from traceplane.web.disconnect import Disconnect


class Admission:
    """`concurrency` turns and a line of at most `queue`, which go around those who ask."""

    def __init__(self, concurrency: int, queue: int) -> None:
        self._line: FairQueue[asyncio.Event] = FairQueue(concurrency, queue)

    @property
    def waiting(self) -> int:
        """Queries that wait for a turn."""
        return self._line.waiting

    @property
    def running(self) -> int:
        """Queries that hold one."""
        return self._line.running

    @asynccontextmanager
    async def turn(self, caller: Hashable, seconds: float, gone: Disconnect) -> AsyncIterator[None]:
        """Hold a turn. Raises NoSlot when there is no place in line, or when no turn came within `seconds`;
        QueryFailed when the client had `gone` by then."""
        its_turn = asyncio.Event()
        if not self._line.enter(caller, its_turn):
            try:
                await _waited(its_turn, seconds, gone)
            except BaseException:  # whatever ends the waiting, the place or the turn is somebody else's now
                if its_turn.is_set():
                    self._end(caller)
                else:
                    self._line.leave(caller, its_turn)
                raise
        try:
            yield
        finally:
            self._end(caller)

    def _end(self, caller: Hashable) -> None:
        following = self._line.end(caller)
        if following is not None:
            following.set()


async def _waited(its_turn: asyncio.Event, seconds: float, gone: Disconnect) -> None:
    try:
        async with within(seconds, gone):
            await its_turn.wait()
    except TimeoutError:
        raise NoSlot(f"no turn within {seconds:g} seconds; try again later") from None
