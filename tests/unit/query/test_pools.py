"""A pool's line: how many may wait, and when a place in it is free again."""

from __future__ import annotations

import asyncio
import threading

import pytest

from traceplane.errors import Overloaded
from traceplane.query.admission.pools import Pool, Pools


async def test_one_more_than_may_wait_is_told_to_come_back() -> None:
    pool, go = Pool("test", threads=1, waiting=1), threading.Event()
    *asked, late = [asyncio.create_task(pool.ask(go.wait)) for _ in range(3)]
    with pytest.raises(Overloaded):
        await late
    go.set()
    assert await asyncio.gather(*asked) == [True, True]
    assert await pool.ask(int) == 0
    pool.close()


async def test_who_goes_leaves_a_thread_that_is_busy_still() -> None:
    pool, began, go = Pool("test", threads=1, waiting=0), threading.Event(), threading.Event()

    def busy() -> None:
        began.set()
        go.wait()

    asked = asyncio.create_task(pool.ask(busy))
    await asyncio.to_thread(began.wait)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    with pytest.raises(Overloaded):
        await pool.ask(int)
    go.set()
    pool.close()


async def test_the_line_of_those_who_log_in_has_an_end() -> None:
    pools, go = Pools(), threading.Event()
    asked = [asyncio.create_task(pools.logins.ask(go.wait)) for _ in range(1000)]
    await asyncio.sleep(0)  # each has asked
    go.set()
    said = await asyncio.gather(*asked, return_exceptions=True)
    assert said.count(True) >= 50, "many may come at once"
    assert [type(one) for one in said[-500:]] == [Overloaded] * 500
    pools.close()


async def test_a_pool_without_a_bound_takes_everybody() -> None:
    pool = Pool("test", threads=1)
    assert await asyncio.gather(*(pool.ask(int, n) for n in range(100))) == list(range(100))
    pool.close()
