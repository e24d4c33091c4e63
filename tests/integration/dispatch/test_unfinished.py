"""A report answers how many events of each output have an open task: what a source paces itself by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from tests.integration.dispatch.callers import Caller
from tests.integration.dispatch.conftest import Feed
from traceplane_sdk import wire

pytestmark = pytest.mark.services

Sql = Callable[..., list[dict[str, Any]]]


def _events(*starts: int) -> list[dict[str, Any]]:
    return [{"output": "ranges", "partition": {"key": f"{n}-{n + 19}", "start": n, "end": n + 19}} for n in starts]


async def _unfinished(caller: Caller, claimed: wire.ClaimedTask, *starts: int) -> dict[str, int]:
    answer = await caller.report(claimed, events=_events(*starts))
    assert answer.status_code == 200, answer.text
    assert answer.json()["accepted"] == len(starts)
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
