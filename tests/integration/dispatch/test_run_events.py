"""OpenLineage run events of real attempts, at a receiver that is away, refuses, or answers without an end."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs

from tests.integration.dispatch.callers import Caller, written_commit
from tests.integration.dispatch.conftest import Feed
from tests.services import free_port
from tests.services.lineage import LineageReceiver, listening
from tests.support.dispatcher import claim, running
from tests.support.waiting import until
from traceplane.dispatch.dispatcher import Dispatcher
from traceplane.dispatch.loops.run_events import RunEvents, stores
from traceplane.dispatch.openlineage import receiver as receiving
from traceplane.dispatch.openlineage.events import run_id
from traceplane.errors import InvalidSettings
from traceplane.settings import Settings
from traceplane.store.statements import run_events
from traceplane_sdk import wire

pytestmark = pytest.mark.services

Sql = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def receiver() -> Iterator[LineageReceiver]:
    with listening() as made:
        yield made


class Clock:
    """A clock that stands until it is told to go on."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


Sender = Callable[..., RunEvents]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sender(dispatcher: Dispatcher, receiver: LineageReceiver, clock: Clock) -> Sender:
    """A dispatcher that sends to the receiver, and does not wait until what ended is settled."""

    def make(**given: Any) -> RunEvents:
        update = {"openlineage_url": receiver.url, **given}
        settings = dispatcher.settings.model_copy(update=update)
        return RunEvents(settings, dispatcher.state, settled_seconds=0, clock=clock)

    return make


def lapse(sql: Sql) -> None:
    """Let whoever holds the position have vanished."""
    sql("UPDATE run_event_positions SET held_until = now() - interval '1 s'")


def run_of(lease: wire.ClaimedTask) -> str:
    return str(run_id(UUID(lease.task.task_id), lease.attempt))


async def completed(caller: Caller, dispatcher: Dispatcher, lease: wire.ClaimedTask) -> None:
    output = await written_commit(dispatcher.objects, dispatcher.settings, lease)
    assert (await caller.complete(lease, outputs=[output])).status_code == 200


async def test_every_attempt_is_told_of_after_the_receiver_was_away_and_the_dispatcher_restarted(
    caller: Caller, dispatcher: Dispatcher, jobs: dict[str, UUID], feed: Feed, sql: Sql,
    receiver: LineageReceiver, sender: Sender,
):  # fmt: skip
    await caller.claim(jobs["follow"])
    first = sender()
    assert await first.run_once() == 0
    await feed.partitions(3)
    done, failed, canceled = await caller.claim(jobs["compact"], max_tasks=3)
    await completed(caller, dispatcher, done)
    await caller.complete(failed, "Failed")
    sql("UPDATE tasks SET cancel_requested = true WHERE id = %(id)s", id=canceled.task.task_id)
    await caller.complete(canceled, "Released")
    receiver.status = 503
    assert await first.run_once() == 0
    receiver.status, told = 201, len(receiver.events)
    lapse(sql)
    assert await sender().run_once() == 3

    sent = receiver.events[told:]
    order = [
        ("START", done), ("COMPLETE", done), ("START", failed), ("FAIL", failed), ("START", canceled),
        ("ABORT", canceled),
    ]  # fmt: skip
    assert [(event["eventType"], event["run"]["runId"]) for event in sent] == [
        (kind, run_of(lease)) for kind, lease in order
    ]
    ended = sent[1]
    (made,) = [output for output in ended["outputs"] if output["outputFacets"]]
    assert (made["name"], made["outputFacets"]["outputStatistics"]["rowCount"]) == (
        "demo.chain.compact.blocks",
        20,
    )
    (declared,) = sql(
        "SELECT columns FROM dataset_versions WHERE id = %(id)s", id=made["facets"]["version"]["datasetVersion"]
    )
    assert [(field["name"], field["type"]) for field in made["facets"]["schema"]["fields"]] == [
        (column["name"], column["type"]) for column in declared["columns"]
    ]
    assert "demo.chain.ranges.ranges" in {read["name"] for read in ended["inputs"]}
    assert sent[3]["run"]["facets"]["errorMessage"]["message"] == "Broken: as the test wanted"
    assert sent[5]["run"]["facets"]["trace"]["result"] == "Canceled"


async def test_a_run_names_the_run_whose_event_it_follows_from(
    caller: Caller, dispatcher: Dispatcher, jobs: dict[str, UUID], feed: Feed, sql: Sql,
    receiver: LineageReceiver, sender: Sender,
):  # fmt: skip
    sends = sender()
    await sends.run_once()
    await feed.cursor(19)
    (upstream,) = await caller.claim(jobs["ranges"])
    part = {"output": "ranges", "partition": {"key": "0-19", "start": 0, "end": 19}}
    answer = await caller.complete(upstream, events=[part])
    assert answer.status_code == 200, answer.text
    (lease,) = await caller.claim(jobs["compact"])
    await caller.complete(lease, "Failed")
    assert await sends.run_once() == 2
    (follows,) = receiver.events[-1]["run"]["facets"]["jobDependencies"]["upstream"]
    assert follows["run"]["runId"] == run_of(upstream)


