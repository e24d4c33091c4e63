"""Deleting a DAG step by step, and pausing a job."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests import graphs, services
from tests.integration.store.conftest import Deploy
from traceplane.errors import Stale
from traceplane.store.engine import Database
from traceplane.store.statements.pointers import DagKey
from traceplane.versions import deletion, pause

pytestmark = pytest.mark.services
Rows = Callable[..., list[tuple[Any, ...]]]
DAG = DagKey(services.ORG_ID, "demo", "chain")

RUN = (
    "UPDATE tasks SET status = 'Running', attempt = 1, started_at = now(), lease_token = gen_random_uuid(),"
    " claim_id = gen_random_uuid(), worker_id = 'w', lease_epoch = 1, lease_expires_at = now()"
)


async def _begin(state: Database, uid: str = "uid-1") -> bool:
    async with state.transaction() as connection:
        return await deletion.begin(connection, DAG, uid)


async def test_a_deleted_dag_publishes_nothing_and_its_waiting_tasks_end(
    deploy: Deploy, state: Database, rows: Rows
):
    await deploy(graphs.assembled(graphs.chain()))
    assert await _begin(state)
    assert await _begin(state), "a repeated step is no error"
    assert rows("SELECT active_version_id, deleted_at IS NOT NULL FROM dag_current_versions") == [(None, True)]
    assert rows("SELECT * FROM asset_publications") == []
    assert rows("SELECT status FROM tasks") == [("Canceled",)]
    assert rows("SELECT count(*) FROM dataset_versions") == [(5,)]


async def test_running_tasks_are_asked_first_and_ended_last(deploy: Deploy, state: Database, rows: Rows):
    await deploy(graphs.assembled(graphs.chain()))
    rows(RUN)
    await _begin(state)
    async with state.transaction() as connection:
        assert await deletion.running(connection, DAG) == 1
    assert rows("SELECT status, cancel_requested FROM tasks") == [("Running", True)]
    async with state.transaction() as connection:
        assert await deletion.finish(connection, DAG, "uid-1") == 1
        assert await deletion.running(connection, DAG) == 0
    assert rows("SELECT status FROM tasks") == [("Canceled",)]
    assert rows("SELECT attempt, result, worker_id FROM task_attempts") == [(1, "Canceled", "w")]


async def test_a_dag_applied_again_is_not_deleted_by_the_old_one(deploy: Deploy, state: Database, rows: Rows):
    await deploy(graphs.assembled(graphs.chain()), uid="old")
    await _begin(state, "old")
    with pytest.raises(Stale, match="being deleted"):
        await deploy(graphs.assembled(graphs.chain()), uid="old")
    revived = await deploy(graphs.assembled(graphs.chain()), uid="new")
    assert revived.result == "Created"
    assert not await _begin(state, "old")
    async with state.transaction() as connection:
        assert await deletion.finish(connection, DAG, "old") == 0
    assert rows("SELECT active_version_id, deleted_at FROM dag_current_versions") == [(revived.version_id, None)]


async def test_a_dag_applied_again_runs_its_source_and_keeps_its_data(deploy: Deploy, state: Database, rows: Rows):
    first = await deploy(graphs.assembled(graphs.chain()), uid="old")
    await _begin(state, "old")
    revived = await deploy(graphs.assembled(graphs.chain()), uid="new")
    assert revived.jobs == first.jobs
    assert rows("SELECT status, cancel_requested FROM tasks") == [("Queued", False)]
    assert rows("SELECT count(*) FROM dataset_versions") == [(5,)]


async def test_a_changed_dag_applied_again_gets_new_generations(deploy: Deploy, state: Database, rows: Rows):
    await deploy(graphs.assembled(graphs.chain()), uid="old")
    await _begin(state, "old")
    changed = graphs.chain()
    graphs.job(changed, "ranges")["config"]["rangeSize"] = 50
    await deploy(graphs.assembled(changed), uid="new")
    assert rows("SELECT name, count(*) FROM jobs GROUP BY name ORDER BY name") == [
        ("compact", 2),
        ("follow", 1),
        ("ranges", 2),
    ]


async def test_pausing_tells_whether_it_changed_anything(deploy: Deploy, state: Database, rows: Rows):
    await deploy(graphs.assembled(graphs.chain()))
    for paused, changed in ((True, True), (True, False), (False, True)):
        async with state.transaction() as connection:
            assert await pause.set_paused(connection, DAG, job="ranges", paused=paused) is changed
        assert rows("SELECT name FROM jobs WHERE paused") == ([("ranges",)] if paused else [])
    await deploy(graphs.assembled(graphs.chain()))
    assert rows("SELECT name FROM jobs WHERE paused") == []


async def test_a_paused_job_stays_paused_over_a_deploy(deploy: Deploy, state: Database, rows: Rows):
    await deploy(graphs.assembled(graphs.chain()))
    async with state.transaction() as connection:
        await pause.set_paused(connection, DAG, job="ranges", paused=True)
    changed = graphs.chain()
    graphs.job(changed, "follow")["priority"] = "Bulk"
    await deploy(graphs.assembled(changed), generation=2)
    assert rows("SELECT name FROM jobs WHERE paused") == [("ranges",)]
