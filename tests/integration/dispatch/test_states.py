"""The state machine that `tasks.states` documents is the one that the statements carry out.

A trigger on a real database records every change of `tasks.status` while random operations run: claims,
completions, releases, failures, expiry, retries, cancellation and reopening. What was seen must be what is written
down: no transition that is not in the table, and none in the table that never happens.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

from tests.integration.dispatch.callers import Caller
from tests.integration.dispatch.conftest import Feed
from traceplane.dispatch.dispatcher import Dispatcher
from traceplane.store.statements import attempts, cancel, enqueue, operate
from traceplane.tasks.retries import RetryPolicy
from traceplane.tasks.states import FINAL, TRANSITIONS, State
from traceplane_sdk import wire

pytestmark = pytest.mark.services

Sql = Callable[..., list[dict[str, Any]]]

RECORD = """
CREATE TABLE seen_transitions (source text, target text, PRIMARY KEY (source, target));
CREATE FUNCTION record_transition() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO seen_transitions VALUES (OLD.status, NEW.status) ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER record_transition AFTER UPDATE OF status ON tasks FOR EACH ROW
    WHEN (OLD.status <> NEW.status) EXECUTE FUNCTION record_transition();
"""
STEPS = 250
DECLARED = {(transition.source, transition.target) for transition in TRANSITIONS}


class Walk:
    """Random operations on the tasks of one DAG, in whatever state they are."""

    def __init__(
        self, seed: int, dispatcher: Dispatcher, caller: Caller, jobs: dict[str, UUID], feed: Feed, sql: Sql
    ) -> None:
        self.choose = random.Random(seed)
        self.state = dispatcher.state
        self.org_id = dispatcher.settings.org_id
        self.caller = caller
        self.jobs = jobs
        self.feed = feed
        self.sql = sql
        self.leases: list[wire.ClaimedTask] = []
        self.made = 0

    def operations(self) -> list[Callable[[], Awaitable[object]]]:
        """Claims and completions are as likely as all that disturbs them."""
        work = [self.new_partitions, self.new_cursor, self.claim, self.claim, self.end, self.end]
        return [*work, self.reap, self.retry, self.end_worker, self.cancel_jobs, self.take_up_jobs, self.operate]

    async def new_partitions(self) -> None:
        await self.feed.partitions(2, first=self.made)
        self.made += 2

    async def new_cursor(self) -> None:
        self.made += 1
        await self.feed.cursor(self.made)

    async def claim(self) -> None:
        job = self.choose.choice([self.jobs["compact"], self.jobs["ranges"], self.jobs["follow"]])
        self.leases += await self.caller.claim(job, self.choose.randint(1, 3))

    async def end(self) -> None:
        """A worker ends an attempt, maybe one that it does not hold any more."""
        if not self.leases:
            return
        lease = self.leases.pop(self.choose.randrange(len(self.leases)))
        status = self.choose.choice(["Completed", "Failed", "Released"])
        assert (await self.caller.complete(lease, status)).status_code in (200, 409)

    async def reap(self) -> None:
        self.sql("UPDATE tasks SET lease_expires_at = now() - interval '1 s' WHERE status = 'Running'")
        async with self.state.autocommit() as conn:
            await attempts.reap(conn, retry=RetryPolicy(30, 600), limit=2)

    async def retry(self) -> None:
        self.sql("UPDATE tasks SET next_retry_at = now() WHERE next_retry_at IS NOT NULL")
        async with self.state.autocommit() as conn:
            await attempts.retry_due(conn, limit=3)

    async def end_worker(self) -> None:
        spent = self.choose.choice([True, False])
        async with self.state.autocommit() as conn:
            await attempts.end_worker(
                conn,
                org_id=self.org_id,
                worker_id="worker-1",
                reason="Ended",
                message="",
                spent=spent,
                retry=RetryPolicy(30, 600),
            )

    async def cancel_jobs(self) -> None:
        job_ids = [self.choose.choice(list(self.jobs.values()))]
        statement = self.choose.choice(
            [cancel.waiting, cancel.request_stop, cancel.withdraw_stop, cancel.end_running]
        )
        async with self.state.autocommit() as conn:
            await statement(conn, job_ids=job_ids)

    async def take_up_jobs(self) -> None:
        job_ids = list(self.jobs.values())
        async with self.state.autocommit() as conn:
            await enqueue.missed_events(conn, job_ids=job_ids)
            await enqueue.sources(conn, job_ids=job_ids)

    async def operate(self) -> None:
        """A person reopens or cancels some task."""
        tasks = self.sql("SELECT id FROM tasks ORDER BY id")
        if tasks:
            statement = self.choose.choice([operate.reopen, operate.cancel])
            async with self.state.autocommit() as conn:
                await statement(conn, org_id=self.org_id, task_id=self.choose.choice(tasks)["id"])


@pytest.mark.parametrize("seed", [1, 2])
async def test_tasks_change_state_as_the_table_says_and_no_other_way(
    seed: int, dispatcher: Dispatcher, caller: Caller, jobs: dict[str, UUID], feed: Feed, sql: Sql
):
    sql(RECORD)
    walk = Walk(seed, dispatcher, caller, jobs, feed, sql)
    for _ in range(STEPS):
        await walk.choose.choice(walk.operations())()
    seen = {(row["source"], row["target"]) for row in sql("SELECT * FROM seen_transitions")}
    assert seen == DECLARED


async def test_every_ended_attempt_is_in_the_history_once(
    dispatcher: Dispatcher, caller: Caller, jobs: dict[str, UUID], feed: Feed, sql: Sql
):
    walk = Walk(3, dispatcher, caller, jobs, feed, sql)
    for _ in range(STEPS):
        await walk.choose.choice(walk.operations())()
    (difference,) = sql(
        # An attempt that was claimed is running, or has its row; a superseded task had none.
        "SELECT (SELECT sum(attempt) FROM tasks) - (SELECT count(*) FROM tasks WHERE status = 'Running')"
        " - (SELECT count(*) FROM task_attempts) AS n"
    )
    assert difference["n"] == 0


def test_final_states_are_left_by_nobody_but_a_person():
    """Of Completed nothing leads out; of Canceled only the transition that reopens."""
    leaving = [transition for transition in TRANSITIONS if transition.source in FINAL]
    assert [(transition.name, transition.source) for transition in leaving] == [("reopen", State.CANCELED)]