async def test_one_dispatcher_sends_and_the_next_goes_on_where_it_stopped(
    caller: Caller, jobs: dict[str, UUID], feed: Feed, sql: Sql, receiver: LineageReceiver, sender: Sender
):
    one, other = sender(), sender()
    await one.run_once()
    await feed.partitions(2)
    first, second = await caller.claim(jobs["compact"], max_tasks=2)
    await caller.complete(first, "Failed")
    assert (await other.run_once(), await one.run_once()) == (0, 1)
    await caller.complete(second, "Failed")
    lapse(sql)
    assert (await other.run_once(), await one.run_once()) == (1, 0)
    assert [receiver.kinds(run_of(lease)) for lease in (first, second)] == [["START", "FAIL"]] * 2


async def test_who_lost_the_position_does_not_move_it(
    caller: Caller, dispatcher: Dispatcher, jobs: dict[str, UUID], feed: Feed, sql: Sql
):
    org = dispatcher.settings.org_id
    one, other = uuid4(), uuid4()
    async with dispatcher.state.autocommit() as conn:
        before = await run_events.hold(conn, org_id=org, holder=one, seconds=60)
        assert before is not None
        await feed.partitions(1)
        (lease,) = await caller.claim(jobs["compact"])
        await caller.complete(lease, "Failed")
        (run,) = await run_events.ended(conn, org_id=org, after=before, settled_seconds=0, limit=10)
        lapse(sql)
        assert await run_events.hold(conn, org_id=org, holder=other, seconds=60) is not None
        await run_events.advance(conn, org_id=org, holder=one, run=run)
        await run_events.announced(conn, org_id=org, holder=one, at=before.now)
        after = await run_events.hold(conn, org_id=org, holder=other, seconds=60)
        assert after is not None
        assert (after.task_id, after.announced_at) == (before.task_id, before.announced_at)
        await run_events.advance(conn, org_id=org, holder=other, run=run)
        assert sql("SELECT task_id FROM run_event_positions") == [{"task_id": run.task_id}]


async def test_what_could_still_be_overtaken_by_an_earlier_end_waits(
    caller: Caller, dispatcher: Dispatcher, jobs: dict[str, UUID], feed: Feed, sql: Sql,
    receiver: LineageReceiver, sender: Sender,
):  # fmt: skip
    settings = dispatcher.settings.model_copy(update={"openlineage_url": receiver.url})
    patient = RunEvents(settings, dispatcher.state)
    await patient.run_once()
    await feed.partitions(1)
    (lease,) = await caller.claim(jobs["compact"])
    await caller.complete(lease, "Failed")
    assert await patient.run_once() == 0
    sql("UPDATE run_event_positions SET finished_at = now() - interval '1 hour'")
    sql("UPDATE task_attempts SET finished_at = now() - interval '61 s'")  # one statement may run for a minute
    assert await patient.run_once() == 0
    sql("UPDATE task_attempts SET finished_at = now() - interval '2 minutes'")
    assert await patient.run_once() == 1


async def test_a_source_is_told_of_once_a_minute(
    caller: Caller, jobs: dict[str, UUID], sql: Sql, receiver: LineageReceiver, sender: Sender
):
    (lease,) = await caller.claim(jobs["follow"])
    sends, run = sender(), run_of(lease)
    await sends.run_once()
    await sends.run_once()
    assert receiver.kinds(run) == ["START", "RUNNING"]
    sql("UPDATE tasks SET started_at = now() - interval '1 hour' WHERE status = 'Running'")
    sql("UPDATE run_event_positions SET announced_at = now() - interval '61 s'")
    await sends.run_once()
    assert receiver.kinds(run) == ["START", "RUNNING", "RUNNING"]
    await caller.complete(lease, "Failed")
    await sends.run_once()
    assert receiver.kinds(run)[3:] == ["START", "FAIL"]


async def test_a_receiver_that_is_away_is_asked_less_and_less_and_named_once_a_minute(
    caller: Caller, jobs: dict[str, UUID], feed: Feed, receiver: LineageReceiver, sender: Sender, clock: Clock
):
    sends = sender(openlineage_url=f"http://127.0.0.1:{free_port()}")
    await sends.run_once()
    await feed.partitions(1)
    (lease,) = await caller.claim(jobs["compact"])
    await caller.complete(lease, "Failed")
    with capture_logs() as logs:
        for _ in range(400):
            clock.now += 1
            await sends.run_once()
    assert 2 <= len([entry for entry in logs if "not sent" in entry["event"]]) <= 7
    assert sends._failures < 40
    assert all(entry["error"] == "ConnectError" for entry in logs)


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_an_event_that_is_refused_for_good_holds_up_no_other(
    status: int, caller: Caller, jobs: dict[str, UUID], feed: Feed, receiver: LineageReceiver, sender: Sender
):
    sends = sender()
    await sends.run_once()
    await feed.partitions(2)
    first, second = await caller.claim(jobs["compact"], max_tasks=2)
    await caller.complete(first, "Failed")
    receiver.status = status
    with capture_logs() as logs:
        assert await sends.run_once() == 1
    (said,) = [entry for entry in logs if "refused" in entry["event"]]
    assert json.loads(said["refused"])["run"]["runId"] == run_of(first)
    receiver.status = 201
    await caller.complete(second, "Failed")
    assert await sends.run_once() == 1
    assert (receiver.kinds(run_of(first)), receiver.kinds(run_of(second))) == ([], ["START", "FAIL"])


