"""Canceling, reopening, catching up and performing effects: each touches the rows that it names, in the states that
it is for."""

from __future__ import annotations

from uuid import uuid4

import pytest
from psycopg import sql

from tests.integration.dispatch.two_orgs import ORG, RETRY, WORKER, Orgs
from tests.support.deploying import NEIGHBOUR
from traceplane.store.statements import attempts, cancel, enqueue, events, operate, outbox

pytestmark = pytest.mark.services

STOPPING = {
    "waiting": {"retrying": ("Canceled", False), "queued": ("Canceled", False)},
    "request_stop": {"running": ("Running", True)},
    "withdraw_stop": {"stopping": ("Running", False)},
    "end_running": {"running": ("Canceled", False), "stopping": ("Canceled", True)},
}


@pytest.mark.parametrize("statement", STOPPING)
async def test_canceling_the_work_of_a_job_changes_its_tasks_of_the_right_states(statement: str, orgs: Orgs):
    tasks = await orgs.every_state()
    await orgs.every_state(NEIGHBOUR)
    before, written = orgs.states(), orgs.written()["tasks"]
    assert await cancel.count_running(orgs.conn, job_ids=[orgs.job("compact")]) == 2
    await getattr(cancel, statement)(orgs.conn, job_ids=[orgs.job("compact")])
    changed = {tasks[name]: state for name, state in STOPPING[statement].items()}
    assert orgs.states() == {**before, **changed}
    # And no other row was written, not even as it was.
    assert len(set(orgs.written()["tasks"]) - set(written)) == len(changed)


@pytest.mark.parametrize(
    ("operation", "changes"),
    [
        ("reopen", {"dead": "Queued", "retrying": "Queued", "canceled": "Queued"}),
        ("cancel", {"queued": "Canceled", "retrying": "Canceled", "running": "Running"}),
    ],
)
async def test_a_person_changes_the_task_that_is_named_where_its_state_allows(
    operation: str, changes: dict[str, str], orgs: Orgs
):
    tasks = await orgs.every_state()
    await orgs.every_state(NEIGHBOUR)
    for name, task in tasks.items():
        before = orgs.states()
        assert await getattr(operate, operation)(orgs.conn, org_id=NEIGHBOUR, task_id=task) is None
        assert orgs.states() == before
        await getattr(operate, operation)(orgs.conn, org_id=ORG, task_id=task)
        after = orgs.states()
        stays = before[task][1]
        stop = operation == "cancel" and before[task][0] == "Running"
        expected = (changes.get(name, before[task][0]), stop or stays)
        assert after == {**before, task: expected}, name


async def test_a_task_of_a_deleted_dag_is_not_reopened(orgs: Orgs):
    tasks = await orgs.every_state()
    orgs.rows("UPDATE dag_current_versions SET deleted_at = now() WHERE org_id = %s", ORG)
    before = orgs.written()
    found = await operate.reopen(orgs.conn, org_id=ORG, task_id=tasks["dead"])
    assert found is not None
    assert not found.current
    assert not found.changed
    assert orgs.written() == before


async def test_a_source_is_not_canceled_by_hand(orgs: Orgs):
    assert await enqueue.sources(orgs.conn, job_ids=[orgs.job("follow")]) == (orgs.job("follow"),)
    ((task, _),) = orgs.states().items()
    for claimed in (False, True):
        if claimed:
            await orgs.leases(job="follow")
        before = orgs.written()
        found = await operate.cancel(orgs.conn, org_id=ORG, task_id=task)
        assert found is not None
        assert not found.changed
        assert orgs.written() == before


async def test_missed_events_take_up_canceled_tasks_of_the_named_jobs(orgs: Orgs):
    tasks = await orgs.every_state()
    others = await orgs.every_state(NEIGHBOUR)
    before = orgs.states()
    assert await enqueue.missed_events(orgs.conn, job_ids=[orgs.job("compact")]) == (orgs.job("compact"),)
    assert orgs.states() == {**before, tasks["canceled"]: ("Queued", False)}
    assert orgs.states()[others["canceled"]] == ("Canceled", False)


