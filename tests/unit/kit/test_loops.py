"""The loop runner: what it retries, and what it lets through."""

from __future__ import annotations

import asyncio

import pytest

from traceplane.errors import GiveUp, InvalidSettings, TraceError, Unavailable
from traceplane.kit import loops
from traceplane.kit.loops import Loop


class Reports:
    """What the runner reported: (done, error) of each pass."""

    def __init__(self) -> None:
        self.passes: list[tuple[int, BaseException | None]] = []

    def __call__(self, name: str, *, done: int, seconds: float, error: BaseException | None) -> None:
        assert name == "tested"
        assert seconds >= 0
        self.passes.append((done, error))


@pytest.fixture
def reports() -> Reports:
    return Reports()


@pytest.mark.parametrize("error", [Unavailable("away"), TraceError("any"), ZeroDivisionError("a defect")])
async def test_an_error_is_reported_and_the_next_pass_comes_later(
    error: Exception, reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures: list[int] = []
    stop = asyncio.Event()

    def backoff(count: int, *, base: float, limit: float) -> float:
        failures.append(count)
        return 0.0

    async def run_once() -> int:
        if len(reports.passes) < 3:
            raise error
        stop.set()
        return 1

    monkeypatch.setattr(loops, "backoff", backoff)
    await loops.run(Loop("tested", run_once, interval=3600), stop, reports)
    assert reports.passes == [(0, error), (0, error), (0, error), (1, None)]
    assert failures == [1, 2, 3]


@pytest.mark.parametrize("error", [GiveUp("no right"), InvalidSettings("TRACE_X is wrong")])
async def test_give_up_ends_the_loop(error: GiveUp, reports: Reports) -> None:
    passes = 0

    async def run_once() -> int:
        nonlocal passes
        passes += 1
        raise error

    with pytest.raises(GiveUp) as raised:
        await loops.run(Loop("tested", run_once, interval=0), asyncio.Event(), reports)
    assert raised.value is error
    assert passes == 1


async def test_it_runs_again_at_once_while_there_is_work_and_then_when_woken(reports: Reports) -> None:
    stop, idle = asyncio.Event(), asyncio.Event()
    left = 3

    async def run_once() -> int:
        nonlocal left
        left -= 1
        if left <= 0:
            idle.set()
        return max(left, 0)

    loop = Loop("tested", run_once, interval=3600)
    running = asyncio.create_task(loops.run(loop, stop, reports))
    await idle.wait()
    assert [done for done, _ in reports.passes] == [2, 1, 0]
    idle.clear()
    loop.wake.set()
    await idle.wait()
    stop.set()
    await running
    assert [done for done, _ in reports.passes] == [2, 1, 0, 0]
