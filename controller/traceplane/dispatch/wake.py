"""Wake-ups: who waits for work hears of it at once, in this process and in the others.

A claim that found nothing waits on its job's bell. Whoever commits new work rings it here and tells the other
replicas by `NOTIFY trace_wake`, after the transaction and in a statement of its own, because a NOTIFY inside
would make commits wait for one another. Many rings within a few milliseconds become one statement. A lost
notification costs one polling interval and nothing else.

A bell is a counter: a waiter reads it before it looks for work, so a ring in between is never missed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from uuid import UUID

from traceplane.errors import Overloaded, Unavailable
from traceplane.observe import dispatch_metrics as metrics
from traceplane.store.engine import Database

CHANNEL = "trace_wake"
MAX_WAITERS = 10_000
GATHER_SECONDS = 0.01
MAX_PENDING = 10_000

NOTIFY = f"SELECT pg_notify('{CHANNEL}', job::text) FROM unnest(%(jobs)s::uuid[]) job"
"""Tell every listener which job generations have work."""


class Wakeups:
    """The bells of this process, and the notifier of the others."""

    def __init__(self, state: Database) -> None:
        self._state = state
        self._rings = 0
        self._last: dict[UUID, int] = {}
        self._waiting: dict[UUID, set[asyncio.Future[object]]] = {}
        self._waiters = 0
        self._pending: set[UUID] = set()
        self._telling: asyncio.Task[None] | None = None
        self.any_work = asyncio.Event()
        """Set at every ring; the local runtime waits on it and clears it."""
        self._closing = False

    def ticket(self) -> int:
        """A point in time of the bells; take it before looking for work."""
        return self._rings

    def ring(self, jobs: Iterable[UUID]) -> None:
        """Wake who waits for `jobs` in this process."""
        self._rings += 1
        for job in jobs:
            waiting = self._waiting.get(job)
            if waiting:
                for future in waiting:
                    if not future.done():
                        future.set_result(None)
            self._last[job] = self._rings
        while len(self._last) > MAX_WAITERS:
            self._last.pop(next(iter(self._last)))
        self.any_work.set()

    def ring_all(self) -> None:
        """Wake everybody: notifications may have been missed."""
        self.ring(list(self._waiting))

    def publish(self, jobs: Iterable[UUID]) -> None:
        """Wake who waits for `jobs` here and in every other process."""
        jobs = set(jobs)
        if not jobs:
            return
        self.ring(jobs)
        if len(self._pending) < MAX_PENDING:
            self._pending |= jobs
        if self._telling is None:
            self._telling = asyncio.create_task(self._tell())

    async def wait(
        self, job: UUID, ticket: int, seconds: float, gone: Callable[[], Awaitable[object]] | None = None
    ) -> bool:
        """Wait at most `seconds` until `job` is rung after `ticket`; False if the caller left (`gone`) or we do."""
        if self._closing:
            return False
        if self._last.get(job, 0) > ticket:
            return True
        if self._waiters >= MAX_WAITERS:
            raise Overloaded("too many long polls; try again")
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        left: asyncio.Future[object] | None = None if gone is None else asyncio.ensure_future(gone())
        awaited = {future} if left is None else {future, left}
        self._waiting.setdefault(job, set()).add(future)
        self._waiters += 1
        metrics.LONG_POLLS.set(self._waiters)
        try:
            await asyncio.wait(awaited, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            return not self._closing and (left is None or not left.done())
        finally:
            self._waiters -= 1
            metrics.LONG_POLLS.set(self._waiters)
            waiting = self._waiting[job]
            waiting.discard(future)
            if not waiting:
                del self._waiting[job]
            future.cancel()
            if left is not None:
                left.cancel()

    def close_waits(self) -> None:
        """End every long poll now: the process is leaving, and its clients ask another replica."""
        self._closing = True
        self.ring_all()

    async def close(self) -> None:
        """Send what is still to be told."""
        if self._telling is not None:
            await self._telling

    async def _tell(self) -> None:
        try:
            await asyncio.sleep(GATHER_SECONDS)
            while self._pending:
                jobs, self._pending = self._pending, set()
                with suppress(Unavailable):  # the listeners' polling covers for a lost notification
                    async with self._state.autocommit() as conn:
                        await conn.execute(NOTIFY, {"jobs": list(jobs)})
        finally:
            self._telling = None