async def test_events_of_inputs_that_are_no_trigger_make_no_task(orgs: Orgs):
    # `compact` reads the follower's blocks, and is triggered by `ranges` alone.
    await orgs.cursor(5)
    await orgs.cursor(6, output="logs")
    assert not await enqueue.missed_events(orgs.conn, job_ids=[orgs.job("compact")])
    assert [row["job_id"] for row in orgs.rows("SELECT job_id FROM tasks")] == [orgs.job("ranges")]


async def test_only_sources_of_the_named_jobs_get_the_task_of_a_source(orgs: Orgs):
    names = ["follow", "ranges", "compact"]
    assert await enqueue.sources(orgs.conn, job_ids=[orgs.job(name) for name in names]) == (orgs.job("follow"),)
    assert [row["job_id"] for row in orgs.rows("SELECT job_id FROM tasks")] == [orgs.job("follow")]


async def test_a_new_priority_is_given_to_waiting_tasks_of_its_version(orgs: Orgs):
    tasks = await orgs.every_state()
    await orgs.every_state(NEIGHBOUR)
    await orgs.cursor(5)
    orgs.rows("UPDATE dag_version_jobs SET priority = 1 WHERE job_id = %s", orgs.job("compact"))
    orgs.rows("UPDATE dag_version_jobs SET priority = 1 WHERE job_id = %s", orgs.job("compact", NEIGHBOUR))
    (version,) = orgs.rows("SELECT active_version_id AS id FROM dag_current_versions WHERE org_id = %s", ORG)
    before = orgs.written()["tasks"]
    await enqueue.reprioritise(orgs.conn, version_id=version["id"])
    changed = {str(row["id"]) for row in orgs.rows("SELECT id FROM tasks WHERE priority = 1")}
    assert changed == {tasks["queued"], tasks["retrying"]}
    assert len(set(orgs.written()["tasks"]) - set(before)) == 2


OUTBOX = (
    "INSERT INTO outbox (org_id, kind, payload, dedupe_key, available_at)"
    " VALUES (%s, 'provision_hot_table', '{}', %s, now())"
)


async def test_an_effect_is_finished_by_the_lease_that_holds_it(orgs: Orgs):
    for key in ("a", "b"):
        orgs.rows(OUTBOX, ORG, key)
    lost, other = await outbox.take(orgs.conn, limit=2, hold_seconds=60)
    assert not await outbox.take(orgs.conn, limit=2, hold_seconds=60)
    orgs.rows("UPDATE outbox SET available_at = now() WHERE id = %s", lost.id)
    (held,) = await outbox.take(orgs.conn, limit=2, hold_seconds=60)
    assert held.id == lost.id

    async def endings(row: outbox.OutboxRow) -> list[bool]:
        return [
            await outbox.proceed(orgs.conn, row),
            await outbox.fail(orgs.conn, row, error="", delay_seconds=0, final=False),
            await outbox.finish(orgs.conn, row),
        ]

    before = orgs.written()
    assert await endings(lost) == [False, False, False]
    assert orgs.written() == before
    assert await outbox.fail(orgs.conn, held, error="", delay_seconds=60, final=False)
    assert await outbox.finish(orgs.conn, held)
    before = orgs.written()
    assert await endings(held) == [False, False, False]
    assert orgs.written() == before
    assert await outbox.proceed(orgs.conn, other)
    assert [row["id"] for row in orgs.rows("SELECT id FROM outbox WHERE status = 'Done'")] == [held.id]


