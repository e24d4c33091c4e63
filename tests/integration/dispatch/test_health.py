"""Whether the dispatcher's parts work: each is broken by itself, and says so, and the others do not."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest

from tests import services
from tests.services.object_store import write_keys
from traceplane.dispatch import dispatcher as building
from traceplane.dispatch import health
from traceplane.dispatch.dispatcher import Dispatcher
from traceplane.drivers.objects import S3Objects
from traceplane.drivers.task_credentials import TaskCredentials
from traceplane.drivers.task_keys import TaskKeys
from traceplane.errors import Unavailable
from traceplane.settings import Settings
from traceplane.store.engine import Database
from traceplane.taskapi.app import app

pytestmark = pytest.mark.services

Sql = Callable[..., list[dict[str, Any]]]


async def wrong(found: health.Health) -> dict[str, str]:
    """What is not well, by its name."""
    seen = await health.findings(found.parts())
    assert [each.name for each in seen] == [part.name for part in found.parts()], "every part is there"
    assert all(bool(each.remedy) is (each.result != "ok") for each in seen)
    return {each.name: f"{each.result}: {each.message}" for each in seen if each.result != "ok"}


async def test_all_is_well_in_a_fresh_installation(dispatcher: Dispatcher) -> None:
    assert await wrong(dispatcher.health) == {}


async def test_a_schema_of_another_release_is_named(
    dispatcher: Dispatcher, sql: Sql, databases: services.Databases
) -> None:
    sql("UPDATE trace_schema_state SET version_num = 's0001'")
    with psycopg.connect(databases.data_dsn, autocommit=True) as data:
        data.execute("DROP TABLE trace_schema_data")
    found = await wrong(dispatcher.health)
    assert found.keys() == {"state database", "data database"}
    assert "at schema revision s0001, and this release knows s" in found["state database"]
    assert "at schema revision none" in found["data database"]


async def test_a_database_that_is_away_is_the_only_one(dispatcher: Dispatcher) -> None:
    nowhere = "postgresql://nobody:secret@127.0.0.1:1/none"
    away = Database(nowhere, application="test", wait_seconds=1)
    found = await wrong(dataclasses.replace(dispatcher.health, data=away))
    await away.close()
    assert found.keys() == {"data database"}
    assert "secret" not in found["data database"]


async def test_a_bucket_that_is_not_there_is_named(dispatcher: Dispatcher, settings: Settings) -> None:
    other = settings.model_copy(update={"s3_bucket": "not-there"})
    found = await wrong(dataclasses.replace(dispatcher.health, objects=S3Objects(other)))
    assert found.keys() == {"object store"}


async def test_an_sts_that_gives_no_credentials_is_named(dispatcher: Dispatcher, settings: Settings) -> None:
    other = settings.model_copy(update={"sts_endpoint_url": "http://127.0.0.1:1"})
    found = await wrong(dataclasses.replace(dispatcher.health, credentials=TaskCredentials(other)))
    assert found.keys() == {"sts"}


async def test_a_store_without_sts_keeps_the_dispatcher_from_being_ready_and_says_why(
    settings: Settings, plain_store: services.ObjectStore
) -> None:
    asking = settings.model_copy(update=plain_store.settings() | {"s3_credentials": "Sts"})
    parts = building.build(asking)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app(parts, pytest.fail), raise_app_exceptions=False),
        base_url="http://dispatcher",
    ) as http:
        assert (await http.get("/readyz")).status_code == 200, "nothing is known yet"
        (proving,) = [loop for loop in parts.loops() if loop.name == "credentials"]
        with pytest.raises(Unavailable):
            await proving.run_once()
        answer = await http.get("/readyz")
        found = await wrong(parts.health)
    await parts.wakeups.close()
    await parts.close()
    assert (answer.status_code, answer.json()["code"]) == (503, "NoSts")
    for said in (answer.json()["detail"], found["sts"]):
        assert "has no STS (405)" in said
        assert "set s3.credentials to Static" in said


async def test_keys_of_tasks_are_tried_where_there_is_no_sts(
    settings: Settings, plain_store: services.ObjectStore, tmp_path: Path
) -> None:
    write_keys(tmp_path / "tasks", ("nobody", "secret"))
    static = plain_store.settings() | {"s3_bucket": plain_store.bucket()}
    parts = building.build(settings.model_copy(update=static))
    assert await wrong(parts.health) == {}
    unknown = settings.model_copy(update=static | {"s3_task_keys_dir": tmp_path / "tasks"})
    found = await wrong(dataclasses.replace(parts.health, credentials=TaskKeys(unknown)))
    await parts.wakeups.close()
    await parts.close()
    assert found.keys() == {"task keys"}
    assert "the keys access-key-id" in found["task keys"]


async def test_tasks_that_failed_for_good_are_counted_by_job(
    dispatcher: Dispatcher, sql: Sql, jobs: dict[str, UUID], feed: Any
) -> None:
    await feed.partitions(3)
    sql("UPDATE tasks SET queued_at = queued_at - interval '2 hours' WHERE job_id = %(job)s", job=jobs["compact"])
    assert "warning: 4 queued" in (await wrong(dispatcher.health))["tasks"]
    sql(
        "UPDATE tasks SET status = 'Failed', attempt = 3, finished_at = now(), error = '{}' WHERE job_id = %(job)s",
        job=jobs["compact"],
    )
    assert "failed for good: chain/compact: 3" in (await wrong(dispatcher.health))["tasks"]


async def test_a_source_that_does_not_run_or_is_behind_is_named(
    dispatcher: Dispatcher, sql: Sql, jobs: dict[str, UUID], caller: Any
) -> None:
    assert "not running, or not advancing: chain/follow" in (await wrong(dispatcher.health))["sources"]
    assert len(await caller.claim(jobs["follow"])) == 1
    report = '{"healthy": true, "message": "follows", "position": 7, "head": 507}'
    sql("UPDATE tasks SET report = %(report)s::jsonb WHERE status = 'Running'", report=report)
    assert "warning: behind: chain/follow: 500 blocks" in (await wrong(dispatcher.health))["sources"]
    sql("UPDATE tasks SET report = jsonb_set(report, '{position}', '507') WHERE status = 'Running'")
    assert await wrong(dispatcher.health) == {}


async def test_effects_that_failed_are_counted(dispatcher: Dispatcher, sql: Sql, jobs: dict[str, UUID]) -> None:
    sql("UPDATE outbox SET status = 'Failed', finished_at = statement_timestamp()")
    assert "effects failed for good" in (await wrong(dispatcher.health))["outbox"]


async def test_a_part_that_hangs_says_so_and_keeps_nothing_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "PART_SECONDS", 0.05)

    async def hangs() -> health.Said:
        await asyncio.get_running_loop().create_future()
        return "ok", "never"

    async def works() -> health.Said:
        return "ok", "works"

    first, second = await health.findings([health.Part("one", hangs, "x"), health.Part("two", works, "y")])
    assert (first.result, first.message, first.remedy) == ("failed", "no answer within 0.05 s", "x")
    assert (second.result, second.remedy) == ("ok", "")
