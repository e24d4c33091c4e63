"""Wake-ups: a claim that waits for work is woken at once, in this process and in the others.

A claim that found nothing waits for its job. What commits new work wakes the waiters here and notifies the other
replicas by `NOTIFY trace_wake`, after the transaction and in a statement of its own, because a NOTIFY inside would
make commits wait for one another. Many wake-ups within a few milliseconds become one statement. A lost
notification costs one polling interval and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from uuid import UUID

from traceplane.errors import Overloaded, Unavailable
from traceplane.observe import dispatch_metrics as metrics
from traceplane.store.engine import Database
from traceplane.store.statements import notify

MAX_WAITERS = 10_000
GATHER_SECONDS = 0.01
MAX_PENDING = 10_000


class Wakeups:
    """The waiters of this process, and the notifications to the others."""

    def __init__(self, state: Database) -> None:
        self._state = state
        self._count = 0
        self._all = 0
        self._last: dict[UUID, int] = {}
        self._waiting: dict[UUID, set[asyncio.Future[object]]] = {}
        self._waiters = 0
        self._pending: set[UUID] = set()
        self._notifying: asyncio.Task[None] | None = None
        self.any_work = asyncio.Event()
        """Set at every wake-up; the local runtime waits on it and clears it."""
        self._closing = False

    def ticket(self) -> int:
        """The number of wake-ups so far. Take it before looking for work: one in between is then never missed."""
        return self._count

    def wake(self, jobs: Iterable[UUID]) -> None:
        """Wake the waiters of `jobs` in this process."""
        self._count += 1
        for job in jobs:
            for future in self._waiting.get(job, ()):
                if not future.done():
                    future.set_result(None)
            self._last.pop(job, None)  # to the end, so that the oldest is forgotten first
            self._last[job] = self._count
        while len(self._last) > MAX_WAITERS:
            self._last.pop(next(iter(self._last)))
        self.any_work.set()

    def wake_all(self) -> None:
        """Wake every waiter: notifications may have been missed."""
        self.wake(list(self._waiting))
        self._all = self._count  # for claims that look right now and do not wait yet

    def publish(self, jobs: Iterable[UUID]) -> None:
        """Wake the waiters of `jobs` in this and in every other process."""
        jobs = set(jobs)
        if not jobs:
            return
        self.wake(jobs)
        if len(self._pending) < MAX_PENDING:  # beyond it the other replicas' polling has to do
            self._pending |= jobs
        if self._notifying is None:
            self._notifying = asyncio.create_task(self._notify())

    async def wait(
        self, job: UUID, ticket: int, seconds: float, disconnected: Callable[[], Awaitable[object]] | None = None
    ) -> bool:
        """Wait at most `seconds` until `job` is woken after `ticket`.

        False where looking again is of no use: the caller `disconnected`, or this process shuts down.
        """
        if self._closing:
            return False
        if max(self._last.get(job, 0), self._all) > ticket:
            return True
        if self._waiters >= MAX_WAITERS:
            raise Overloaded("too many long polls; try again")
        woken: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        left: asyncio.Future[object] | None = None
        if disconnected is not None:
            left = asyncio.ensure_future(disconnected())
        self._waiting.setdefault(job, set()).add(woken)
        self._waiters += 1
        metrics.LONG_POLLS.set(self._waiters)
        try:
            awaited = {woken} if left is None else {woken, left}
            await asyncio.wait(awaited, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            return not self._closing and (left is None or not left.done())
        finally:
            self._waiters -= 1
            metrics.LONG_POLLS.set(self._waiters)
            waiting = self._waiting[job]
            waiting.discard(woken)
            if not waiting:
                del self._waiting[job]
            woken.cancel()
            if left is not None:
                left.cancel()

    def close_waits(self) -> None:
        """End every long poll now: the process shuts down, and its clients ask another replica."""
        self._closing = True
        self.wake_all()

    async def close(self) -> None:
        """Send the notifications that are still pending."""
        if self._notifying is not None:
            await self._notifying

    async def _notify(self) -> None:
        try:
            await asyncio.sleep(GATHER_SECONDS)
            while self._pending:
                jobs, self._pending = self._pending, set()
                with suppress(Unavailable):  # the other replicas' polling covers for a lost notification
                    async with self._state.autocommit() as conn:
                        await notify.jobs(conn, jobs)
        finally:
            self._notifying = None