async def test_effects_are_forgotten_when_they_were_done_long_ago(orgs: Orgs):
    for key in ("old", "new", "failed", "pending"):
        orgs.rows(OUTBOX, ORG, key)
    done = "UPDATE outbox SET status = %s, finished_at = now() - make_interval(hours => %s) WHERE dedupe_key = %s"
    for status, hours, key in (("Done", 2, "old"), ("Done", 0, "new"), ("Failed", 2, "failed")):
        orgs.rows(done, status, hours, key)
    assert await outbox.forget(orgs.conn, older_seconds=3600, limit=10) == 1
    left = {row["dedupe_key"] for row in orgs.rows("SELECT dedupe_key FROM outbox")}
    assert left == {"new", "failed", "pending"}
    # Done or given up, it is not taken again.
    assert len(await outbox.take(orgs.conn, limit=10, hold_seconds=60)) == 1


async def test_a_task_that_was_reaped_is_retried_once(orgs: Orgs):
    await orgs.partitions(1)
    (lease,) = await orgs.leases()
    orgs.rows("UPDATE tasks SET lease_expires_at = now() - interval '1 s'")
    assert len(await attempts.reap(orgs.conn, retry=RETRY, limit=10)) == 1
    assert not await orgs.complete(lease)
    assert orgs.task(lease["task_id"])["status"] == "Failed"


async def test_a_task_that_is_taken_up_again_has_all_the_attempts_of_its_job(orgs: Orgs):
    tasks = await orgs.every_state()
    again = [tasks["dead"], tasks["canceled"]]
    orgs.rows("UPDATE tasks SET attempt = 7, max_attempts = 7 WHERE id = ANY(%s::uuid[])", again)
    (job,) = orgs.rows("SELECT max_attempts FROM dag_version_jobs WHERE job_id = %s", orgs.job("compact"))
    await operate.reopen(orgs.conn, org_id=ORG, task_id=tasks["dead"])
    await enqueue.missed_events(orgs.conn, job_ids=[orgs.job("compact")])
    assert [orgs.task(task)["status"] for task in again] == ["Queued", "Queued"]
    assert [orgs.task(task)["max_attempts"] for task in again] == [7 + job["max_attempts"]] * 2


async def test_a_source_that_is_taken_up_again_has_no_limit_of_attempts(orgs: Orgs):
    await enqueue.sources(orgs.conn, job_ids=[orgs.job("follow")])
    ((task, _),) = orgs.states().items()
    await cancel.waiting(orgs.conn, job_ids=[orgs.job("follow")])
    await operate.reopen(orgs.conn, org_id=ORG, task_id=task)
    assert (orgs.task(task)["status"], orgs.task(task)["max_attempts"]) == ("Queued", None)


async def test_only_what_an_input_that_triggers_says_of_a_partition_makes_a_task_for_each(orgs: Orgs):
    part = {"key": "0-19", "start": 0, "end": 19}
    for job, output, scope in (
        ("follow", "logs", part),
        ("follow", "transactions", part),
        ("ranges", "ranges", {"cursor": 9}),
    ):
        event = {"id": str(uuid4()), "version": str(orgs.version(job, output)), **scope}
        await events.relay(orgs.conn, events=[event], invalidations=[])
    assert not orgs.states()
    await enqueue.missed_events(orgs.conn, job_ids=[orgs.job("compact")])
    assert not orgs.states()
    # `compact` reads these blocks, and only `ranges` is triggered by them.
    event = {"id": str(uuid4()), "version": str(orgs.version("follow", "blocks")), **part}
    await events.relay(orgs.conn, events=[event], invalidations=[])
    await enqueue.missed_events(orgs.conn, job_ids=[orgs.job("compact")])
    assert [row["job_id"] for row in orgs.rows("SELECT job_id FROM tasks")] == [orgs.job("ranges")]


