"""Many small requests, few statements.

While one statement is in flight, further requests of its kind gather; the next statement takes them all. Under
load that multiplies the throughput of small requests, and when idle it costs nothing, since the first request
starts at once. A queue that is heavy already gains nothing by waiting for more: it starts further statements beside
the first, up to a limit, so that a server with several cores has work for them.

A batch that fails is run again one request at a time, so that a bad request fails alone. Not so when the database
was away: then every request gets the same error, and its caller tries again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Generic, TypeVar

from traceplane.errors import Overloaded, Unavailable

Request = TypeVar("Request")
Session = TypeVar("Session")
Answer = TypeVar("Answer")
Batch = list[tuple[Request, "asyncio.Future[Answer]"]]

MAX_QUEUED_BATCHES = 100
"""Full batches that may wait; one more request is refused."""
HEAVY = 100
"""Weight from which on a statement costs more than the round trip that a larger batch would spare."""
MAX_CONCURRENT = 3
"""Heavy statements of one kind at once, so that claims and completions leave each other pooled connections."""
BATCHES_PER_SESSION = 32
"""Batches that one session runs in a row before it goes back to the pool, where others wait for one."""


class Coalescer(Generic[Session, Request, Answer]):
    """Runs `run` on batches of submitted requests.

    `session` lends what a batch runs on, such as a pooled connection; under load it is kept for several batches,
    since taking and checking one costs as much as a small statement. A batch weighs at most `batch_weight` (or is
    one request). Requests that share any of `keys` never meet in one batch. `serial` says whether one batch at a
    time may run, however heavy the queue.
    """

    def __init__(
        self,
        session: Callable[[], AbstractAsyncContextManager[Session]],
        run: Callable[[Session, Sequence[Request]], Awaitable[Sequence[Answer]]],
        *,
        batch_weight: int,
        weight: Callable[[Request], int] = lambda _request: 1,
        keys: Callable[[Request], Sequence[Hashable]] = lambda _request: (),
        serial: Callable[[], bool] = lambda: False,
    ) -> None:
        self._session = session
        self._run = run
        self._batch_weight = batch_weight
        self._weight = weight
        self._keys = keys
        self._serial = serial
        self._queue: deque[tuple[Request, asyncio.Future[Answer]]] = deque()
        self._queued_weight = 0
        self._runners: set[asyncio.Task[None]] = set()

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing runs."""
        return not self._runners

    async def submit(self, request: Request) -> Answer:
        """The answer to `request`, once its batch ran. Raises Overloaded where the queue is full."""
        weight = self._weight(request)
        if self._queue and self._queued_weight + weight > MAX_QUEUED_BATCHES * self._batch_weight:
            raise Overloaded("too many requests wait for the database; try again")
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._queue.append((request, future))
        self._queued_weight += weight
        if len(self._runners) < self._wanted_runners():
            self._runners.add(asyncio.create_task(self._drain()))
        return await future

    def _wanted_runners(self) -> int:
        return MAX_CONCURRENT if self._queued_weight >= HEAVY and not self._serial() else 1

    async def _drain(self) -> None:
        """Run batches until the queue is empty."""
        own = asyncio.current_task()
        assert own is not None
        try:
            batch = self._take()
            while batch:
                # What came while the session was given back may have no other runner.
                batch = await self._on_session(batch) or self._take()
        finally:
            # No await since the last look at the queue, so a request that comes later starts a runner of its own.
            self._runners.discard(own)
            if not self._runners:
                self._cancel_queued()

    def _cancel_queued(self) -> None:
        """Only a runner that was canceled, at the end of the process, leaves requests in the queue."""
        for _, future in self._queue:
            future.cancel()
        self._queue.clear()
        self._queued_weight = 0

    def _take(self) -> Batch[Request, Answer]:
        """The next batch, in order of arrival; what conflicts with an earlier request stays first in the queue."""
        batch: Batch[Request, Answer] = []
        later: Batch[Request, Answer] = []
        seen: set[Hashable] = set()
        weight = 0
        while self._queue:
            request, future = entry = self._queue[0]
            if batch and weight + self._weight(request) > self._batch_weight:
                break
            self._queue.popleft()
            keys = self._keys(request)
            if not seen.isdisjoint(keys):
                later.append(entry)
                continue
            self._queued_weight -= self._weight(request)
            if future.cancelled():  # its caller disconnected
                continue
            seen.update(keys)
            weight += self._weight(request)
            batch.append(entry)
        self._queue.extendleft(reversed(later))
        return batch

    async def _on_session(self, batch: Batch[Request, Answer]) -> Batch[Request, Answer]:
        """Answer `batch` and what follows it on one session; the batch to go on with on the next."""
        try:
            async with self._session() as session:
                for _ in range(BATCHES_PER_SESSION):
                    healthy = await self._answer(session, batch)
                    batch = self._take()
                    if not batch or not healthy:
                        break
        except Exception as error:  # no session is to be had: the callers of this batch get the error
            _fail(batch, error)
            batch = self._take()
        return batch

    async def _answer(self, session: Session, batch: Batch[Request, Answer]) -> bool:
        """Run one batch; whether the session can still be used."""
        try:
            answers = await self._run(session, [request for request, _ in batch])
        except Exception as error:  # handed to the callers
            if len(batch) > 1 and not isinstance(error, Unavailable):
                return all([await self._answer(session, [entry]) for entry in batch])
            _fail(batch, error)
            return not isinstance(error, Unavailable)
        for (_, future), answer in zip(batch, answers, strict=True):
            if not future.done():
                future.set_result(answer)
        return True


def _fail(batch: Batch[Request, Answer], error: Exception) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)
