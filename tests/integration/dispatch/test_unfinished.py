"""An empty report is answered with how many events of each output have an open task, for a source's pace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests import graphs
from tests.integration.dispatch.callers import Caller
from tests.integration.dispatch.conftest import Feed
from traceplane.dispatch import accept
from traceplane_sdk import wire

pytestmark = pytest.mark.services

DONE = 50

Sql = Callable[..., list[dict[str, Any]]]


def _events(*starts: int) -> list[dict[str, Any]]:
    return [{"output": "ranges", "partition": {"key": f"{n}-{n + 19}", "start": n, "end": n + 19}} for n in starts]


async def _unfinished(caller: Caller, claimed: wire.ClaimedTask, *starts: int) -> dict[str, int]:
    """What is unfinished once events of these ranges are reported."""
    if starts:
        answer = await caller.report(claimed, events=_events(*starts))
        assert answer.status_code == 200, answer.text
        assert answer.json() == {"accepted": len(starts), "unfinished": None}, "only who asks waits for the count"
    answer = await caller.report(claimed)
    assert answer.status_code == 200, answer.text
    assert answer.json()["accepted"] == 0
    counted: dict[str, int] = answer.json()["unfinished"]
    return counted


@pytest.fixture
async def planning(caller: Caller, jobs: dict[str, UUID], feed: Feed) -> wire.ClaimedTask:
    """A running task whose output `compact` reads."""
    await feed.cursor(1000)
    (claimed,) = await caller.claim(jobs["ranges"])
    return claimed


async def test_an_event_counts_until_its_task_is_completed_or_canceled(
    caller: Caller, jobs: dict[str, UUID], planning: wire.ClaimedTask, sql: Sql
) -> None:
    assert await _unfinished(caller, planning) == {}
    assert await _unfinished(caller, planning, 0, 20) == {"ranges": 2}, "its own events are among them"
    assert await _unfinished(caller, planning, 40) == {"ranges": 3}
    first, second = await caller.claim(jobs["compact"], max_tasks=2)
    assert await _unfinished(caller, planning) == {"ranges": 3}, "running is not ended"
    error = {"code": "Broken", "message": "no", "retryable": True}
    assert (await caller.complete(first, "Failed", error=error)).status_code == 200
    assert await _unfinished(caller, planning) == {"ranges": 3}, "it waits for its next attempt"
    assert (await caller.complete(second, "Failed", error={**error, "retryable": False})).status_code == 200
    assert await _unfinished(caller, planning) == {"ranges": 3}, "a dead task is not done"
    (third,) = await caller.claim(jobs["compact"])
    assert (await caller.complete(third)).status_code == 200
    assert await _unfinished(caller, planning) == {"ranges": 2}
    sql("UPDATE tasks SET status = 'Canceled', next_retry_at = NULL, finished_at = now() WHERE status = 'Failed'")
    assert await _unfinished(caller, planning) == {}


async def test_tasks_of_other_causes_and_of_generations_that_run_no_more_do_not_count(
    caller: Caller, planning: wire.ClaimedTask, feed: Feed, sql: Sql
) -> None:
    await feed.cursor(2000)  # a task of `ranges` itself, by an event of the follower
    assert await _unfinished(caller, planning, 0) == {"ranges": 1}
    sql("UPDATE dag_current_versions SET deleted_at = now()")
    assert await _unfinished(caller, planning) == {}


async def test_a_reader_that_is_rebuilt_beside_the_one_that_serves_does_not_count(
    caller: Caller, jobs: dict[str, UUID], planning: wire.ClaimedTask, deploy: Callable[..., Any], sql: Sql
) -> None:
    assert await _unfinished(caller, planning, *range(0, DONE * 20, 20)) == {"ranges": DONE}
    sql("UPDATE tasks SET status = 'Completed', finished_at = now() WHERE job_id = %(job)s", job=jobs["compact"])
    manifest = graphs.chain()
    compact = graphs.job(manifest, "compact")
    compact["inputs"][1]["from"]["output"], compact["outputs"] = "transactions", ["transactions"]
    manifest["spec"]["publish"][1]["from"]["output"] = "transactions"
    staged = await deploy(manifest)
    assert (staged["ranges"], staged["compact"] == jobs["compact"]) == (jobs["ranges"], False)
    assert sql(
        "SELECT count(*) AS n FROM tasks WHERE status = 'Queued' AND job_id = %(job)s", job=staged["compact"]
    ) == [{"n": DONE}]
    assert await _unfinished(caller, planning) == {}
    assert await _unfinished(caller, planning, DONE * 20) == {"ranges": 1}, "the one that serves has this to do"


async def test_of_a_source_that_is_staged_the_staged_readers_count(
    caller: Caller, planning: wire.ClaimedTask, deploy: Callable[..., Any]
) -> None:
    manifest = graphs.chain()
    graphs.job(manifest, "ranges")["config"]["rangeSize"] = 10
    staged = await deploy(manifest)
    (rebuilding,) = await caller.claim(staged["ranges"])
    assert await _unfinished(caller, rebuilding, 0, 20, 40) == {"ranges": 3}
    assert await _unfinished(caller, planning) == {}, "they are events of another version"


async def test_where_no_version_is_active_the_staged_one_counts(
    caller: Caller, planning: wire.ClaimedTask, sql: Sql
) -> None:
    sql("UPDATE dag_current_versions SET staged_version_id = active_version_id, active_version_id = NULL")
    assert await _unfinished(caller, planning, 0) == {"ranges": 1}


async def test_nothing_is_counted_for_a_lease_that_does_not_hold(
    caller: Caller, planning: wire.ClaimedTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[Any] = []
    monkeypatch.setattr(accept, "unfinished", lambda *given, **more: counted.append(more))
    assert (await caller.complete(planning, "Released")).status_code == 200
    assert (await caller.report(planning)).status_code == 409
    assert counted == []


async def test_a_count_that_collides_is_repeated_without_the_report(
    caller: Caller, planning: wire.ClaimedTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports, counts = [], []
    report, count = accept.statements.report, accept.unfinished

    async def reported(*given: Any, **more: Any) -> Any:
        reports.append(more)
        return await report(*given, **more)

    async def collided_once(*given: Any, **more: Any) -> Any:
        counts.append(more)
        if len(counts) == 1:
            raise psycopg.errors.DeadlockDetected("it collided with another one")
        return await count(*given, **more)

    monkeypatch.setattr(accept.statements, "report", reported)
    monkeypatch.setattr(accept, "unfinished", collided_once)
    assert await _unfinished(caller, planning) == {}
    assert (len(reports), len(counts)) == (1, 2)