async def test_a_report_is_of_the_output_that_it_names(orgs: Orgs):
    await enqueue.sources(orgs.conn, job_ids=[orgs.job("follow")])
    (lease,) = await orgs.leases(job="follow")
    fence = {
        "task": lease["task_id"],
        "attempt": lease["attempt"],
        "token": lease["lease_token"],
        "claim": lease["claim_id"],
    }
    outputs = ["blocks", "transactions", "logs"]
    reported = [{"id": str(uuid4()), "output": output, "cursor": 9} for output in outputs]
    reorgs = [
        {"id": str(uuid4()), "output": output, "start": 1, "end": 2, "reason": "Reorg", "detail": {}}
        for output in outputs
    ]
    accepted = await events.report(orgs.conn, org_id=ORG, fence=fence, events=reported, invalidations=reorgs)
    assert (accepted.known, accepted.events, accepted.invalidations) == (1, 3, 3)
    for table, sent in (("events", reported), ("data_invalidations", reorgs)):
        query = sql.SQL("SELECT id::text, dataset_version_id FROM {}").format(sql.Identifier(table))
        stored = {row["id"]: row["dataset_version_id"] for row in orgs.sql.execute(query)}
        assert stored == {item["id"]: orgs.version("follow", item["output"]) for item in sent}


async def test_a_stop_is_withdrawn_from_what_still_runs_alone(orgs: Orgs):
    await orgs.partitions(1)
    (lease,) = await orgs.leases()
    await cancel.request_stop(orgs.conn, job_ids=[orgs.job("compact")])
    assert await orgs.complete(lease, "Canceled")
    before = orgs.written()
    await cancel.withdraw_stop(orgs.conn, job_ids=[orgs.job("compact")])
    assert orgs.written() == before


async def test_a_task_that_is_late_and_overdue_ends_once_as_timed_out(orgs: Orgs):
    await orgs.partitions(1)
    (lease,) = await orgs.leases()
    orgs.rows("UPDATE tasks SET lease_expires_at = now() - interval '1 s', deadline_at = now() - interval '1 s'")
    found = await attempts.reap(orgs.conn, retry=RETRY, limit=10)
    assert [(end.task_id, end.result) for end in found] == [(lease["task_id"], "TimedOut")]
    assert [row["result"] for row in orgs.rows("SELECT result FROM task_attempts")] == ["TimedOut"]


@pytest.mark.parametrize("spent", [True, False])
async def test_the_end_of_a_worker_leaves_what_it_completed_as_it_is(spent: bool, orgs: Orgs):
    await orgs.partitions(1)
    (lease,) = await orgs.leases()
    assert await orgs.complete(lease)
    orgs.rows("UPDATE tasks SET worker_id = %s", WORKER)
    before = orgs.written()
    assert not await attempts.end_worker(
        orgs.conn, org_id=ORG, worker_id=WORKER, reason="Ended", message="", spent=spent, retry=RETRY
    )
    assert orgs.written() == before


async def test_old_events_of_cursors_are_forgotten_with_their_tasks_but_for_the_furthest(orgs: Orgs):
    for org, values in ((ORG, (10, 20)), (NEIGHBOUR, (10, 99))):
        for value in values:
            await orgs.cursor(value, org)
            assert await orgs.complete((await orgs.leases(job="ranges", newest=True, org=org))[0], org=org)
        await orgs.partitions(2, org)
        for lease in await orgs.leases(2, org=org):
            assert await orgs.complete(lease, org=org)
    tasks, before = len(orgs.states()), len(orgs.rows("SELECT id FROM events"))
    assert await events.forget(orgs.conn, older_seconds=3600, limit=10) == 0
    orgs.rows("UPDATE events SET created_at = now() - interval '2 hours'")
    assert await events.forget(orgs.conn, older_seconds=3600, limit=10) == 4  # an event of each, and its task
    left = orgs.rows("SELECT cursor_value FROM events WHERE kind = 'Cursor' ORDER BY 1")
    assert [row["cursor_value"] for row in left] == [20, 99]
    assert (len(orgs.rows("SELECT id FROM events")), len(orgs.states())) == (before - 2, tasks - 2)
