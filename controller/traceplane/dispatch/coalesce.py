"""Many small requests, few statements.

While one statement is in flight, further requests of its kind gather; the next statement takes them all. Under
load that multiplies the throughput of small requests, and when idle it costs nothing, since the first request
starts at once. One flight at a time is enough for small requests. What waits and is already heavy gains nothing
by more company: it flies beside the others, as far as the line may, so that a server with several cores has work
for them.

A batch that fails is run again one request at a time, so that a bad request fails alone. Not so when the database
was away or the transaction collided: then every request learns the same, and its caller tries again.
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


TURNS = 32
"""Batches that one session runs in a row before others get their turn at the pool."""


class Coalescer(Generic[Session, Request, Answer]):
    """Runs `run` on batches of submitted requests: one batch at a time, and up to `flights` heavy ones at once.

    `session` lends what a batch runs on, such as a pooled connection; a busy line keeps it for some batches, since
    taking and checking one costs as much as a small statement.

    A batch weighs at most `batch_weight` (or is one request), and is heavy from `heavy` on; more than
    `queue_weight` waiting is refused with Overloaded. Requests that share any of `keys` never meet in one batch.
    """

    def __init__(
        self,
        session: Callable[[], AbstractAsyncContextManager[Session]],
        run: Callable[[Session, Sequence[Request]], Awaitable[Sequence[Answer]]],
        *,
        batch_weight: int,
        queue_weight: int,
        weight: Callable[[Request], int] = lambda _request: 1,
        keys: Callable[[Request], Sequence[Hashable]] = lambda _request: (),
        heavy: int = 0,
        flights: Callable[[], int] = lambda: 1,
    ) -> None:
        self._session = session
        self._run = run
        self._batch_weight = batch_weight
        self._queue_weight = queue_weight
        self._weight = weight
        self._keys = keys
        self._heavy = heavy
        self._most = flights
        self._waiting: deque[tuple[Request, asyncio.Future[Answer]]] = deque()
        self._waiting_weight = 0
        self._flights: set[asyncio.Task[None]] = set()

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing runs."""
        return not self._flights

    async def submit(self, request: Request) -> Answer:
        """The answer to `request`, once its batch ran."""
        if self._waiting and self._waiting_weight + self._weight(request) > self._queue_weight:
            raise Overloaded("too many requests wait for the database; try again")
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, future))
        self._waiting_weight += self._weight(request)
        beside = self._waiting_weight >= self._heavy and len(self._flights) < self._most()
        if beside or not self._flights:
            self._flights.add(asyncio.create_task(self._fly()))
        return await future

    async def _fly(self) -> None:
        own = asyncio.current_task()
        assert own is not None
        try:
            batch = self._take()
            while batch:
                # what came while the session was given back may have nobody else to take it
                batch = await self._on_session(batch) or self._take()
        finally:
            # In the same breath as the last look: who comes a moment later starts a flight of their own.
            self._flights.discard(own)
            if not self._flights:
                self._abandon()

    def _abandon(self) -> None:
        """Only a flight that was canceled, at the end of the process, leaves anybody waiting."""
        for _, future in self._waiting:
            future.cancel()
        self._waiting.clear()
        self._waiting_weight = 0

    def _take(self) -> Batch[Request, Answer]:
        """The next batch, in order of arrival; what conflicts with an earlier request stays first in line."""
        batch: Batch[Request, Answer] = []
        later: Batch[Request, Answer] = []
        seen: set[Hashable] = set()
        weight = 0
        while self._waiting:
            request, future = entry = self._waiting[0]
            if batch and weight + self._weight(request) > self._batch_weight:
                break
            self._waiting.popleft()
            keys = self._keys(request)
            if not seen.isdisjoint(keys):
                later.append(entry)
                continue
            self._waiting_weight -= self._weight(request)
            if future.cancelled():
                continue
            seen.update(keys)
            weight += self._weight(request)
            batch.append(entry)
        self._waiting.extendleft(reversed(later))
        return batch

    async def _on_session(self, batch: Batch[Request, Answer]) -> Batch[Request, Answer]:
        """Answer `batch` and what follows it on one session; the batch to go on with on the next."""
        try:
            async with self._session() as session:
                for _ in range(TURNS):
                    healthy = await self._answer(session, batch)
                    batch = self._take()
                    if not batch or not healthy:
                        break
        except Exception as error:  # no session to be had: whoever waits for this batch learns it
            _fail(batch, error)
            batch = self._take()
        return batch

    async def _answer(self, session: Session, batch: Batch[Request, Answer]) -> bool:
        """Run one batch; whether the session can still be used."""
        try:
            answers = await self._run(session, [request for request, _ in batch])
        except Exception as error:  # handed to whoever asked
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
