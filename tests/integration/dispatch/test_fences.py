"""A lease is held by every part of it together, and what is not held changes nothing.

Each test removes the reason for a statement to act, one at a time, and compares every row that it could
have written. `hack.mutants` runs these tests first: they fail when a condition of a fence goes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.integration.dispatch.two_orgs import ORG, RETRY, WORKER, Lease, Orgs, commit
from tests.support.deploying import NEIGHBOUR
from traceplane.store.statements import attempts, completions, events, leases

pytestmark = pytest.mark.services
Call = Callable[[Orgs, UUID, Lease], Awaitable[bool]]


async def renew(orgs: Orgs, org: UUID, lease: Lease) -> bool:
    return bool(await leases.renew(orgs.conn, org_id=org, leases=[lease]))


async def renew_and_report(orgs: Orgs, org: UUID, lease: Lease) -> bool:
    said = {**lease, "report": {"healthy": False, "message": "no answer"}}
    return bool(await leases.renew(orgs.conn, org_id=org, leases=[said]))


async def scopes(orgs: Orgs, org: UUID, lease: Lease) -> bool:
    return bool(await leases.scopes(orgs.conn, org_id=org, leases=[lease]))


async def complete(orgs: Orgs, org: UUID, lease: Lease) -> bool:
    return await orgs.complete(lease, org=org)


async def release(orgs: Orgs, org: UUID, lease: Lease) -> bool:
    return bool(await attempts.release(orgs.conn, org_id=org, items=[lease]))


async def report(orgs: Orgs, org: UUID, lease: Lease) -> bool:
    fence: dict[str, object] = {
        "task": lease["task_id"],
        "attempt": lease["attempt"],
        "token": lease["lease_token"],
        "claim": lease["claim_id"],
    }
    event = {"id": str(uuid4()), "output": "blocks", "key": "0-19", "start": 0, "end": 19}
    found = await events.report(orgs.conn, org_id=org, fence=fence, events=[event], invalidations=[])
    return bool(found.known)


CALLS: list[Call] = [renew, renew_and_report, scopes, complete, release, report]


@pytest.mark.parametrize("call", CALLS)
async def test_a_call_with_one_part_of_its_lease_wrong_changes_nothing(call: Call, orgs: Orgs):
    await orgs.partitions(2)
    lease, other = await orgs.leases(2)
    wrong: dict[str, Any] = {
        "task_id": other["task_id"],
        "attempt": lease["attempt"] + 1,
        "lease_token": other["lease_token"],
        "claim_id": str(uuid4()),
    }
    assert wrong.keys() == lease.keys()
    before = orgs.written()
    for part, value in wrong.items():
        assert not await call(orgs, ORG, {**lease, part: value}), part
    assert not await call(orgs, NEIGHBOUR, lease)
    assert orgs.written() == before
    assert await call(orgs, ORG, lease)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("status", ["Completed", "Failed", "Canceled"])
async def test_a_call_for_an_attempt_that_ended_changes_nothing(call: Call, status: str, orgs: Orgs):
    await orgs.partitions(1)
    (lease,) = await orgs.leases()
    assert await orgs.complete(lease, status)
    before = orgs.written()
    assert not await call(orgs, ORG, lease)
    assert orgs.written() == before


@pytest.mark.parametrize("status", ["Completed", "Failed"])
async def test_a_call_touches_the_task_that_it_names_alone(status: str, orgs: Orgs):
    await orgs.partitions(2)
    lease, other = await orgs.leases(2)
    before = orgs.task(other["task_id"])
    await renew(orgs, ORG, lease)
    await orgs.complete(lease, status)
    assert orgs.task(other["task_id"]) == before
    assert [row["task_id"] for row in orgs.rows("SELECT * FROM task_attempts")] == [UUID(lease["task_id"])]


async def test_only_what_was_accepted_is_settled(orgs: Orgs):
    await orgs.partitions(2)
    lease, other = await orgs.leases(2)
    assert await orgs.complete(lease)
    item = {**lease, "status": "Completed"}

    async def settled(org: UUID = ORG, **changed: Any) -> dict[str, str]:
        return await completions.settled(orgs.conn, org_id=org, items=[{**item, **changed}])

    assert await settled() == {lease["task_id"]: "Completed"}
    assert not await settled(NEIGHBOUR)
    assert not await settled(task_id=other["task_id"])
    assert not await settled(attempt=2)
    assert not await settled(lease_token=other["lease_token"])
    assert not await settled(status="Failed")
    assert not await settled(status="Canceled")


@pytest.mark.parametrize(("status", "accepted"), [("Failed", True), ("Released", True), ("Completed", False)])
async def test_a_stop_settles_what_was_not_completed(status: str, accepted: bool, orgs: Orgs):
    await orgs.partitions(1)
    (lease,) = await orgs.leases()
    assert await orgs.complete(lease, "Canceled")
    found = await completions.settled(orgs.conn, org_id=ORG, items=[{**lease, "status": status}])
    assert bool(found) == accepted


async def test_a_failed_attempt_leaves_nothing_but_its_history(orgs: Orgs):
    await orgs.cursor(5)
    await orgs.partitions(1)
    (compact,) = await orgs.leases()
    (ranges,) = await orgs.leases(job="ranges", newest=True)
    before = orgs.written()
    error = {"code": "Broken", "message": "", "retryable": True}
    relocation = {"task_id": compact["task_id"], "input": 1, "output": "blocks", "start": 0, "end": 19}
    event = {"id": str(uuid4()), "task_id": compact["task_id"], "output": "blocks", "key": "0-19"}
    items = [{**lease, "status": "Failed", "error": error, "state": {"key": 1}} for lease in (compact, ranges)]
    assert await orgs.complete_all(
        items,
        commits=[commit(compact)],
        relocations=[{**relocation, "delete_hot": True}],
        events=[{**event, "start": 0, "end": 19}],
    )
    after = orgs.written()
    assert {table for table in after if after[table] != before[table]} == {"tasks", "task_attempts"}


async def test_a_cursor_never_goes_back(orgs: Orgs):
    await orgs.cursor(5)
    (lease,) = await orgs.leases(job="ranges", newest=True)
    assert await orgs.complete(lease)
    await orgs.cursor(6)
    (late,) = await orgs.leases(job="ranges", newest=True)
    orgs.rows("UPDATE dataset_cursors SET cursor_value = 9")
    assert await orgs.complete(late)
    assert [row["cursor_value"] for row in orgs.rows("SELECT * FROM dataset_cursors")] == [9]


async def test_a_cursor_rises_to_what_the_run_read(orgs: Orgs):
    # Further events of other outputs and of the other organisation are no reason to go further, and a partition
    # without a range says nothing of how far.
    await orgs.cursor(99, output="logs")
    await orgs.cursor(98, org=NEIGHBOUR)
    unranged = {"id": str(uuid4()), "version": str(orgs.version("follow", "blocks")), "key": "unranged"}
    await events.relay(orgs.conn, events=[unranged], invalidations=[])
    for value in (5, 6):
        await orgs.cursor(value)
        (lease,) = await orgs.leases(job="ranges", newest=True)
        assert orgs.task(lease["task_id"])["scope"]["upto"] == {str(orgs.version("follow", "blocks")): value}
        assert await orgs.complete(lease)
        assert [row["cursor_value"] for row in orgs.rows("SELECT * FROM dataset_cursors")] == [value]


async def test_state_of_other_jobs_and_of_the_named_keys_is_not_counted(orgs: Orgs):
    for org in (ORG, NEIGHBOUR):
        await orgs.partitions(1, org)
        (lease,) = await orgs.leases(org=org)
        assert await orgs.complete(lease, org=org, state={"a": 1, "bb": 22})
    size = completions.state_size
    assert await size(orgs.conn, job_id=orgs.job("compact"), besides=["a"]) == 4
    assert await size(orgs.conn, job_id=orgs.job("compact"), besides=[]) == 6


async def test_the_end_of_a_worker_ends_what_it_holds_alone(orgs: Orgs):
    for org in (ORG, NEIGHBOUR):
        await orgs.partitions(4, org)
    (ended,) = await orgs.leases()
    assert await orgs.complete(ended)
    (held,) = await orgs.leases()
    await orgs.leases(worker="worker-2")
    await orgs.leases(org=NEIGHBOUR)
    for spent, result in ((True, "Failed"), (False, "Released")):
        before = orgs.states()
        found = await attempts.end_worker(
            orgs.conn, org_id=ORG, worker_id=WORKER, reason="Ended", message="", spent=spent, retry=RETRY
        )
        assert [(end.task_id, end.result) for end in found] == [(held["task_id"], result)]
        after = orgs.states()
        assert {task for task in after if after[task] != before[task]} == {held["task_id"]}
        (held,) = await orgs.leases()


async def test_attempts_out_of_time_are_reaped_and_no_others(orgs: Orgs):
    await orgs.partitions(6)
    late, overdue, ended, stopped, *_ = await orgs.leases(6)
    past = "now() - interval '1 s'"
    orgs.rows(f"UPDATE tasks SET lease_expires_at = {past} WHERE id = %s", late["task_id"])
    orgs.rows(f"UPDATE tasks SET deadline_at = {past} WHERE id = %s", overdue["task_id"])
    # What has ended is older, and would use up the limit.
    older = "now() - interval '1 h'"
    assert await orgs.complete(ended)
    orgs.rows(f"UPDATE tasks SET lease_expires_at = {older} WHERE id = %s", ended["task_id"])
    assert await orgs.complete(stopped)
    orgs.rows(f"UPDATE tasks SET deadline_at = {older} WHERE id = %s", stopped["task_id"])
    found = await attempts.reap(orgs.conn, retry=RETRY, limit=1)
    assert {(end.task_id, end.result) for end in found} == {
        (late["task_id"], "LeaseExpired"),
        (overdue["task_id"], "TimedOut"),
    }
    assert not await attempts.reap(orgs.conn, retry=RETRY, limit=10)


async def test_a_retry_is_queued_when_it_is_due_and_not_before(orgs: Orgs):
    tasks = await orgs.every_state()
    assert not await attempts.retry_due(orgs.conn, limit=10)
    orgs.rows("UPDATE tasks SET next_retry_at = now() WHERE id = %s", tasks["retrying"])
    before = orgs.states()
    assert await attempts.retry_due(orgs.conn, limit=10) == (orgs.job("compact"),)
    assert orgs.states() == {**before, tasks["retrying"]: ("Queued", False)}


@pytest.mark.parametrize(
    ("status", "retryable", "change", "after"),
    [
        ("Failed", True, "max_attempts = NULL", ("Failed", True)),
        ("Failed", True, "max_attempts = 2", ("Failed", True)),
        ("Failed", True, "max_attempts = 1", ("Failed", False)),
        ("Failed", False, "max_attempts = 2", ("Failed", False)),
        ("Failed", True, "cancel_requested = true", ("Canceled", False)),
        ("Completed", True, "max_attempts = 2", ("Completed", False)),
        ("Canceled", True, "max_attempts = 2", ("Canceled", False)),
    ],
)
async def test_a_retry_follows_a_failure_that_may_be_tried_again(
    status: str, retryable: bool, change: str, after: tuple[str, bool], orgs: Orgs
):
    await orgs.partitions(1)
    (lease,) = await orgs.leases()
    orgs.rows(f"UPDATE tasks SET {change}")
    error = {"code": "Broken", "message": "", "retryable": retryable}
    assert await orgs.complete(lease, status, error=error)
    row = orgs.task(lease["task_id"])
    assert (row["status"], row["next_retry_at"] is not None) == after
