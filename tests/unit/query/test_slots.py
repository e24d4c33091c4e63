"""Waiting for a slot: it ends with the slot, with the time, or with the client, and nothing is lost by it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.support.waiting import settle
from traceplane.query.admission.fair_queue import NoSlot
from traceplane.query.admission.slots import Slots
from traceplane.query.errors import QueryFailed
from traceplane.web.disconnect import Disconnect

LONG = 3600.0


@pytest.fixture
async def here() -> AsyncIterator[Disconnect]:
    """A client that stays connected."""
    disconnected: Disconnect = asyncio.get_running_loop().create_future()
    yield disconnected
    disconnected.cancel()


class Waiting:
    """A query that holds a slot until `end` is set, once it has one."""

    def __init__(self, slots: Slots, caller: str, disconnected: Disconnect, seconds: float = LONG) -> None:
        self.has, self.end = asyncio.Event(), asyncio.Event()
        self.task = asyncio.create_task(self._ask(slots, caller, disconnected, seconds))

    async def _ask(self, slots: Slots, caller: str, disconnected: Disconnect, seconds: float) -> None:
        async with slots.slot(caller, seconds, disconnected):
            self.has.set()
            await self.end.wait()


@asynccontextmanager
async def busy(slots: Slots, disconnected: Disconnect) -> AsyncIterator[Waiting]:
    """The only slot, held by `a`."""
    first = Waiting(slots, "a", disconnected)
    await first.has.wait()
    yield first
    first.end.set()
    await first.task
    assert (slots.running, slots.waiting) == (0, 0)


async def test_a_slot_goes_to_the_caller_that_is_next(here: Disconnect) -> None:
    slots = Slots(1, 4)
    async with busy(slots, here) as first:
        second, other = Waiting(slots, "a", here), Waiting(slots, "b", here)
        await settle()
        assert (slots.running, slots.waiting) == (1, 2)
        first.end.set()
        await other.has.wait()
        assert (slots.running, slots.waiting, second.has.is_set()) == (1, 1, False)
        other.end.set()
        await second.has.wait()
        second.end.set()
        await asyncio.gather(other.task, second.task)


async def test_no_query_waits_longer_than_its_time_limit(here: Disconnect) -> None:
    slots = Slots(1, 4)
    async with busy(slots, here):
        with pytest.raises(NoSlot, match=r"no slot came free within 0\.01 seconds"):
            await Waiting(slots, "b", here, seconds=0.01).task
        assert slots.waiting == 0


async def test_a_client_that_disconnects_leaves_the_queue(here: Disconnect) -> None:
    slots = Slots(1, 4)
    disconnected: Disconnect = asyncio.get_running_loop().create_future()
    async with busy(slots, here):
        waiting = Waiting(slots, "b", disconnected)
        await settle()
        disconnected.set_result(None)
        with pytest.raises(QueryFailed, match="canceled"):
            await waiting.task
        assert slots.waiting == 0


async def test_a_request_that_is_canceled_leaves_the_queue(here: Disconnect) -> None:
    slots = Slots(1, 4)
    async with busy(slots, here):
        waiting = Waiting(slots, "b", here)
        await settle()
        waiting.task.cancel()
        await asyncio.gather(waiting.task, return_exceptions=True)
        assert slots.waiting == 0


@pytest.mark.parametrize("how", ["canceled", "disconnected"])
async def test_a_slot_that_comes_as_its_caller_ends_is_the_next_ones(here: Disconnect, how: str) -> None:
    slots = Slots(1, 4)
    disconnected: Disconnect = asyncio.get_running_loop().create_future()
    async with busy(slots, here) as first:
        going, other = Waiting(slots, "b", disconnected), Waiting(slots, "c", here)
        await settle()
        if how == "canceled":
            first.end.set()
            going.task.cancel()
        else:
            disconnected.set_result(None)
            await asyncio.sleep(0)  # it is noticed, and does not end the waiting yet
            first.end.set()
        with pytest.raises(asyncio.CancelledError if how == "canceled" else QueryFailed):
            await going.task
        await other.has.wait()
        other.end.set()
        await other.task


async def test_a_query_that_fails_frees_its_slot(here: Disconnect) -> None:
    slots = Slots(1, 0)
    for _ in range(2):
        with pytest.raises(ValueError, match="failed"):
            async with slots.slot("a", LONG, here):
                raise ValueError("failed")
    assert slots.running == 0
