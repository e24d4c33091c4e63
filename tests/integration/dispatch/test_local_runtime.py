"""The Dispatcher runtime: its slots, its drain, and that its runs are those of a worker."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
import structlog

from tests.integration.dispatch.attempts import HEARTBEAT_SECONDS, PATIENCE_SECONDS, Counting, LateClock, operate
from tests.integration.dispatch.conftest import Feed
from traceplane.dispatch import local_runtime, payload
from traceplane.dispatch.dispatcher import Dispatcher
from traceplane.errors import GiveUp
from traceplane.runtime import attempt
from traceplane.store.statements import generations
from traceplane_sdk import wire
from traceplane_sdk.context import Context, Result
from traceplane_sdk.wire import HeartbeatState

pytestmark = pytest.mark.services

Sql = Callable[..., list[dict[str, Any]]]
LoopOf = Callable[[str], Callable[[], Any]]


@pytest.fixture
def source(jobs: dict[str, UUID], sql: Sql) -> UUID:
    """The job generation of a source that runs in the dispatcher."""
    sql("UPDATE dag_version_jobs SET runtime = 'Dispatcher' WHERE job_id = %(job)s", job=jobs["follow"])
    return jobs["follow"]


@pytest.fixture
def beats(dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """Makes heartbeats quick; waits for three more of them, of which two have been acted on."""
    runtime, heartbeat = dispatcher.local, dispatcher.leases.heartbeat
    times = dataclasses.replace(runtime._host.times, heartbeat=HEARTBEAT_SECONDS)
    monkeypatch.setattr(runtime, "_host", dataclasses.replace(runtime._host, times=times))
    beaten = asyncio.Semaphore(0)

    async def counted(*given: Any) -> list[HeartbeatState]:
        answer = await heartbeat(*given)
        beaten.release()
        return answer

    async def wait() -> None:
        while not beaten.locked():
            await beaten.acquire()
        async with asyncio.timeout(PATIENCE_SECONDS):
            for _ in range(3):
                await beaten.acquire()

    monkeypatch.setattr(dispatcher.leases, "heartbeat", counted)
    return wait


async def test_a_refused_completion_spends_no_further_attempt(
    dispatcher: Dispatcher, feed: Feed, sql: Sql, loop_of: LoopOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    operate(monkeypatch, lambda _ctx: Result(state={"much": "x" * wire.MAX_STATE_BYTES}))
    await feed.cursor(10)
    assert await loop_of("local")() == 1
    await dispatcher.local.idle()
    (task,) = sql("SELECT status, finished_at, error FROM tasks WHERE error IS NOT NULL")
    assert (task["status"], task["finished_at"] is not None) == ("Failed", True)
    assert (task["error"]["code"], task["error"]["retryable"]) == ("CompletionRefused", False)


async def test_it_holds_a_paused_source_and_lets_it_go_on(
    dispatcher: Dispatcher, source: UUID, sql: Sql, loop_of: LoopOf, beats: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Counting()
    operate(monkeypatch, run)
    assert await loop_of("local")() == 1
    await asyncio.to_thread(run.wait_started)
    sql("UPDATE jobs SET paused = true WHERE id = %(job)s", job=source)
    await beats()
    held = run.number
    await beats()
    assert run.number <= held + 1
    sql("UPDATE jobs SET paused = false WHERE id = %(job)s", job=source)
    await asyncio.to_thread(run.wait_moved)
    run.finish.set()
    await dispatcher.local.idle()
    assert sql("SELECT result FROM task_attempts") == [{"result": "Completed"}]


async def test_its_source_outlives_its_first_token(
    dispatcher: Dispatcher, source: UUID, sql: Sql, loop_of: LoopOf, beats: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, clock = Counting(), LateClock(dispatcher.capabilities, monkeypatch)
    lifetime = dispatcher.settings.capability_max_seconds
    operate(monkeypatch, run)
    assert await loop_of("local")() == 1
    for clock.late in (0.6 * lifetime, 1.1 * lifetime):  # past half of the first token's life, and past its end
        await beats()
    run.finish.set()
    await dispatcher.local.idle()
    assert sql("SELECT result FROM task_attempts") == [{"result": "Completed"}]


async def test_its_lines_are_those_of_a_worker(
    dispatcher: Dispatcher, feed: Feed, loop_of: LoopOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    operate(monkeypatch, lambda ctx: ctx.log("range skipped", level="warning", number=7))
    await feed.cursor(10)
    with structlog.testing.capture_logs() as lines:
        await loop_of("local")()
        await dispatcher.local.idle()
    (line,) = [line for line in lines if line["event"] == "range skipped"]
    task = line.pop("task_id")
    assert UUID(task)
    assert line == {
        "event": "range skipped",
        "log_level": "warning",
        "worker_id": dispatcher.settings.worker_id,
        "namespace": "demo",
        "dag": "chain",
        "job": "ranges",
        "attempt": 1,
        "number": 7,
    }


async def test_a_drain_hands_back_what_runs(
    dispatcher: Dispatcher, source: UUID, sql: Sql, loop_of: LoopOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Counting()
    operate(monkeypatch, run)
    await loop_of("local")()
    await asyncio.to_thread(run.wait_started)
    await dispatcher.local.drain()
    assert sql("SELECT result FROM task_attempts") == [{"result": "Released"}]
    assert sql("SELECT status FROM tasks WHERE job_id = %(job)s", job=source) == [{"status": "Queued"}]


async def test_a_run_that_does_not_stop_keeps_its_slot_and_no_other(
    dispatcher: Dispatcher,
    source: UUID,
    feed: Feed,
    sql: Sql,
    loop_of: LoopOf,
    beats: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started, released = threading.Event(), threading.Event()

    def stubborn(ctx: Context) -> None:
        if ctx.task.job.name == "follow":
            started.set()
            released.wait()

    monkeypatch.setattr(local_runtime, "SLOTS", 2)
    monkeypatch.setattr(attempt, "STOP_SECONDS", 0.0)
    operate(monkeypatch, stubborn)
    assert await loop_of("local")() == 1
    await asyncio.to_thread(started.wait)
    sql("UPDATE tasks SET cancel_requested = true WHERE status = 'Running'")
    await dispatcher.local.idle()  # the attempt was given up; its thread goes on
    sql("UPDATE tasks SET status = 'Canceled', finished_at = now() WHERE status = 'Running'")

    await feed.cursor(10)
    assert await loop_of("local")() == 1, "the other slot serves"
    await dispatcher.local.idle()
    monkeypatch.setattr(local_runtime, "SLOTS", 1)
    await feed.cursor(20)
    assert await loop_of("local")() == 0, "the only slot is taken"
    released.set()
    for thread in threading.enumerate():
        if thread.name == "run":
            await asyncio.to_thread(thread.join, PATIENCE_SECONDS)
    assert await loop_of("local")() == 1, "it is free again"
    await dispatcher.local.idle()


async def test_what_no_run_gets_past_ends_the_runtime(
    dispatcher: Dispatcher, feed: Feed, sql: Sql, loop_of: LoopOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(*_: Any) -> Any:
        raise GiveUp("the database role lacks a right")

    monkeypatch.setattr(dispatcher.completions, "complete", refused)
    # An attempt tries to complete for as long as its lease holds.
    sql("UPDATE dag_version_jobs SET heartbeat_timeout_seconds = 1")
    operate(monkeypatch, lambda _ctx: None)
    await feed.cursor(10)
    assert await loop_of("local")() == 1
    await dispatcher.local.idle()
    with pytest.raises(GiveUp, match="lacks a right"):
        await loop_of("local")()


async def test_a_job_that_runs_as_much_as_it_may_does_not_keep_a_slot_from_the_next(
    dispatcher: Dispatcher,
    source: UUID,
    jobs: dict[str, UUID],
    feed: Feed,
    sql: Sql,
    loop_of: LoopOf,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await feed.cursor(10)
    assert await dispatcher.claims.claim(job_id=jobs["ranges"], worker_id="another", max_tasks=1) != payload.EMPTY
    await feed.cursor(20)  # queued, and not to be claimed: one run of a PerUpdate job at a time

    async def busy_first(*_: Any, **__: Any) -> list[UUID]:
        return [jobs["ranges"], source]

    monkeypatch.setattr(generations, "dispatcher_jobs", busy_first)
    monkeypatch.setattr(local_runtime, "SLOTS", 1)
    operate(monkeypatch, lambda _ctx: None)
    assert await loop_of("local")() == 1
    await dispatcher.local.idle()
    assert sql("SELECT status FROM tasks WHERE job_id = %(job)s", job=source) == [{"status": "Completed"}]
