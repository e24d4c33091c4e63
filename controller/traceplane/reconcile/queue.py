"""Which objects to reconcile next, and when: a queue of keys in which each key stands at most once.

One key is never worked on twice at a time; a key that is added meanwhile runs again afterwards, so that no change
is lost. After an error a key waits longer each time, with jitter; a server that names a time to wait is obeyed.
Between two runs of one key there is always a pause, short at first and longer while runs follow on each other: what
has just begun gets on quickly, a storm of events becomes a few runs, and no mistake in a reconciler becomes a hot
loop. Losing the queue loses nothing: everything is added again at the next resync.

The shape is that of client-go's workqueue: add, run, forget or retry with backoff.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from traceplane.errors import GiveUp
from traceplane.kit.loops import backoff


class Key(NamedTuple):
    """One object by kind, name and namespace."""

    kind: str
    name: str
    namespace: str = ""


Reconcile = Callable[[Key], Awaitable[float | None]]
"""Reconciles one object; seconds until it should run again, or None."""
Report = Callable[[Key, float, BaseException | None], None]
"""Called after every run: key, seconds it took, what it raised."""


_FIRST_PAUSE = 1 / 16
"""The pause after a run that followed on none, as a share of the longest."""


class _Rest(NamedTuple):
    """The pause after a key's last run: until when, and how long."""

    until: float
    seconds: float


class WorkQueue:
    """Keys that wait, with `workers` that take them in order of due time. `pause`: the longest, in seconds."""

    def __init__(self, reconcile: Reconcile, report: Report, *, workers: int = 4, pause: float = 0.2) -> None:
        self._reconcile = reconcile
        self._report = report
        self._workers = workers
        self._pause = pause
        self._due: dict[Key, float] = {}
        self._heap: list[tuple[float, Key]] = []
        self._active: set[Key] = set()
        self._again: dict[Key, float] = {}
        self._failures: dict[Key, int] = {}
        self._rested: dict[Key, _Rest] = {}
        self._changed = asyncio.Condition()

    def __len__(self) -> int:
        return len(self._due) + len(self._active)

    async def add(self, key: Key, delay: float = 0.02) -> None:
        """Run `key` in `delay` seconds, or earlier where it was to run earlier anyway."""
        due = _now() + delay
        if key in self._rested:
            due = max(due, self._rested[key].until)
        if key in self._active:
            self._again[key] = min(due, self._again.get(key, due))
            return
        if due < self._due.get(key, float("inf")):
            self._due[key] = due
            heapq.heappush(self._heap, (due, key))
            async with self._changed:
                self._changed.notify()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; runs in progress end first. Raises GiveUp."""
        workers = [asyncio.create_task(self._work(stop)) for _ in range(self._workers)]
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([stopped, *workers], return_when=asyncio.FIRST_COMPLETED)
            async with self._changed:
                self._changed.notify_all()
            await asyncio.gather(*(worker for worker in workers if stop.is_set() or worker.done()))
        finally:
            for task in (stopped, *workers):
                task.cancel()

    async def _work(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            key = await self._next(stop)
            if key is not None:
                await self._run_one(key)

    async def _next(self, stop: asyncio.Event) -> Key | None:
        """The next due key, marked active; None where there was nothing to take yet."""
        async with self._changed:
            while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
                heapq.heappop(self._heap)  # was moved to an earlier time
            wait = self._heap[0][0] - _now() if self._heap else 3600.0
            if wait > 0 and not stop.is_set():
                try:
                    async with asyncio.timeout(wait):
                        await self._changed.wait()
                except TimeoutError:
                    pass
                return None
            if stop.is_set():
                return None
            _, key = heapq.heappop(self._heap)
            del self._due[key]
            self._active.add(key)
            return key

    async def _run_one(self, key: Key) -> None:
        started, after, error = _now(), None, None
        try:
            after = await self._reconcile(key)
            self._failures.pop(key, None)
        except GiveUp as fatal:  # wrong of the whole process, not of this object: reported, and it ends
            self._report(key, _now() - started, fatal)
            raise
        except Exception as raised:  # reported, counted and tried again: one object must not stop the others
            error = raised
            self._failures[key] = self._failures.get(key, 0) + 1
            asked = getattr(raised, "retry_after", None) or 0.0
            after = max(asked, backoff(self._failures[key], base=0.5, limit=60.0))
        finally:
            self._active.discard(key)
        self._report(key, _now() - started, error)
        self._rested[key] = self._pause_after(key, started)
        await self._plan(key, after, failed=error is not None)

    def _pause_after(self, key: Key, started: float) -> _Rest:
        """Twice as long as the last time where this run followed on the one before it."""
        last = self._rested.get(key)
        close = last is not None and started < last.until + self._pause
        seconds = min(self._pause, 2 * last.seconds if last is not None and close else self._pause * _FIRST_PAUSE)
        return _Rest(_now() + seconds, seconds)

    async def _plan(self, key: Key, after: float | None, *, failed: bool) -> None:
        """Plan the next run: what arrived meanwhile runs soon, unless the key just failed."""
        again = self._again.pop(key, None)
        if failed and after is not None:
            # A change may be what the failed run was missing: run again soon, but not at the pace of the changes.
            await self.add(key, min(after, 2.0) if again is not None else after)
            return
        if again is not None:
            await self.add(key, max(0.0, again - _now()))
        if after is not None:
            await self.add(key, after)
        if again is None and after is None and len(self._rested) > 4096:
            horizon = _now() - self._pause
            self._rested = {k: rest for k, rest in self._rested.items() if rest.until > horizon}


def _now() -> float:
    return asyncio.get_running_loop().time()
