"""One suite for every task port: an attempt ends the same way over HTTP and inside the dispatcher.

The dispatcher's parts, Postgres and the object store are real; only the operator does as the test says.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
import structlog
import uvicorn

from tests.integration.dispatch.attempts import (
    PATIENCE_SECONDS,
    Counting,
    LateClock,
    Process,
    Run,
    WatchedPort,
    host,
    operate,
)
from tests.integration.dispatch.callers import WORKER_TOKEN, Caller
from tests.integration.dispatch.conftest import Feed
from traceplane.dispatch.dispatcher import Dispatcher
from traceplane.dispatch.in_process_port import InProcessPort
from traceplane.errors import Unavailable
from traceplane.runtime.attempt import Ending
from traceplane.taskapi.app import app
from traceplane_sdk import wire
from traceplane_sdk.client import TaskApi
from traceplane_sdk.context import Context, Result

pytestmark = pytest.mark.services

Sql = Callable[..., list[dict[str, Any]]]
Operate = Callable[[Run], None]


@asynccontextmanager
async def over_http(dispatcher: Dispatcher) -> AsyncIterator[TaskApi]:
    """A worker's client of the task API, which is served on this event loop."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app(dispatcher, pytest.fail), log_config=None, lifespan="off"))
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    api = TaskApi(f"http://127.0.0.1:{listening.getsockname()[1]}", lambda: WORKER_TOKEN)
    try:
        yield api
    finally:
        api.close()
        server.should_exit = True
        await serving


@asynccontextmanager
async def in_process(dispatcher: Dispatcher) -> AsyncIterator[InProcessPort]:
    """The port of the dispatcher's own runs."""
    yield InProcessPort(
        asyncio.get_running_loop(),
        dispatcher.capabilities,
        dispatcher.leases,
        dispatcher.completions,
        dispatcher.acceptance,
    )


@pytest.fixture(params=[over_http, in_process], ids=lambda port: port.__name__)
async def port(request: pytest.FixtureRequest, dispatcher: Dispatcher) -> AsyncIterator[WatchedPort]:
    async with request.param(dispatcher) as made:
        yield WatchedPort(made)


@pytest.fixture
def operator(monkeypatch: pytest.MonkeyPatch) -> Operate:
    """Sets what the operator does."""
    return lambda run: operate(monkeypatch, run)


@pytest.fixture
def source(caller: Caller, jobs: dict[str, UUID]) -> Callable[[], Awaitable[wire.ClaimedTask]]:
    """Claims the task of the chain's source."""

    async def claim() -> wire.ClaimedTask:
        return (await caller.claim(jobs["follow"]))[0]

    return claim


@pytest.fixture
def compaction(caller: Caller, jobs: dict[str, UUID], feed: Feed) -> Callable[[], Awaitable[wire.ClaimedTask]]:
    """Claims a task of the chain's compaction, which has an end."""

    async def claim() -> wire.ClaimedTask:
        await feed.partitions(1)
        return (await caller.claim(jobs["compact"]))[0]

    return claim


def row(sql: Sql, claimed: wire.ClaimedTask) -> dict[str, Any]:
    """What state holds of the task."""
    (found,) = sql(
        "SELECT status, error, finished_at IS NOT NULL AS final FROM tasks WHERE id = %(id)s",
        id=claimed.task.task_id,
    )
    return found


async def test_a_run_that_returns_completes_its_task(
    port: WatchedPort, operator: Operate, compaction: Any, source: Any, sql: Sql
) -> None:
    operator(lambda _ctx: Result(state={"next": 7}))
    claimed = await compaction()
    assert await Process(port, claimed, host()).start() is Ending.COMPLETED
    assert row(sql, claimed)["status"] == "Completed"
    assert sql("SELECT key, value FROM operator_state") == [{"key": "next", "value": 7}]


@pytest.mark.parametrize(
    ("result", "code"),
    [
        (Result(state={"much": "x" * wire.MAX_STATE_BYTES}), "StateTooLarge"),
        (Result(events=[wire.Event(output="blocks", cursor=1)] * (wire.MAX_ITEMS + 1)), "InvalidBody"),
        (Result(events=[wire.Event(output="unknown", cursor=1)]), "UnknownOutput"),
    ],
    ids=["by a limit of the job", "by a limit of the wire", "by the job's outputs"],
)
async def test_a_refused_completion_is_a_failure_that_spends_no_further_attempt(
    port: WatchedPort, operator: Operate, compaction: Any, sql: Sql, result: Result, code: str
) -> None:
    operator(lambda _ctx: result)
    claimed = await compaction()
    assert await Process(port, claimed, host()).start() is Ending.FAILED
    found = row(sql, claimed)
    assert (found["status"], found["final"]) == ("Failed", True)
    assert (found["error"]["code"], found["error"]["retryable"]) == ("CompletionRefused", False)
    assert found["error"]["message"].startswith(f"{code}: ")


