"""The work queue: one key at a time, nothing lost, nothing hot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest

from traceplane.drivers.kube import ApiUnavailable
from traceplane.errors import GiveUp
from traceplane.reconcile.queue import Key, WorkQueue

A, B = Key("DAG", "a"), Key("DAG", "b")
Work = Callable[[Key], Awaitable[float | None]]


@asynccontextmanager
async def running(work: Work, pause: float = 0.0) -> AsyncIterator[tuple[WorkQueue, list[BaseException | None]]]:
    """A queue at work, and what its runs raised."""
    errors: list[BaseException | None] = []
    queue = WorkQueue(work, lambda _key, _seconds, error: errors.append(error), workers=3, pause=pause)
    stop = asyncio.Event()
    task = asyncio.create_task(queue.run(stop))
    try:
        yield queue, errors
    finally:
        stop.set()
        await asyncio.wait_for(task, 5)


async def test_a_key_runs_once_for_many_adds() -> None:
    runs: list[Key] = []
    done = asyncio.Event()

    async def work(key: Key) -> None:
        runs.append(key)
        if key == B:
            done.set()

    async with running(work) as (queue, _):
        for _ in range(50):
            await queue.add(A, 0.01)
        await queue.add(B, 0.05)
        await asyncio.wait_for(done.wait(), 5)
    assert runs == [A, B]


async def test_news_during_a_run_is_another_run_and_never_beside_it() -> None:
    active = peak = 0
    runs = 0
    inside, release, again = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work(_key: Key) -> None:
        nonlocal active, peak, runs
        active, runs = active + 1, runs + 1
        peak = max(peak, active)
        inside.set()
        await release.wait()
        active -= 1
        if runs == 2:
            again.set()

    async with running(work) as (queue, _):
        await queue.add(A, 0)
        await asyncio.wait_for(inside.wait(), 5)
        await queue.add(A, 0)
        await queue.add(A, 0)
        release.set()
        await asyncio.wait_for(again.wait(), 5)
    assert (peak, runs) == (1, 2)


async def test_a_failed_key_waits_longer_and_does_not_stop_others() -> None:
    times: list[float] = []
    third = asyncio.Event()
    other = asyncio.Event()

    async def work(key: Key) -> None:
        if key == B:
            other.set()
            return
        times.append(asyncio.get_running_loop().time())
        if len(times) == 3:
            third.set()
            return
        raise RuntimeError("wrong")

    async with running(work) as (queue, errors):
        await queue.add(A, 0)
        await queue.add(B, 0)
        await asyncio.wait_for(other.wait(), 5)
        await asyncio.wait_for(third.wait(), 10)
    assert times[1] - times[0] >= 0.25
    assert times[2] - times[1] >= 0.5
    assert sum(error is not None for error in errors) == 2


async def test_a_server_that_names_a_time_is_obeyed() -> None:
    times: list[float] = []
    second = asyncio.Event()

    async def work(_key: Key) -> None:
        times.append(asyncio.get_running_loop().time())
        if len(times) == 2:
            second.set()
            return
        raise ApiUnavailable("busy", status=429, retry_after=1.5)

    async with running(work) as (queue, _):
        await queue.add(A, 0)
        await asyncio.wait_for(second.wait(), 10)
    assert times[1] - times[0] >= 1.5


async def test_a_storm_of_news_about_one_key_comes_to_be_run_no_more_often_than_every_pause() -> None:
    begun: list[float] = []

    async def work(_key: Key) -> None:
        begun.append(asyncio.get_running_loop().time())

    async with running(work, pause=0.2) as (queue, _):
        while len(begun) < 8:
            await queue.add(A, 0)
            await asyncio.sleep(0)
    waited = [later - earlier for earlier, later in pairwise(begun)]
    assert all(
        seconds >= 0.2 * share for seconds, share in zip(waited, (1 / 16, 1 / 8, 1 / 4, 1 / 2), strict=False)
    )
    assert all(seconds >= 0.2 for seconds in waited[4:])


async def test_the_first_run_after_another_does_not_wait_the_whole_pause() -> None:
    runs, second = 0, asyncio.Event()

    async def work(_key: Key) -> None:
        nonlocal runs
        runs += 1
        await queue.add(A, 0)
        if runs == 2:
            second.set()

    async with running(work, pause=16) as (queue, _):
        await queue.add(A, 0)
        await asyncio.wait_for(second.wait(), 10)


async def test_a_run_may_ask_to_be_run_again() -> None:
    runs = 0
    twice = asyncio.Event()

    async def work(_key: Key) -> float | None:
        nonlocal runs
        runs += 1
        if runs == 2:
            twice.set()
            return None
        return 0.05

    async with running(work) as (queue, _):
        await queue.add(A, 0)
        await asyncio.wait_for(twice.wait(), 5)


async def test_an_error_that_must_end_the_process_ends_the_queue() -> None:
    async def work(_key: Key) -> None:
        raise GiveUp("wrong schema")

    queue = WorkQueue(work, lambda _key, _seconds, _error: None)
    await queue.add(A, 0)
    with pytest.raises(GiveUp):
        await asyncio.wait_for(queue.run(asyncio.Event()), 5)
