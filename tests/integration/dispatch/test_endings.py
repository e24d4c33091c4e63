"""How attempts end, on time or not, and which tasks come back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from tests.integration.dispatch.callers import Caller, completion
from tests.integration.dispatch.conftest import Feed
from tests.support.locks import blocked
from traceplane.dispatch.dispatcher import Dispatcher
from traceplane.kit import spans
from traceplane.kit.spans import Span
from traceplane.store.statements import attempts
from traceplane.tasks.retries import RetryPolicy

pytestmark = pytest.mark.services

Sql = Callable[..., list[dict[str, Any]]]
RETRY = RetryPolicy(30, 600)


async def test_a_completion_after_the_lease_ended_is_accepted_until_it_is_reaped(
    caller: Caller, jobs: dict[str, UUID], feed: Feed, sql: Sql, loop_of: Callable[[str], Any]
):
    await feed.partitions(1)
    (lease,) = await caller.claim(jobs["compact"])
    sql("UPDATE tasks SET lease_expires_at = now() - interval '1 hour' WHERE status = 'Running'")
    assert (await caller.complete(lease)).status_code == 200
    assert await loop_of("reaper")() == 0


async def test_a_rescuer_that_looked_before_the_completion_does_not_undo_it(
    caller: Caller, dispatcher: Dispatcher, jobs: dict[str, UUID], feed: Feed, sql: Sql
):
    """The reaper waits on the row that a completion holds; when it gets on, the row is Completed and stays so."""
    await feed.partitions(1)
    (lease,) = await caller.claim(jobs["compact"])
    sql("UPDATE tasks SET lease_expires_at = now() - interval '1 s' WHERE status = 'Running'")
    async with dispatcher.state.autocommit() as holder, dispatcher.state.autocommit() as rescuer:
        async with holder.transaction():
            await holder.execute("SELECT 1 FROM tasks WHERE id = %s FOR UPDATE", (lease.task.task_id,))
            releasing = asyncio.create_task(
                attempts.end_worker(
                    rescuer,
                    org_id=dispatcher.settings.org_id,
                    worker_id="worker-1",
                    reason="OOMKilled",
                    message="",
                    spent=True,
                    retry=RETRY,
                )
            )
            await blocked(dispatcher.state)
            await holder.execute(
                "UPDATE tasks SET status = 'Completed', finished_at = now() WHERE id = %s", (lease.task.task_id,)
            )
        assert await releasing == ()
    assert sql("SELECT status, next_retry_at FROM tasks WHERE id = %(id)s", id=lease.task.task_id) == [
        {"status": "Completed", "next_retry_at": None}
    ]


async def test_many_reapers_and_completions_end_every_attempt_once(
    caller: Caller,
    dispatcher: Dispatcher,
    jobs: dict[str, UUID],
    feed: Feed,
    sql: Sql,
    loop_of: Callable[[str], Any],
):
    await feed.partitions(60)
    leases = await caller.claim(jobs["compact"], max_tasks=60)
    sql("UPDATE tasks SET lease_expires_at = now() - interval '1 s' WHERE status = 'Running'")
    answers = await asyncio.gather(
        *(caller.complete(lease) for lease in leases), *(loop_of("reaper")() for _ in range(4))
    )
    accepted = sum(answer.status_code == 200 for answer in answers[:60])
    results = sql("SELECT result, count(*) AS n FROM task_attempts GROUP BY result")
    assert {row["result"]: row["n"] for row in results} == {
        result: n for result, n in (("Completed", accepted), ("LeaseExpired", 60 - accepted)) if n
    }


async def test_a_timeout_ends_an_attempt_that_still_beats(
    caller: Caller, jobs: dict[str, UUID], feed: Feed, sql: Sql, loop_of: Callable[[str], Any]
):
    sql("UPDATE dag_version_jobs SET timeout_seconds = 5 WHERE job_id = %(job)s", job=jobs["compact"])
    await feed.partitions(1)
    (lease,) = await caller.claim(jobs["compact"])
    assert lease.task.timeout_seconds == 5.0
    sql("UPDATE tasks SET deadline_at = now() - interval '1 s' WHERE status = 'Running'")
    assert (await caller.heartbeat(lease)).lease_expires_at is not None
    assert await loop_of("reaper")() == 1
    assert [row["result"] for row in sql("SELECT result FROM task_attempts")] == ["TimedOut"]


async def test_the_last_attempt_is_final_and_a_source_has_none(
    caller: Caller, jobs: dict[str, UUID], feed: Feed, sql: Sql, loop_of: Callable[[str], Any]
):
    await feed.partitions(1)
    sql("UPDATE tasks SET max_attempts = 2 WHERE scope ->> 'kind' = 'partition'")
    for attempt in (1, 2):
        (lease,) = await caller.claim(jobs["compact"])
        assert lease.attempt == attempt
        assert (await caller.complete(lease, "Failed")).status_code == 200
        sql("UPDATE tasks SET next_retry_at = now() WHERE next_retry_at IS NOT NULL")
        assert await loop_of("retry")() == (attempt == 1)
    assert sql("SELECT count(*) AS n FROM tasks WHERE status = 'Failed' AND finished_at IS NOT NULL") == [{"n": 1}]
    for attempt in range(1, 8):
        (lease,) = await caller.claim(jobs["follow"])
        assert (lease.attempt, lease.task.timeout_seconds) == (attempt, None)
        assert (await caller.complete(lease, "Failed")).status_code == 200
        sql("UPDATE tasks SET next_retry_at = now() WHERE next_retry_at IS NOT NULL")
        assert await loop_of("retry")() == 1


async def test_a_failure_that_no_retry_helps_is_final(caller: Caller, jobs: dict[str, UUID], feed: Feed, sql: Sql):
    await feed.partitions(1)
    (lease,) = await caller.claim(jobs["compact"])
    await caller.complete(lease, "Failed", error={"code": "BadConfig", "message": "no", "retryable": False})
    (row,) = sql("SELECT status, finished_at, error FROM tasks WHERE status = 'Failed'")
    assert row["finished_at"] is not None
    assert row["error"]["code"] == "BadConfig"


async def test_retries_back_off_within_the_settings_bounds(
    caller: Caller, jobs: dict[str, UUID], feed: Feed, sql: Sql, loop_of: Callable[[str], Any]
):
    await feed.partitions(1)
    sql("UPDATE tasks SET max_attempts = NULL")
    delay = "SELECT extract(epoch FROM next_retry_at - now())::float8 AS d FROM tasks WHERE status = 'Failed'"
    for failures in range(1, 8):
        (lease,) = await caller.claim(jobs["compact"])
        await caller.complete(lease, "Failed")
        middle = min(600, 30 * 2 ** (failures - 1))
        assert middle * 0.5 - 5 <= sql(delay)[0]["d"] <= middle * 1.5
        sql("UPDATE tasks SET next_retry_at = now() WHERE status = 'Failed'")
        await loop_of("retry")()
    (lease,) = await caller.claim(jobs["compact"])
    sql("UPDATE tasks SET started_at = now() - interval '1 day' WHERE status = 'Running'")
    await caller.complete(lease, "Failed")
    assert sql(delay)[0]["d"] <= 45, "a run that held for long starts the count anew"


async def test_tasks_released_together_may_save_one_key_and_the_later_lease_counts(
    caller: Caller, jobs: dict[str, UUID], feed: Feed, sql: Sql
):
    await feed.partitions(2)
    leases = await caller.claim(jobs["compact"], max_tasks=2)
    later = max(leases, key=lambda lease: lease.task.lease_epoch)
    released = [
        completion(lease, "Released", state={"next": "later" if lease is later else "earlier"}) for lease in leases
    ]
    answer = await caller.task_call("complete", leases[0].capability_token, {"completions": released})
    assert answer.status_code == 200, answer.text
    assert [row["value"] for row in sql("SELECT value FROM operator_state WHERE key = 'next'")] == ["later"]


async def test_a_released_task_is_queued_at_once_and_spends_no_attempt(
    caller: Caller, jobs: dict[str, UUID], feed: Feed, sql: Sql
):
    await feed.partitions(1)
    sql("UPDATE tasks SET max_attempts = 1 WHERE scope ->> 'kind' = 'partition'")
    for attempt in range(1, 5):
        (lease,) = await caller.claim(jobs["compact"])
        assert lease.attempt == attempt, "attempts rise, so that no two write below one prefix"
        answer = await caller.complete(lease, "Released")
        assert answer.json()["completions"][0] == {
            "task_id": lease.task.task_id,
            "accepted": True,
            "status": "Queued",
        }
        assert (await caller.complete(lease, "Released")).json() == answer.json()
    (lease,) = await caller.claim(jobs["compact"])
    await caller.complete(lease, "Failed")
    assert sql("SELECT count(*) AS n FROM tasks WHERE status = 'Failed' AND finished_at IS NOT NULL") == [{"n": 1}]


async def test_the_span_of_a_released_tasks_wait_begins_where_the_attempt_before_ended(
    caller: Caller, jobs: dict[str, UUID], feed: Feed
):
    found: list[Span] = []
    await feed.partitions(1)
    spans.install(found.append)
    try:
        (lease,) = await caller.claim(jobs["compact"])
        await caller.complete(lease, "Released")
        (again,) = await caller.claim(jobs["compact"])
    finally:
        spans.install(None)
    (first, second), (attempt,) = (
        [span for span in found if span.name == name and span.attributes["trace.task_id"] == again.task.task_id]
        for name in ("queued", "attempt")
    )
    assert first.start < first.end == attempt.start
    assert attempt.end == second.start < second.end


@pytest.mark.parametrize(("spent", "status"), [(False, "Queued"), (True, "Failed")])
async def test_a_dead_pods_attempts_end_early(
    caller: Caller, dispatcher: Dispatcher, jobs: dict[str, UUID], feed: Feed, sql: Sql, spent: bool, status: str
):
    await feed.partitions(2)
    await caller.claim(jobs["compact"], worker_id="pod-a")
    await caller.claim(jobs["compact"], worker_id="pod-b")
    async with dispatcher.state.autocommit() as conn:
        ended = await attempts.end_worker(
            conn,
            org_id=dispatcher.settings.org_id,
            worker_id="pod-a",
            reason="Gone",
            message="gone",
            spent=spent,
            retry=RETRY,
        )
    assert [each.status for each in ended] == [status]
    assert sql("SELECT worker_id FROM tasks WHERE status = 'Running'") == [{"worker_id": "pod-b"}]


async def test_a_canceled_task_ends_canceled_unless_it_was_done(
    caller: Caller, jobs: dict[str, UUID], feed: Feed, sql: Sql, loop_of: Callable[[str], Any]
):
    await feed.partitions(4)
    done, failed, released, silent = await caller.claim(jobs["compact"], max_tasks=4)
    sql("UPDATE tasks SET cancel_requested = true WHERE status = 'Running'")
    assert (await caller.heartbeat(done)).canceled
    await caller.complete(done)
    await caller.complete(failed, "Failed")
    await caller.complete(released, "Released")
    sql("UPDATE tasks SET lease_expires_at = now() - interval '1 s' WHERE status = 'Running'")
    await loop_of("reaper")()
    rows = {
        str(row["id"]): row["status"] for row in sql("SELECT id, status FROM tasks WHERE range_start IS NOT NULL")
    }
    assert rows == {
        done.task.task_id: "Completed",
        failed.task.task_id: "Canceled",
        released.task.task_id: "Canceled",
        silent.task.task_id: "Canceled",
    }