async def test_a_pause_holds_a_source_until_it_is_lifted(
    port: WatchedPort, operator: Operate, source: Any, sql: Sql
) -> None:
    run = Counting()
    operator(run)
    process = Process(port, await source(), host())
    running = process.start()
    await asyncio.to_thread(run.wait_started)
    sql("UPDATE jobs SET paused = true")
    await asyncio.to_thread(port.wait_beats)
    held = run.number
    await asyncio.to_thread(port.wait_beats)
    assert run.number <= held + 1, "it may have been within one step when it was paused"
    sql("UPDATE jobs SET paused = false")
    await asyncio.to_thread(run.wait_moved)
    run.finish.set()
    assert await running is Ending.COMPLETED


async def test_a_source_outlives_its_first_token(
    port: WatchedPort, operator: Operate, source: Any, dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, clock = Counting(), LateClock(dispatcher.capabilities, monkeypatch)
    operator(run)
    claimed = await source()
    running = Process(port, claimed, host()).start()
    await asyncio.to_thread(run.wait_started)
    clock.late = dispatcher.settings.capability_max_seconds * 0.6
    await asyncio.to_thread(port.wait_for, lambda tokens: tokens[-1:] not in ([], [claimed.capability_token]))
    clock.late = dispatcher.settings.capability_max_seconds * 1.1
    await asyncio.to_thread(port.wait_beats)
    run.finish.set()
    assert await running is Ending.COMPLETED


async def test_a_canceled_run_stops_and_its_task_is_canceled(
    port: WatchedPort, operator: Operate, compaction: Any, sql: Sql
) -> None:
    operator(Counting())
    claimed = await compaction()
    running = Process(port, claimed, host()).start()
    sql("UPDATE tasks SET cancel_requested = true WHERE id = %(id)s", id=claimed.task.task_id)
    assert await running is Ending.CANCELED
    assert row(sql, claimed)["status"] == "Canceled"


async def test_a_canceled_run_ends_so_although_a_heartbeat_follows_its_completion(
    port: WatchedPort, operator: Operate, compaction: Any, sql: Sql
) -> None:
    class Late(WatchedPort):
        def complete(self, completion: wire.Completion, token: str, patience: float) -> wire.CompletionState:
            answer = super().complete(completion, token, patience)
            for thread in threading.enumerate():
                if thread.name == "heartbeat":  # ends by itself once a heartbeat finds no lease
                    thread.join(timeout=PATIENCE_SECONDS)
            return answer

    operator(Counting())
    claimed = await compaction()
    running = Process(Late(port), claimed, host()).start()
    sql("UPDATE tasks SET cancel_requested = true WHERE id = %(id)s", id=claimed.task.task_id)
    assert await running is Ending.CANCELED


async def test_a_run_whose_lease_is_lost_stops_and_completes_nothing(
    port: WatchedPort, operator: Operate, compaction: Any, sql: Sql, loop_of: Callable[[str], Any]
) -> None:
    run = Counting()
    operator(run)
    claimed = await compaction()
    running = Process(port, claimed, host()).start()
    await asyncio.to_thread(run.wait_started)
    # Taken and expired in one statement: a heartbeat in between would renew it.
    sql(
        "UPDATE tasks SET lease_token = gen_random_uuid(), lease_expires_at = now() - interval '1 s'"
        " WHERE status = 'Running'"
    )
    assert await running is Ending.LEASE_LOST
    assert await loop_of("reaper")() == 1
    assert sql("SELECT result FROM task_attempts") == [{"result": "LeaseExpired"}]


async def test_a_drain_hands_back_a_run_that_stops(
    port: WatchedPort, operator: Operate, compaction: Any, sql: Sql
) -> None:
    run = Counting()
    operator(run)
    claimed = await compaction()
    process = Process(port, claimed, host(hand_back=float("inf")))
    running = process.start()
    await asyncio.to_thread(run.wait_started)
    process.drain()
    assert await running is Ending.RELEASED
    assert row(sql, claimed)["status"] == "Queued"
    assert process.attempt.ended


async def test_a_drain_hands_back_the_task_of_a_run_that_does_not_stop(
    port: WatchedPort, operator: Operate, compaction: Any, sql: Sql
) -> None:
    started, released = threading.Event(), threading.Event()

    def stubborn(_ctx: Context) -> None:
        started.set()
        released.wait()

    operator(stubborn)
    claimed = await compaction()
    process = Process(port, claimed, host())
    running = process.start()
    await asyncio.to_thread(started.wait)
    process.drain()
    assert await running is Ending.STUCK
    assert row(sql, claimed)["status"] == "Queued"
    assert not process.attempt.ended
    released.set()


@pytest.mark.parametrize("error", [Unavailable("away"), ZeroDivisionError("a defect, with a secret")])
async def test_a_dispatcher_that_fails_for_a_while_is_waited_for(
    port: WatchedPort,
    operator: Operate,
    compaction: Any,
    sql: Sql,
    dispatcher: Dispatcher,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    failures, complete = [error, error], dispatcher.completions.complete

    async def away_twice(*given: Any) -> Any:
        if failures:
            raise failures.pop()
        return await complete(*given)

    monkeypatch.setattr(dispatcher.completions, "complete", away_twice)
    operator(lambda _ctx: None)
    claimed = await compaction()
    assert await Process(port, claimed, host()).start() is Ending.COMPLETED
    assert failures == []
    assert row(sql, claimed)["status"] == "Completed"


async def test_events_of_a_running_task_are_accepted(
    port: WatchedPort, operator: Operate, source: Any, sql: Sql
) -> None:
    accepted: list[int] = []
    event = wire.Event(output="blocks", cursor=5)
    operator(lambda ctx: accepted.append(ctx.emit([event])))
    claimed = await source()
    assert await Process(port, claimed, host()).start() is Ending.COMPLETED
    assert accepted == [1]
    assert sql("SELECT cursor_value FROM events") == [{"cursor_value": 5}]


async def test_what_was_reported_under_a_key_counts_once(
    port: WatchedPort, operator: Operate, source: Any, sql: Sql
) -> None:
    accepted: list[int] = []
    first, second = (wire.Event(output="blocks", cursor=cursor) for cursor in (5, 6))
    reports = [([first], "one"), ([first], "one"), ([second], "two")]
    operator(lambda ctx: accepted.extend(ctx.emit(events, key=key) for events, key in reports))
    claimed = await source()
    assert await Process(port, claimed, host()).start() is Ending.COMPLETED
    assert accepted == [1, 0, 1]
    assert sql("SELECT count(*) AS n FROM events") == [{"n": 2}]


async def test_a_run_knows_how_many_of_its_events_are_worked_off(
    port: WatchedPort, operator: Operate, source: Any
) -> None:
    counted: list[Any] = []

    def run(ctx: Context) -> None:
        counted.append(ctx.unfinished())
        ctx.emit([wire.Event(output="blocks", cursor=5)])
        counted.append(ctx.unfinished())

    operator(run)
    claimed = await source()
    assert await Process(port, claimed, host()).start() is Ending.COMPLETED
    assert counted == [{}, {"blocks": 1}]


async def test_a_refused_report_fails_the_run_with_its_reason(
    port: WatchedPort, operator: Operate, source: Any, sql: Sql
) -> None:
    operator(lambda ctx: ctx.emit([wire.Event(output="unknown", cursor=5)]) and None)
    claimed = await source()
    assert await Process(port, claimed, host()).start() is Ending.FAILED
    error = row(sql, claimed)["error"]
    assert error["code"] == "OperatorCrashed"
    assert error["message"].startswith("CallRefused: UnknownOutput: ")


async def test_a_run_gets_credentials_of_its_own(
    port: WatchedPort, operator: Operate, compaction: Any, dispatcher: Dispatcher
) -> None:
    given: list[wire.CredentialsResponse] = []

    def run(ctx: Context) -> None:
        assert ctx.io.credentials is not None
        given.append(ctx.io.credentials())

    operator(run)
    assert await Process(port, await compaction(), host()).start() is Ending.COMPLETED
    settings = dispatcher.settings
    (credentials,) = given
    assert (credentials.endpoint_url, credentials.region) == (settings.s3_endpoint_url, settings.s3_region)
    assert credentials.session_token
    assert credentials.access_key_id != settings.read_s3_keys()[0]


async def test_a_runs_lines_keep_their_level_and_say_whose_they_are(
    port: WatchedPort, operator: Operate, compaction: Any
) -> None:
    operator(lambda ctx: ctx.log("range skipped", level="warning", number=7))
    claimed = await compaction()
    with structlog.testing.capture_logs() as lines:
        await Process(port, claimed, host()).start()
    attempt = {
        "worker_id": "worker-1",
        "namespace": "demo",
        "dag": "chain",
        "job": "compact",
        "task_id": claimed.task.task_id,
        "attempt": 1,
    }
    own = [line for line in lines if line.get("task_id")]
    assert [line["event"] for line in own] == ["claimed", "range skipped", "completing"]
    assert all(attempt.items() <= line.items() for line in own)
    assert own[1] == {**attempt, "event": "range skipped", "log_level": "warning", "number": 7}
