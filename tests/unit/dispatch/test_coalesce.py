"""Requests gather while a batch runs, fail alone, and are never forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from tests.support.waiting import settle
from traceplane.dispatch.coalesce import TURNS, Coalescer
from traceplane.errors import Overloaded, Refused, Unavailable


class Line:
    """A coalescer of numbers that records its batches and runs one when told."""

    def __init__(self, *, batch: int = 10, queue: int = 100, heavy: int = 0, flights: int = 1) -> None:
        self.batches: list[list[int]] = []
        self.sessions = 0
        self.go = asyncio.Semaphore(0)
        self.returned = asyncio.Event()
        self.returned.set()
        self.failing: dict[int, Exception] = {}
        self.line: Coalescer[int, int, int] = Coalescer(
            self._session,
            self._run,
            batch_weight=batch,
            queue_weight=queue,
            keys=lambda n: [n % 100],
            heavy=heavy,
            flights=lambda: flights,
        )

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[int]:
        self.sessions += 1
        yield self.sessions
        await self.returned.wait()

    async def _run(self, _session: int, batch: Sequence[int]) -> Sequence[int]:
        self.batches.append(list(batch))
        await self.go.acquire()
        for number in batch:
            if number in self.failing:
                raise self.failing[number]
        return [number * 2 for number in batch]

    def submit(self, number: int) -> asyncio.Task[int]:
        return asyncio.create_task(self.line.submit(number))


async def test_requests_gather_while_a_batch_runs():
    line = Line()
    first = line.submit(1)
    await settle()
    others = [line.submit(number) for number in (2, 3, 4)]
    await settle()
    assert line.batches == [[1]], "an idle line starts at once, and one batch runs at a time"
    line.go.release()
    line.go.release()
    assert await asyncio.gather(first, *others) == [2, 4, 6, 8]
    assert line.batches == [[1], [2, 3, 4]]
    assert line.sessions == 1


async def test_a_batch_is_bounded_and_so_is_the_queue():
    line = Line(batch=2, queue=3)
    running = [line.submit(1)]
    await settle()
    running += [line.submit(number) for number in (2, 3, 4)]
    await settle()
    with pytest.raises(Overloaded):
        await line.submit(5)
    for _ in range(3):
        line.go.release()
    assert await asyncio.gather(*running) == [2, 4, 6, 8]
    assert line.batches == [[1], [2, 3], [4]]


async def test_requests_about_the_same_thing_never_meet_in_a_batch():
    line = Line()
    running = [line.submit(1)]
    await settle()
    running += [line.submit(number) for number in (2, 102, 3)]
    await settle()
    for _ in range(3):
        line.go.release()
    assert await asyncio.gather(*running) == [2, 4, 204, 6]
    assert line.batches == [[1], [2, 3], [102]]


async def test_a_bad_request_fails_alone():
    line = Line()
    line.failing = {3: Refused("no")}
    running = [line.submit(1)]
    await settle()
    running += [line.submit(number) for number in (2, 3, 4)]
    for _ in range(10):
        line.go.release()
    assert [type(answer) for answer in await asyncio.gather(*running, return_exceptions=True)] == [
        int,
        int,
        Refused,
        int,
    ]


async def test_an_away_database_is_told_to_all_and_the_next_batch_gets_another_session():
    line = Line()
    line.failing = {2: Unavailable("away")}
    running = [line.submit(1)]
    await settle()
    running += [line.submit(number) for number in (2, 3)]
    for _ in range(10):
        line.go.release()
    answers = await asyncio.gather(*running, return_exceptions=True)
    assert [type(answer) for answer in answers] == [int, Unavailable, Unavailable]
    line.failing = {}
    assert await line.submit(7) == 14
    assert line.sessions == 2


async def test_what_comes_while_the_session_is_given_back_is_answered():
    line = Line()
    line.returned.clear()
    line.go.release()
    assert await line.submit(1) == 2
    late = line.submit(2)
    await settle()
    line.go.release()
    line.returned.set()
    assert await asyncio.wait_for(late, 5) == 4


async def test_a_busy_line_gives_its_session_back_now_and_then():
    line = Line(batch=1)
    running = [line.submit(number) for number in range(TURNS + 1)]
    for _ in running:
        line.go.release()
    await asyncio.gather(*running)
    assert line.sessions == 2


async def test_a_heavy_batch_flies_beside_the_others_up_to_a_bound():
    line = Line(batch=2, heavy=2, flights=2)
    running = [line.submit(1)]
    await settle()
    running += [line.submit(2)]
    await settle()
    assert line.batches == [[1]], "a light one waits for company"
    running += [line.submit(3)]
    await settle()
    assert line.batches == [[1], [2, 3]]
    running += [line.submit(number) for number in (4, 5)]
    await settle()
    assert line.batches == [[1], [2, 3]], "no more than two at once"
    for _ in range(3):
        line.go.release()
    assert await asyncio.gather(*running) == [2, 4, 6, 8, 10]
    assert line.sessions == 2
    assert line.line.idle
