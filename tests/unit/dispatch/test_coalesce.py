"""Requests gather while a batch runs, fail alone, and are never forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from tests.support.waiting import settle
from traceplane.dispatch import coalesce
from traceplane.dispatch.coalesce import BATCHES_PER_SESSION, Coalescer
from traceplane.errors import Overloaded, Refused, Unavailable


class Numbers:
    """A coalescer of numbers that records its batches and runs one when it is allowed to."""

    def __init__(self, *, batch: int = 10, serial: bool = True) -> None:
        self.batches: list[list[int]] = []
        self.sessions = 0
        self.go = asyncio.Semaphore(0)
        self.returned = asyncio.Event()
        self.returned.set()
        self.failing: dict[int, Exception] = {}
        self.requests: Coalescer[int, int, int] = Coalescer(
            self._session,
            self._run,
            batch_weight=batch,
            keys=lambda n: [n % 100],
            serial=lambda: serial,
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
        return asyncio.create_task(self.requests.submit(number))


async def test_requests_gather_while_a_batch_runs():
    numbers = Numbers()
    first = numbers.submit(1)
    await settle()
    others = [numbers.submit(number) for number in (2, 3, 4)]
    await settle()
    assert numbers.batches == [[1]], "the first starts at once, and one batch runs at a time"
    numbers.go.release()
    numbers.go.release()
    assert await asyncio.gather(first, *others) == [2, 4, 6, 8]
    assert numbers.batches == [[1], [2, 3, 4]]
    assert numbers.sessions == 1


async def test_a_batch_is_bounded_and_so_is_the_queue(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(coalesce, "MAX_QUEUED_BATCHES", 2)
    numbers = Numbers(batch=2)
    running = [numbers.submit(1)]
    await settle()
    running += [numbers.submit(number) for number in (2, 3, 4, 5)]
    await settle()
    with pytest.raises(Overloaded):
        await numbers.submit(6)
    for _ in range(3):
        numbers.go.release()
    assert await asyncio.gather(*running) == [2, 4, 6, 8, 10]
    assert numbers.batches == [[1], [2, 3], [4, 5]]


async def test_requests_about_the_same_thing_never_meet_in_a_batch():
    numbers = Numbers()
    running = [numbers.submit(1)]
    await settle()
    running += [numbers.submit(number) for number in (2, 102, 3)]
    await settle()
    for _ in range(3):
        numbers.go.release()
    assert await asyncio.gather(*running) == [2, 4, 204, 6]
    assert numbers.batches == [[1], [2, 3], [102]]


async def test_a_bad_request_fails_alone():
    numbers = Numbers()
    numbers.failing = {3: Refused("no")}
    running = [numbers.submit(1)]
    await settle()
    running += [numbers.submit(number) for number in (2, 3, 4)]
    for _ in range(10):
        numbers.go.release()
    assert [type(answer) for answer in await asyncio.gather(*running, return_exceptions=True)] == [
        int,
        int,
        Refused,
        int,
    ]


async def test_every_caller_learns_that_the_database_is_away_and_the_next_batch_gets_another_session():
    numbers = Numbers()
    numbers.failing = {2: Unavailable("away")}
    running = [numbers.submit(1)]
    await settle()
    running += [numbers.submit(number) for number in (2, 3)]
    for _ in range(10):
        numbers.go.release()
    answers = await asyncio.gather(*running, return_exceptions=True)
    assert [type(answer) for answer in answers] == [int, Unavailable, Unavailable]
    numbers.failing = {}
    assert await numbers.submit(7) == 14
    assert numbers.sessions == 2


async def test_a_request_that_arrives_while_the_session_is_given_back_is_answered():
    numbers = Numbers()
    numbers.returned.clear()
    numbers.go.release()
    assert await numbers.submit(1) == 2
    late = numbers.submit(2)
    await settle()
    numbers.go.release()
    numbers.returned.set()
    assert await asyncio.wait_for(late, 5) == 4


async def test_under_load_the_session_is_given_back_now_and_then():
    numbers = Numbers(batch=1)
    running = [numbers.submit(number) for number in range(BATCHES_PER_SESSION + 1)]
    for _ in running:
        numbers.go.release()
    await asyncio.gather(*running)
    assert numbers.sessions == 2


async def test_a_heavy_queue_starts_statements_beside_the_first_up_to_a_bound(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(coalesce, "HEAVY", 2)
    monkeypatch.setattr(coalesce, "MAX_CONCURRENT", 2)
    numbers = Numbers(batch=2, serial=False)
    running = [numbers.submit(1)]
    await settle()
    running += [numbers.submit(2)]
    await settle()
    assert numbers.batches == [[1]], "a light one waits for the statement in flight"
    running += [numbers.submit(3)]
    await settle()
    assert numbers.batches == [[1], [2, 3]]
    running += [numbers.submit(number) for number in (4, 5)]
    await settle()
    assert numbers.batches == [[1], [2, 3]], "no more than two at once"
    for _ in range(3):
        numbers.go.release()
    assert await asyncio.gather(*running) == [2, 4, 6, 8, 10]
    assert numbers.sessions == 2
    assert numbers.requests.idle


async def test_a_serial_queue_runs_one_batch_at_a_time_however_heavy(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(coalesce, "HEAVY", 1)
    numbers = Numbers(batch=1, serial=True)
    running = [numbers.submit(number) for number in (1, 2, 3)]
    await settle()
    assert numbers.batches == [[1]]
    for _ in running:
        numbers.go.release()
    assert await asyncio.gather(*running) == [2, 4, 6]
