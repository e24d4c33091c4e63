"""Threads for what would hold up the event loop, in pools that do not wait for one another.

What is slow must not stop what is quick and needed by everybody: who is authenticated, and whether the service is
ready, must not depend on an object store that does not answer. So each has threads of its own, and the line before
what callers can make long is bounded.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from traceplane.errors import Overloaded

_Said = TypeVar("_Said")


class Pool:
    """`threads` threads. Of those who ask, at most `waiting` wait for one, where that is given."""

    def __init__(self, name: str, threads: int, waiting: int | None = None) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._places = None if waiting is None else threading.BoundedSemaphore(threads + waiting)

    async def ask(self, call: Callable[..., _Said], *arguments: object) -> _Said:
        """What `call` returns or raises. Raises Overloaded where too many wait."""
        places = self._places
        if places is not None and not places.acquire(blocking=False):
            raise Overloaded("too many requests of this kind wait already; try again later")
        asked = self._threads.submit(call, *arguments)
        if places is not None:
            asked.add_done_callback(lambda _: places.release())  # not when who asked goes: the thread is busy still
        return await asyncio.wrap_future(asked)

    def soon(self, call: Callable[[], None]) -> None:
        """Call it, and wait for nothing."""
        self._threads.submit(call)

    def close(self) -> None:
        """Begin nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class Pools:
    """The pools of one service."""

    def __init__(self) -> None:
        self.logins = Pool("login", threads=2, waiting=64)
        """Who calls: short statements in state."""
        self.results = Pool("result", threads=4, waiting=32)
        """What is known of queries, and leaving them: both databases and the object store."""
        self.probes = Pool("probe", threads=2)
        """Readiness, and cells for the queries to come."""

    def close(self) -> None:
        """Begin nothing more."""
        for pool in (self.logins, self.results, self.probes):
            pool.close()
