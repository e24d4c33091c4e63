"""A claim leases the queued tasks of one runnable job, within its limits, and nothing else."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any
from uuid import uuid4

import msgspec
import psycopg
import pytest

from tests.integration.dispatch.two_orgs import ORG, Orgs
from tests.support.deploying import NEIGHBOUR
from traceplane.store.statements import claims, events, generations
from traceplane_sdk import wire

pytestmark = pytest.mark.services

STOPPED = [
    "UPDATE jobs SET paused = true WHERE org_id = %s",
    "UPDATE jobs SET provisioned_at = NULL WHERE org_id = %s",
    "UPDATE dag_current_versions SET deleted_at = now() WHERE org_id = %s",
    # The version that is active holds other jobs.
    "UPDATE dag_current_versions SET active_version_id = ("
    "    SELECT id FROM dag_versions WHERE org_id <> dag_current_versions.org_id) WHERE org_id = %s",
]


@pytest.mark.parametrize("stop", STOPPED)
async def test_a_job_that_may_not_run_is_not_claimed(stop: str, orgs: Orgs):
    for org in (ORG, NEIGHBOUR):
        await orgs.partitions(1, org)
        await orgs.cursor(5, org)
    orgs.rows(stop, ORG)
    before = orgs.written()
    for job, newest in (("compact", False), ("ranges", True)):
        assert (await orgs.claimed(job, newest=newest))[0] is None
    assert orgs.written() == before
    # The same DAG of the other organisation goes on.
    assert await orgs.leases(org=NEIGHBOUR)
    assert await orgs.leases(job="ranges", newest=True, org=NEIGHBOUR)


async def test_a_job_of_another_organisation_is_not_there(orgs: Orgs):
    (task,) = await orgs.partitions(1)
    before = orgs.written()
    assert (await orgs.claimed(org_id=NEIGHBOUR))[0] is None
    assert orgs.written() == before
    job = orgs.job("compact")
    assert await claims.job_of(orgs.conn, org_id=ORG, task_id=task) == job
    assert await claims.job_of(orgs.conn, org_id=NEIGHBOUR, task_id=task) is None
    assert await claims.job_of(orgs.conn, org_id=ORG, task_id=uuid4()) is None
    assert await generations.generation(orgs.conn, org_id=ORG, job_id=job)
    assert await generations.generation(orgs.conn, org_id=NEIGHBOUR, job_id=job) is None


async def test_only_queued_tasks_of_the_job_are_claimed(orgs: Orgs):
    tasks = await orgs.every_state()
    await orgs.partitions(1, NEIGHBOUR)
    await orgs.cursor(5)
    before = orgs.states()
    _, leases = await orgs.claimed(wanted=100)
    assert [lease["task_id"] for lease in leases] == [tasks["queued"]]
    assert orgs.states() == {**before, tasks["queued"]: ("Running", False)}


async def test_a_named_task_is_claimed_alone(orgs: Orgs):
    _, second = await orgs.partitions(2)
    _, leases = await orgs.claimed(wanted=2, task_id=second)
    assert [lease["task_id"] for lease in leases] == [second]


async def test_a_limited_job_is_claimed_under_its_lock_up_to_its_limit(orgs: Orgs):
    # What waits, and what runs of another job, uses up none of the limit.
    await orgs.partitions(5, NEIGHBOUR)
    await orgs.leases(5, org=NEIGHBOUR)
    await orgs.partitions(5)
    await orgs.leases(1)
    orgs.rows("UPDATE dag_version_jobs SET max_concurrency = 3")
    answer, leases = await orgs.claimed(wanted=5)
    assert answer is not None
    assert answer.limited
    assert not leases
    _, leases = await orgs.claimed(wanted=5, alone=True)
    assert len(leases) == 2
    _, leases = await orgs.claimed(wanted=5, alone=True)
    assert not leases


async def test_the_newest_task_is_claimed_and_the_older_of_its_job_are_superseded(orgs: Orgs):
    for value in (1, 2, 3):
        await orgs.cursor(value)
        await orgs.cursor(value, NEIGHBOUR)
    await orgs.partitions(1)
    ranges = {str(row["id"]) for row in orgs.rows("SELECT id FROM tasks WHERE job_id = %s", orgs.job("ranges"))}
    before = orgs.states()
    answer, (lease,) = await orgs.claimed("ranges", newest=True)
    assert answer is not None
    assert answer.superseded == 2
    assert orgs.task(lease["task_id"])["scope"]["cursor"] == 3
    after = orgs.states()
    assert {task for task in after if after[task] != before[task]} == ranges
    assert sorted(after[task][0] for task in ranges) == ["Completed", "Completed", "Running"]


async def test_nothing_is_superseded_while_a_task_of_the_job_runs(orgs: Orgs):
    # A task of the other organisation that runs is no reason to wait.
    await orgs.cursor(1, NEIGHBOUR)
    await orgs.leases(job="ranges", newest=True, org=NEIGHBOUR)
    await orgs.cursor(1)
    await orgs.leases(job="ranges", newest=True)
    await orgs.cursor(2)
    await orgs.cursor(3)
    before = orgs.written()
    answer, leases = await orgs.claimed("ranges", newest=True)
    assert answer is not None
    assert not leases
    assert orgs.written() == before


async def test_what_has_ended_is_neither_claimed_nor_superseded(orgs: Orgs):
    await orgs.cursor(1)
    (lease,) = await orgs.leases(job="ranges", newest=True)
    assert await orgs.complete(lease, "Canceled")
    before = orgs.written()
    assert not (await orgs.claimed("ranges", newest=True))[1]
    assert orgs.written() == before
    await orgs.cursor(2)
    await orgs.leases(job="ranges", newest=True)
    assert orgs.task(lease["task_id"])["status"] == "Canceled"


async def test_a_claim_reads_state_and_cursors_of_its_own_job(orgs: Orgs):
    for org, value in ((ORG, 1), (NEIGHBOUR, 2)):
        await orgs.cursor(value, org)
        (lease,) = await orgs.leases(job="ranges", newest=True, org=org)
        assert await orgs.complete(lease, org=org, state={"key": value})
        await orgs.cursor(value + 2, org)
    answer, _ = await orgs.claimed("ranges", newest=True)
    assert answer is not None
    assert answer.context is not None
    context: dict[str, Any] = orgs.rows("SELECT %s::jsonb AS context", answer.context)[0]["context"]
    assert context["state"] == {"key": 1}
    assert context["cursors"] == {str(orgs.version("follow", "blocks")): 1}


@pytest.mark.parametrize(("end", "kept"), [(2**63 - 2, True), (2**63 - 1, False)])
async def test_an_event_reaches_as_far_as_its_range_can_be_relocated(end: int, kept: bool, orgs: Orgs):
    part = {"key": f"0-{end}", "start": 0, "end": end}
    event = {"id": str(uuid4()), "version": str(orgs.version("ranges", "ranges")), **part}
    await events.relay(orgs.conn, events=[event], invalidations=[])
    (lease,) = await orgs.leases()
    moved = {"task_id": lease["task_id"], "input": 1, "output": "blocks", **part, "delete_hot": True}
    refused = nullcontext() if kept else pytest.raises(psycopg.errors.NumericValueOutOfRange)
    with refused:
        assert await orgs.complete_all([{**lease, "status": "Completed"}], relocations=[moved])
    with nullcontext() if kept else pytest.raises(msgspec.ValidationError):
        msgspec.convert(part, wire.Partition)


async def test_no_job_of_the_dispatcher_is_behind_the_same_others_for_ever(orgs: Orgs):
    await orgs.partitions(1)
    await orgs.cursor(5)
    orgs.rows("UPDATE dag_version_jobs SET runtime = 'Dispatcher'")
    seen = set()
    for _ in range(200):  # chance misses one of two jobs so often once in 10^60
        seen.update(await generations.dispatcher_jobs(orgs.conn, org_id=ORG, limit=1))
    assert seen == {orgs.job("ranges"), orgs.job("compact")}
