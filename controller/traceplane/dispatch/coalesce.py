"""Many small requests, few statements.

While one statement is in flight, further requests of its kind gather; the next statement takes them all. Under
load that multiplies the throughput of small requests, and when idle it costs nothing, since the first request
starts at once. One flight at a time per kind is enough.

A batch that fails is run again one request at a time, so that a bad request fails alone. Not so when the database
was away or the transaction collided: then every request learns the same, and its caller tries again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

from traceplane.errors import Overloaded, Unavailable

Request = TypeVar("Request")
Answer = TypeVar("Answer")


class Coalescer(Generic[Request, Answer]):
    """Runs `run` on batches of submitted requests, one batch at a time.

    A batch weighs at most `batch_weight` (or is one request); more than `queue_weight` waiting is refused with
    Overloaded. Requests that share any of `keys` never meet in one batch.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Request]], Awaitable[Sequence[Answer]]],
        *,
        batch_weight: int,
        queue_weight: int,
        weight: Callable[[Request], int] = lambda _request: 1,
        keys: Callable[[Request], Sequence[Hashable]] = lambda _request: (),
    ) -> None:
        self._run = run
        self._batch_weight = batch_weight
        self._queue_weight = queue_weight
        self._weight = weight
        self._keys = keys
        self._waiting: deque[tuple[Request, asyncio.Future[Answer]]] = deque()
        self._waiting_weight = 0
        self._flight: asyncio.Task[None] | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing runs."""
        return self._flight is None

    async def submit(self, request: Request) -> Answer:
        """The answer to `request`, once its batch ran."""
        if self._waiting and self._waiting_weight + self._weight(request) > self._queue_weight:
            raise Overloaded("too many requests wait for the database; try again")
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, future))
        self._waiting_weight += self._weight(request)
        if self._flight is None:
            self._flight = asyncio.create_task(self._fly())
        return await future

    async def _fly(self) -> None:
        try:
            while batch := self._take():
                await self._answer(batch)
        finally:
            self._flight = None
            for _, future in self._waiting:
                future.cancel()
            self._waiting.clear()
            self._waiting_weight = 0

    def _take(self) -> list[tuple[Request, asyncio.Future[Answer]]]:
        """The next batch, in order of arrival; what conflicts with an earlier request stays first in line."""
        batch: list[tuple[Request, asyncio.Future[Answer]]] = []
        later: list[tuple[Request, asyncio.Future[Answer]]] = []
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

    async def _answer(self, batch: list[tuple[Request, asyncio.Future[Answer]]]) -> None:
        try:
            answers = await self._run([request for request, _ in batch])
        except Exception as error:  # handed to whoever asked
            if len(batch) > 1 and not isinstance(error, Unavailable):
                for entry in batch:
                    await self._answer([entry])
                return
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            if not future.done():
                future.set_result(answer)
