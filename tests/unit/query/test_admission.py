"""Waiting for a turn: it ends with the turn, with the time, or with the client, and nothing is lost by it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.support.waiting import settle
from traceplane.query.admission.fair_queue import NoSlot
from traceplane.query.admission.slots import Admission
from traceplane.query.broker.query import QueryFailed
from traceplane.web.disconnect import Disconnect

LONG = 3600.0


@pytest.fixture
async def here() -> AsyncIterator[Disconnect]:
    """A client that stays."""
    gone: Disconnect = asyncio.get_running_loop().create_future()
    yield gone
    gone.cancel()


class Asking:
    """Somebody who holds a turn until told, once it comes."""

    def __init__(self, admission: Admission, caller: str, gone: Disconnect, seconds: float = LONG) -> None:
        self.has, self.end = asyncio.Event(), asyncio.Event()
        self.task = asyncio.create_task(self._ask(admission, caller, gone, seconds))

    async def _ask(self, admission: Admission, caller: str, gone: Disconnect, seconds: float) -> None:
        async with admission.turn(caller, seconds, gone):
            self.has.set()
            await self.end.wait()


@asynccontextmanager
async def busy(admission: Admission, gone: Disconnect) -> AsyncIterator[Asking]:
    """The only turn, held by `a`."""
    asking = Asking(admission, "a", gone)
    await asking.has.wait()
    yield asking
    asking.end.set()
    await asking.task
    assert (admission.running, admission.waiting) == (0, 0)


async def test_a_turn_goes_to_the_asker_whose_turn_it_is(here: Disconnect) -> None:
    admission = Admission(1, 4)
    async with busy(admission, here) as first:
        second, other = Asking(admission, "a", here), Asking(admission, "b", here)
        await settle()
        assert (admission.running, admission.waiting) == (1, 2)
        first.end.set()
        await other.has.wait()
        assert (admission.running, admission.waiting, second.has.is_set()) == (1, 1, False)
        other.end.set()
        await second.has.wait()
        second.end.set()
        await asyncio.gather(other.task, second.task)


async def test_nobody_waits_longer_than_for_its_time(here: Disconnect) -> None:
    admission = Admission(1, 4)
    async with busy(admission, here):
        with pytest.raises(NoSlot, match=r"no turn within 0\.01 seconds"):
            await Asking(admission, "b", here, seconds=0.01).task
        assert admission.waiting == 0


async def test_who_goes_leaves_the_line(here: Disconnect) -> None:
    admission = Admission(1, 4)
    gone: Disconnect = asyncio.get_running_loop().create_future()
    async with busy(admission, here):
        waiting = Asking(admission, "b", gone)
        await settle()
        gone.set_result(None)
        with pytest.raises(QueryFailed, match="canceled"):
            await waiting.task
        assert admission.waiting == 0


async def test_a_request_that_is_canceled_leaves_the_line(here: Disconnect) -> None:
    admission = Admission(1, 4)
    async with busy(admission, here):
        waiting = Asking(admission, "b", here)
        await settle()
        waiting.task.cancel()
        await asyncio.gather(waiting.task, return_exceptions=True)
        assert admission.waiting == 0


@pytest.mark.parametrize("how", ["canceled", "gone"])
async def test_a_turn_that_comes_as_its_asker_goes_is_the_next_ones(here: Disconnect, how: str) -> None:
    admission = Admission(1, 4)
    gone: Disconnect = asyncio.get_running_loop().create_future()
    async with busy(admission, here) as first:
        going, other = Asking(admission, "b", gone), Asking(admission, "c", here)
        await settle()
        if how == "canceled":
            first.end.set()
            going.task.cancel()
        else:
            gone.set_result(None)
            await asyncio.sleep(0)  # it is heard, and does not end the waiting yet
            first.end.set()
        with pytest.raises(asyncio.CancelledError if how == "canceled" else QueryFailed):
            await going.task
        await other.has.wait()
        other.end.set()
        await other.task


async def test_what_fails_within_a_turn_frees_it(here: Disconnect) -> None:
    admission = Admission(1, 0)
    for _ in range(2):
        with pytest.raises(ValueError, match="failed"):
            async with admission.turn("a", LONG, here):
                raise ValueError("failed")
    assert admission.running == 0
