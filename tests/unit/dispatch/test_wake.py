"""Long polls: woken for their own job, and no more of them than a process can hold."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from traceplane.dispatch import wake
from traceplane.errors import Overloaded

SECONDS = 60.0
NO_DATABASE: Any = None


async def test_a_wait_ends_with_work_for_its_own_job():
    wakeups = wake.Wakeups(NO_DATABASE)
    job, other = uuid4(), uuid4()
    waiting = asyncio.create_task(wakeups.wait(job, wakeups.ticket(), SECONDS))
    await asyncio.sleep(0)
    wakeups.wake([other])
    await asyncio.sleep(0)
    assert not waiting.done()
    wakeups.wake([job])
    assert await waiting


async def test_work_that_came_while_a_claim_looked_is_not_waited_for():
    wakeups = wake.Wakeups(NO_DATABASE)
    job = uuid4()
    ticket = wakeups.ticket()
    wakeups.wake([job])
    assert await wakeups.wait(job, ticket, SECONDS)


async def test_more_waits_than_a_process_holds_are_refused_until_one_ends(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(wake, "MAX_WAITERS", 1)
    wakeups = wake.Wakeups(NO_DATABASE)
    job = uuid4()
    waiting = asyncio.create_task(wakeups.wait(job, wakeups.ticket(), SECONDS))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await wakeups.wait(job, wakeups.ticket(), 0)
    wakeups.wake([job])
    assert await waiting
    assert await wakeups.wait(job, wakeups.ticket(), 0)
