"""A plan is what a deploy then does: for changes that nobody picked, the jobs and the tasks are compared."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from tests import graphs, services
from tests.integration.store.conftest import Deploy
from tests.support import planning
from traceplane.graph import Graph
from traceplane.store.engine import Database
from traceplane.store.statements.pointers import DagKey
from traceplane.versions.plan import Plan

pytestmark = pytest.mark.services
Rows = Callable[..., list[tuple[Any, ...]]]
DAG = DagKey(services.ORG_ID, "demo", "chain")


async def planned(state: Database, graph: Graph) -> Plan:
    async with state.transaction() as conn:
        return await planning.planned(conn, DAG, graph, calls={"block_follower": 2})


def announce(rows: Rows, job: UUID, first: int, last: int) -> None:
    """Partitions of ten values that a generation announced."""
    for end in range(first + 9, last + 1, 10):
        rows(
            "INSERT INTO events (id, org_id, dataset_id, dataset_version_id, kind, cursor_value, partition_key,"
            " range_start, range_end) SELECT gen_random_uuid(), org_id, dataset_id, id, 'Partition', %s, %s, %s, %s"
            " FROM dataset_versions WHERE job_id = %s",
            *(end, f"{end - 9}-{end}", end - 9, end, job),
        )


def change(draw: random.Random) -> Graph:
    """The chain with some of its fields changed, and perhaps a job more or less."""
    manifest = graphs.chain()
    if draw.random() < 0.3:
        graphs.job(manifest, "follow")["config"]["startBlock"] = draw.randint(0, 3)
    if draw.random() < 0.5:
        graphs.job(manifest, "ranges")["config"]["rangeSize"] = draw.choice((20, 30, 40))
    if draw.random() < 0.5:
        graphs.job(manifest, "compact")["rebuildToken"] = draw.choice("abc")
    if draw.random() < 0.3:
        graphs.job(manifest, "compact")["timeoutSeconds"] = draw.randint(60, 99)
    if draw.random() < 0.3:
        manifest["spec"]["jobs"].append(graphs.job(manifest, "ranges") | {"name": "more"})
    if draw.random() < 0.2:
        graphs.without(manifest, "compact")
    if draw.random() < 0.4:
        start = draw.randint(4, 59)
        manifest["spec"]["rollout"] = {"preview": {"range": {"start": start, "end": start + draw.randint(0, 30)}}}
    return graphs.assembled(manifest)


async def test_a_plan_is_what_then_happens(deploy: Deploy, rows: Rows, state: Database) -> None:
    draw = random.Random(20261129)
    assert (await planned(state, graphs.assembled(graphs.chain()))).result == "Create"
    first = await deploy(graphs.assembled(graphs.chain()))
    ids = {job.name: job.id for job in first.jobs}
    announce(rows, ids["follow"], 0, 99)
    announce(rows, ids["ranges"], 0, 59)
    seen, started = set(), {"Rebuild": "Staged", "Swap": "Updated"}
    for generation in range(2, 32):
        graph = change(draw)
        before = await planned(state, graph)
        done = await deploy(graph, generation=generation)
        seen.add(before.result)
        if before.result != "Nothing":
            assert done.result == started[before.result]
        scope = [job for job in before.jobs if job.reasons]
        assert [(job.job, job.reasons) for job in scope] == [(one.job, one.reasons) for one in done.rebuilds]
        new = {job.name: job.id for job in done.jobs}
        for job in scope:
            if job.exact and job.action != "Remove":
                ((tasks,),) = rows(
                    "SELECT count(*) FROM tasks WHERE job_id = %s AND status = 'Queued'", new[job.job]
                )
                assert tasks == job.tasks, (generation, job)
        if (
            done.rebuilds and draw.random() < 0.3
        ):  # what was staged takes over: another version is compared with now
            await deploy(graphs.assembled(graphs.chain()), generation=generation)
    assert seen == {"Nothing", "Swap", "Rebuild"}


async def test_what_a_rebuild_costs_is_what_was_made_before(deploy: Deploy, rows: Rows, state: Database) -> None:
    first = await deploy(graphs.assembled(graphs.chain()))
    ids = {job.name: job.id for job in first.jobs}
    announce(rows, ids["follow"], 0, 99)
    rows(
        "INSERT INTO partition_versions (org_id, dataset_id, dataset_version_id, partition_key, range_start,"
        " range_end, location, files, rows, bytes, manifest_sha256, task_id, attempt)"
        " SELECT org_id, dataset_id, id, '0-19', 0, 19, 'x', '[]', 20, 4096, 'x', id, 1 FROM dataset_versions"
        " WHERE job_id = %s",
        ids["compact"],
    )
    manifest = graphs.chain()
    graphs.job(manifest, "follow")["config"]["startBlock"] = 40
    manifest["spec"]["rollout"] = {"preview": {"range": {"start": 50, "end": 59}}}
    sample = {job.job: job for job in (await planned(state, graphs.assembled(manifest))).jobs}
    assert sample["follow"].rpc_calls == 40, "it goes from its start to the end of the range"
    assert (sample["compact"].partitions, sample["compact"].rows, sample["compact"].bytes) == (0, 0, 0)
    del manifest["spec"]["rollout"]
    found = {job.job: job for job in (await planned(state, graphs.assembled(manifest))).jobs}
    assert found["follow"].rpc_calls == 120, "60 blocks, each with two calls"
    assert (found["compact"].partitions, found["compact"].rows, found["compact"].bytes) == (1, 20, 4096)
    assert (found["ranges"].exact, found["ranges"].reasons) == (False, ("reads follow",))
