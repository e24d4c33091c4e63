"""A pool's queue: how many calls may wait, and when a place in it is free again."""

from __future__ import annotations

import asyncio
import threading

import pytest

from traceplane.errors import Overloaded
from traceplane.query.admission.pools import Pool, Pools


async def test_one_more_than_may_wait_is_refused() -> None:
    pool, go = Pool("test", threads=1, waiting=1), threading.Event()
    *running, late = [asyncio.create_task(pool.run(go.wait)) for _ in range(3)]
    with pytest.raises(Overloaded):
        await late
    go.set()
    assert await asyncio.gather(*running) == [True, True]
    assert await pool.run(int) == 0
    pool.close()


async def test_a_caller_that_stops_waiting_leaves_its_thread_busy() -> None:
    pool, began, go = Pool("test", threads=1, waiting=0), threading.Event(), threading.Event()

    def busy() -> None:
        began.set()
        go.wait()

    running = asyncio.create_task(pool.run(busy))
    await asyncio.to_thread(began.wait)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    with pytest.raises(Overloaded):
        await pool.run(int)
    go.set()
    pool.close()


async def test_the_queue_of_logins_is_bounded() -> None:
    pools, go = Pools(), threading.Event()
    running = [asyncio.create_task(pools.logins.run(go.wait)) for _ in range(1000)]
    await asyncio.sleep(0)  # each is in the queue, or refused
    go.set()
    results = await asyncio.gather(*running, return_exceptions=True)
    assert results.count(True) >= 50, "many may come at once"
    assert [type(one) for one in results[-500:]] == [Overloaded] * 500
    pools.close()


async def test_a_pool_without_a_bound_takes_every_call() -> None:
    pool = Pool("test", threads=1)
    assert await asyncio.gather(*(pool.run(int, n) for n in range(100))) == list(range(100))
    pool.close()
