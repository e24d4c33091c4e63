"""Threads for calls that would block the event loop, in pools that do not wait for one another.

A slow dependency must not stop what is quick and needed by every caller: authentication and readiness must not
depend on an object store that does not answer. So each kind of call has threads of its own, and its queue is
bounded where callers could make it long.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from traceplane.errors import Overloaded

_Returned = TypeVar("_Returned")


class Pool:
    """`threads` threads, and at most `waiting` calls that wait for one, where that is given."""

    def __init__(self, name: str, threads: int, waiting: int | None = None) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._places = None if waiting is None else threading.BoundedSemaphore(threads + waiting)

    async def run(self, call: Callable[..., _Returned], *arguments: object) -> _Returned:
        """What `call` returns or raises. Raises Overloaded where too many calls wait."""
        places = self._places
        if places is not None and not places.acquire(blocking=False):
            raise Overloaded("too many requests of this kind are already waiting; try again later")
        running = self._threads.submit(call, *arguments)
        if places is not None:
            # Not when the caller stops waiting: its thread is still busy then.
            running.add_done_callback(lambda _: places.release())
        return await asyncio.wrap_future(running)

    def submit(self, call: Callable[[], None]) -> None:
        """Run it without waiting for it."""
        self._threads.submit(call)

    def close(self) -> None:
        """Begin nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class Pools:
    """The pools of one service."""

    def __init__(self) -> None:
        self.logins = Pool("login", threads=2, waiting=64)
        """Authentication: short statements in state."""
        self.results = Pool("result", threads=4, waiting=32)
        """Looking up, submitting and canceling queries: both databases and the object store."""
        self.probes = Pool("probe", threads=2)
        """Readiness, and refilling the ready cells."""

    def close(self) -> None:
        """Begin nothing more."""
        for pool in (self.logins, self.results, self.probes):
            pool.close()
