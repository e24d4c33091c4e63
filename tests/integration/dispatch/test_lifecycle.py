"""Tasks from queue to completion: who gets them, and what a fence refuses."""

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
from traceplane.store.statements.claims import Claimant, claim
from traceplane_sdk import wire

pytestmark = pytest.mark.services

Sql = Callable[..., list[dict[str, Any]]]


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
    assert (lease.task.writer, lease.task.update_strategy) == ("job", "Append")
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