@pytest.mark.parametrize("status", [302, 401, 403, 404, 408, 429, 500])
async def test_any_other_answer_loses_nothing(
    status: int, caller: Caller, jobs: dict[str, UUID], feed: Feed, receiver: LineageReceiver, sender: Sender,
    clock: Clock,
):  # fmt: skip
    sends = sender()
    await sends.run_once()
    await feed.partitions(1)
    (lease,) = await caller.claim(jobs["compact"])
    await caller.complete(lease, "Failed")
    receiver.status = status
    assert await sends.run_once() == 0
    receiver.status = 201
    assert await sends.run_once() == 0, "it waits a little first"
    clock.now += 60
    assert await sends.run_once() == 1
    assert receiver.kinds(run_of(lease)) == ["START", "FAIL"]


async def test_an_answer_without_an_end_is_not_read_to_it(receiver: LineageReceiver, settings: Settings):
    receiver.status, receiver.answer = 200, b"x" * (64 * 1024 * 1024)
    chosen = settings.model_copy(update={"openlineage_url": receiver.url + "/"})
    async with receiving.opened(chosen) as to:
        assert await to.take(b"{}")
    until(lambda: receiver.left == 1)


async def test_the_key_is_read_anew_and_a_missing_one_is_none(
    caller: Caller, jobs: dict[str, UUID], feed: Feed, receiver: LineageReceiver, sender: Sender, tmp_path: Path
):
    key = tmp_path / "api-key"
    sends = sender(openlineage_api_key_file=key)
    await sends.run_once()
    for written in (None, "first\n", "second\n"):
        if written:
            key.write_text(written)
        await feed.partitions(1)
        (lease,) = await caller.claim(jobs["compact"])
        await caller.complete(lease, "Failed")
        assert await sends.run_once() == 1
    assert receiver.keys[::2] == [None, "Bearer first", "Bearer second"]


async def test_a_broken_ca_certificate_is_named(settings: Settings, receiver: LineageReceiver, tmp_path: Path):
    (tmp_path / "ca.crt").write_text("none")
    given = {"openlineage_url": receiver.url, "openlineage_api_key_file": tmp_path / "api-key"}
    with pytest.raises(InvalidSettings, match=r"ca\.crt: no CA certificates"):
        async with receiving.opened(settings.model_copy(update=given)):
            pytest.fail("opened")


def test_the_stores_show_no_password(settings: Settings):
    dsn = "postgresql://trace:pass%40word@db.example.org:6432,other:5432/data"
    told = stores(settings.model_copy(update={"data_dsn": dsn}))
    assert (told.hot, told.cold) == ("postgres://db.example.org:6432", f"s3://{settings.s3_bucket}")


def test_a_dispatcher_that_was_killed_loses_no_event(
    jobs: dict[str, UUID], settings: Settings, sql: Sql, receiver: LineageReceiver, tmp_path: Path
):
    """Two processes one after the other; time is passed for them, since an end is told over a minute later."""

    def age() -> None:
        sql("UPDATE run_event_positions SET finished_at = finished_at - interval '1 hour'")
        sql("UPDATE task_attempts SET finished_at = finished_at - interval '30 minutes'")

    given = {"TRACE_OPENLINEAGE_URL": receiver.url}
    with running(settings, tmp_path, **given) as dispatcher:
        dispatcher.wait_ready()
        (task,) = claim(dispatcher.url, jobs["follow"], wait_seconds=20)
        run = str(run_id(UUID(task["task"]["task_id"]), task["attempt"]))
        until(lambda: receiver.kinds(run)[:2] == ["START", "RUNNING"])
        dispatcher.process.send_signal(signal.SIGKILL)
        dispatcher.process.wait()
    sql("UPDATE tasks SET lease_expires_at = now() - interval '1 s' WHERE status = 'Running'")
    lapse(sql)
    with running(settings, tmp_path, **given) as dispatcher:
        dispatcher.wait_ready()
        until(lambda: sql("SELECT 1 FROM task_attempts"), "the reaper ends the attempt")
        age()
        until(lambda: receiver.kinds(run)[-2:] == ["START", "FAIL"])
