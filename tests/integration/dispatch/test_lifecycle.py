"""Tasks from queue to end: who gets them, what a fence refuses, what comes back."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.integration.dispatch.callers import Caller, completion, fence_of
from tests.integration.dispatch.conftest import Feed
from traceplane.dispatch.dispatcher import Dispatcher
from traceplane.store.statements import attempts
from traceplane.store.statements.claims import Claimant, claim
from traceplane.tasks.retries import RetryPolicy
from traceplane_sdk import wire

pytestmark = pytest.mark.services

Sql = Callable[..., list[dict[str, Any]]]
RETRY = RetryPolicy(30, 600)


async def test_eight_connections_claim_every_task_exactly_once(
    dispatcher: Dispatcher, jobs: dict[str, UUID], feed: Feed, sql: Sql
):
    await feed.partitions(200)
    ready = asyncio.Barrier(8)

    async def worker(number: int) -> list[UUID]:
        taken: list[UUID] = []
        async with dispatcher.state.autocommit() as conn:
            await ready.wait()
            while True:
                claimed = await claim(
                    conn,
                    org_id=dispatcher.settings.org_id,
                    job_id=jobs["compact"],
                    claimants=[Claimant(uuid4(), f"w{number}", 7)],
                    alone=False,
                    newest=False,
                )
                assert claimed is not None
                if not claimed.rows:
                    return taken
                taken += [row.task_id for row in claimed.rows]

    taken = list(itertools.chain(*await asyncio.gather(*(worker(number) for number in range(8)))))
    assert len(taken) == len(set(taken)) == 200
    epochs = [row["lease_epoch"] for row in sql("SELECT lease_epoch FROM tasks WHERE status = 'Running'")]
    assert len(set(epochs)) == len(epochs) == 200


async def test_one_winner_of_a_named_task_and_conflicts_for_the_rest(caller: Caller, feed: Feed, sql: Sql):
    await feed.partitions(1)
    (task,) = sql("SELECT id FROM tasks WHERE status = 'Queued' AND scope ->> 'kind' = 'partition'")
    body = {"worker_id": "w", "task_id": str(task["id"])}
    answers = await asyncio.gather(
        *(
            caller.http.post(
                "/internal/task-claim", json=body, headers={"X-Trace-Worker-Token": caller.worker_token}
            )
            for _ in range(8)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 7
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"TaskNotQueued"}


async def test_claims_come_by_priority_then_age(caller: Caller, jobs: dict[str, UUID], feed: Feed, sql: Sql):
    await feed.partitions(3)
    sql("UPDATE tasks SET priority = 1, queued_at = queued_at - interval '1 hour' WHERE range_start = 0")
    sql("UPDATE tasks SET queued_at = queued_at - interval '1 minute' WHERE range_start = 40")
    order = [lease.task.scope["start"] for lease in await caller.claim(jobs["compact"], max_tasks=10)]
    assert order == [40, 20, 0]


async def test_concurrent_claims_share_one_statement_and_get_separate_tokens(
    caller: Caller, dispatcher: Dispatcher, jobs: dict[str, UUID], feed: Feed
):
    await feed.partitions(30)
    leases = await asyncio.gather(*(caller.claim(jobs["compact"], max_tasks=3) for _ in range(10)))
    assert [len(each) for each in leases] == [3] * 10
    tokens = {lease.capability_token for each in leases for lease in each}
    assert len(tokens) == 10
    for each in leases:
        claims = dispatcher.capabilities.verify(each[0].capability_token)
        assert {(task.task_id, task.attempt) for task in claims.tasks} == {
            (lease.task.task_id, lease.attempt) for lease in each
        }


async def test_max_concurrency_holds_over_two_dispatchers(
    dispatcher: Dispatcher, jobs: dict[str, UUID], feed: Feed, sql: Sql
):
    sql("UPDATE dag_version_jobs SET max_concurrency = 5 WHERE job_id = %(job)s", job=jobs["compact"])
    await feed.partitions(40)
    second = type(dispatcher.claims)(
        dispatcher.settings, dispatcher.state, dispatcher.jobs, dispatcher.capabilities, dispatcher.wakeups
    )
    await asyncio.gather(
        *(
            claims.claim(job_id=jobs["compact"], worker_id="w", max_tasks=2)
            for claims in (dispatcher.claims, second)
            for _ in range(10)
        )
    )
    assert sql(
        "SELECT count(*) AS n FROM tasks WHERE status = 'Running' AND job_id = %(job)s", job=jobs["compact"]
    ) == [{"n": 5}]


@pytest.mark.parametrize(
    "obstacle",
    [
        "UPDATE jobs SET paused = true",
        "UPDATE jobs SET provisioned_at = NULL",
        "UPDATE dag_current_versions SET deleted_at = now()",
        "UPDATE dag_current_versions SET active_version_id = NULL",
    ],
)
async def test_what_may_not_run_is_not_claimed(
    caller: Caller, jobs: dict[str, UUID], feed: Feed, sql: Sql, obstacle: str
):
    await feed.partitions(1)
    sql(obstacle)
    assert await caller.claim(jobs["compact"]) == []


async def test_a_staged_version_works_too(caller: Caller, jobs: dict[str, UUID], feed: Feed, sql: Sql):
    sql("UPDATE dag_current_versions SET staged_version_id = active_version_id, active_version_id = NULL")
    await feed.partitions(1)
    assert len(await caller.claim(jobs["compact"])) == 1


async def test_a_per_update_job_runs_the_newest_and_supersedes_the_older(
    caller: Caller, jobs: dict[str, UUID], feed: Feed, sql: Sql
):
    for value in (10, 30, 20):
        await feed.cursor(value)
    (lease,) = await caller.claim(jobs["ranges"], max_tasks=5)
    assert lease.task.inputs[0].cursor == wire.CursorSpan(after=None, upto=30)
    assert lease.task.writer == "job"
    assert sql("SELECT count(*) AS n FROM tasks WHERE result = 'Superseded' AND status = 'Completed'") == [{"n": 2}]

    await feed.cursor(50)
    assert await caller.claim(jobs["ranges"]) == [], "one run at a time"
    assert (await caller.complete(lease)).status_code == 200
    (following,) = await caller.claim(jobs["ranges"])
    assert following.task.inputs[0].cursor == wire.CursorSpan(after=30, upto=50)


async def test_a_failed_run_leaves_the_cursor(caller: Caller, jobs: dict[str, UUID], feed: Feed, sql: Sql):
    await feed.cursor(10)
    (lease,) = await caller.claim(jobs["ranges"])
    assert (await caller.complete(lease, "Failed")).status_code == 200
    assert sql("SELECT * FROM dataset_cursors") == []


async def test_operator_state_is_kept_and_given_to_the_next_run(caller: Caller, jobs: dict[str, UUID], feed: Feed):
    await feed.cursor(10)
    (lease,) = await caller.claim(jobs["ranges"])
    assert lease.task.state == {}
    assert (await caller.complete(lease, state={"next": {"start": 7}})).status_code == 200
    await feed.cursor(20)
    (lease,) = await caller.claim(jobs["ranges"])
    assert lease.task.state == {"next": {"start": 7}}
    answer = await caller.complete(lease, state={"more": "x" * (wire.MAX_STATE_BYTES - 10)})
    assert (answer.status_code, answer.json()["code"]) == (413, "StateTooLarge")


async def test_shuffled_and_doubled_completions_have_one_effect(
    caller: Caller, jobs: dict[str, UUID], feed: Feed, sql: Sql
):
    await feed.partitions(20)
    leases = await caller.claim(jobs["compact"], max_tasks=20)
    event = {"output": "blocks", "partition": {"key": "0-19", "start": 0, "end": 19}}
    calls = [(lease, {"events": [event]}) for lease in leases for _ in range(3)]
    random.Random(7).shuffle(calls)
    answers = await asyncio.gather(*(caller.complete(lease, **more) for lease, more in calls))
    assert {(answer.status_code, answer.json()["completions"][0]["status"]) for answer in answers} == {
        (200, "Completed")
    }
    assert sql("SELECT count(*) AS n FROM task_attempts") == [{"n": 20}]
    produced = "SELECT count(*) AS n FROM events WHERE producer_task_id IS NOT NULL"
    assert sql(produced) == [{"n": 20}]


async def test_a_repeat_after_the_task_went_on_gets_the_first_answer(
    caller: Caller, jobs: dict[str, UUID], feed: Feed, sql: Sql, loop_of: Callable[[str], Any]
):
    """COMMIT happened, the reply was lost, and by now the retry is running: still the same answer."""
    await feed.partitions(1)
    (lease,) = await caller.claim(jobs["compact"])
    first = await caller.complete(lease, "Failed")
    sql("UPDATE tasks SET next_retry_at = now() WHERE status = 'Failed'")
    assert await loop_of("retry")() == 1
    (again,) = await caller.claim(jobs["compact"])
    assert again.attempt == 2
    repeat = await caller.complete(lease, "Failed")
    assert (repeat.status_code, repeat.json()) == (first.status_code, first.json())
    assert (await caller.complete(lease)).status_code == 409, "another outcome than the accepted one is stale"


async def test_stale_calls_are_refused_and_change_nothing(
    caller: Caller, jobs: dict[str, UUID], feed: Feed, sql: Sql, loop_of: Callable[[str], Any]
):
    await feed.partitions(1)
    (lease,) = await caller.claim(jobs["compact"])
    sql("UPDATE tasks SET lease_expires_at = now() - interval '1 s' WHERE status = 'Running'")
    assert await loop_of("reaper")() == 1
    before = sql("SELECT * FROM tasks"), sql("SELECT * FROM task_attempts"), sql("SELECT * FROM events")

    assert (await caller.heartbeat(lease)).lease_expires_at is None
    told = await caller.complete(lease)
    assert (told.status_code, told.json()["completions"][0]["accepted"]) == (409, False)
    assert (await caller.complete(lease, "Released")).status_code == 409
    report = await caller.report(lease, events=[{"output": "blocks", "cursor": 1}])
    assert (report.status_code, report.json()["code"]) == (409, "StaleLease")
    keys = await caller.task_call("credentials", lease.capability_token, {"fence": fence_of(lease)})
    assert (keys.status_code, keys.json()["code"]) == (409, "StaleLease")
    assert before == (sql("SELECT * FROM tasks"), sql("SELECT * FROM task_attempts"), sql("SELECT * FROM events"))


async def test_a_wrong_lease_token_and_another_claims_capability_are_stale(
    caller: Caller, jobs: dict[str, UUID], feed: Feed
):
    await feed.partitions(66)
    large = await caller.claim(jobs["compact"], max_tasks=33)
    other = await caller.claim(jobs["compact"], max_tasks=33)
    forged = completion(large[0])
    forged["fence"] = {**forged["fence"], "lease_token": str(uuid4())}
    answer = await caller.task_call("complete", large[0].capability_token, {"completions": [forged]})
    assert answer.status_code == 409
    body = {"completions": [completion(large[0])]}
    assert (await caller.task_call("complete", other[0].capability_token, body)).status_code == 409
    assert (await caller.task_call("complete", large[0].capability_token, body)).status_code == 200


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
                    retry=RETRY,
                )
            )
            await blocked(dispatcher)
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


@pytest.mark.parametrize(("reason", "status"), [("Evicted", "Queued"), ("OOMKilled", "Failed")])
async def test_a_dead_pods_attempts_end_early(
    caller: Caller, dispatcher: Dispatcher, jobs: dict[str, UUID], feed: Feed, sql: Sql, reason: str, status: str
):
    await feed.partitions(2)
    await caller.claim(jobs["compact"], worker_id="pod-a")
    await caller.claim(jobs["compact"], worker_id="pod-b")
    async with dispatcher.state.autocommit() as conn:
        ended = await attempts.end_worker(
            conn,
            org_id=dispatcher.settings.org_id,
            worker_id="pod-a",
            reason=reason,
            message="gone",
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


async def blocked(dispatcher: Dispatcher) -> None:
    """Return when some session waits for a lock."""
    async with asyncio.timeout(60), dispatcher.state.autocommit() as conn:
        while True:
            cursor = await conn.execute(
                "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
            if await cursor.fetchone():
                return
