"""dags/sync-chain.yaml as processes: a source plans, workers run cryo, and the committed rows are the chain.

The sizes of the file are those of a real chain, and made smaller here; everything else is as it stands there.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import graphs, services
from tests.integration.operators import chain_truth
from tests.integration.operators.following import Activity
from tests.integration.worker.pipelines import Pipeline, running
from traceplane.settings import Settings

pytestmark = pytest.mark.services

DAG = Path(__file__).parents[3] / "dags" / "sync-chain.yaml"
LAG, IN_FLIGHT = 3, 2
COLUMNS = {
    "blocks": ("block_number", "block_hash", "gas_used"),
    "transactions": ("block_number", "transaction_hash", "from_address", "input"),
    "logs": ("block_number", "transaction_hash", "log_index", "topic0", "data"),
}
"""Of each stream, columns that cryo's table and ours of a chain name and spell alike."""


def manifest() -> dict[str, Any]:
    """The example, for a short chain."""
    dag: dict[str, Any] = yaml.safe_load(DAG.read_text())
    dag["metadata"] |= {"namespace": "default", "uid": "uid-1"}
    dag["spec"]["defaults"] = {"heartbeatTimeoutSeconds": 3, "maxAttempts": 10}
    graphs.job(dag, "sync")["config"] |= {
        "lagBlocks": LAG,
        "chunkBlocks": 10,
        "chunkBlocksOf": {"logs": 5},
        "maxInFlight": IN_FLIGHT,
        "pollSeconds": 0.1,
    }
    return dag


@pytest.fixture
async def syncing(
    settings: Settings,
    deploy: Callable[..., Any],
    databases: services.Databases,
    object_store: services.ObjectStore,
    chain: services.Chain,
    tmp_path: Path,
) -> Any:
    short = settings.model_copy(update={"retry_base_seconds": 0.2, "retry_max_seconds": 1.0})
    parts = {"databases": databases, "store": object_store, "chain": chain, "folder": tmp_path}
    with running(short, jobs=await deploy(manifest()), **parts) as pipeline:
        yield pipeline


def _synced(pipeline: Pipeline, end: int) -> bool:
    return all(pipeline.cold(output)[1][-1:] == [(end + 1 - _size(output), end)] for output in COLUMNS)


def _size(output: str) -> int:
    return 5 if output == "logs" else 10


def _equals_chain(pipeline: Pipeline, end: int) -> None:
    for output, columns in COLUMNS.items():
        rows, ranges = pipeline.cold(output)
        size = _size(output)
        assert ranges == [(low, low + size - 1) for low in range(0, end + 1, size)]
        truth = chain_truth.TABLES[output](pipeline.chain, 0, end)
        found, due = ([tuple(row[name] for name in columns) for row in table] for table in (rows, truth))
        assert found == due


def _most_at_once(pipeline: Pipeline, job: str) -> int:
    """The most tasks of a job that were there and had not ended, at the moment at which one of them was made."""
    [found] = pipeline.sql(
        "select max(n) as n from (select count(*) as n from tasks t join tasks o on o.job_id = t.job_id"
        " and o.queued_at <= t.queued_at and (o.finished_at is null or o.finished_at > t.queued_at)"
        " where t.job_id = %(job)s group by t.id) counted",
        job=pipeline.jobs[job],
    )
    return int(found["n"])


def test_a_chain_is_synced_in_step_with_its_workers_and_goes_on_with_the_head(syncing: Pipeline) -> None:
    activity = Activity(syncing.chain)
    activity.blocks(49 + LAG - syncing.chain.head)
    for job in ("sync", *COLUMNS):
        syncing.keep(job)
    syncing.until("what is old enough is cold", lambda: _synced(syncing, 49))
    _equals_chain(syncing, 49)
    assert {job: _most_at_once(syncing, job) for job in COLUMNS} == dict.fromkeys(COLUMNS, IN_FLIGHT)
    activity.blocks(5, seed=100)
    for job in ("sync", "logs"):
        syncing.kept.pop(job).kill()
    activity.blocks(5, seed=200)
    for job in ("sync", "logs"):
        syncing.keep(job)
    syncing.until("the new blocks are cold", lambda: _synced(syncing, 59))
    _equals_chain(syncing, 59)
    assert {job: _most_at_once(syncing, job) for job in COLUMNS} == dict.fromkeys(COLUMNS, IN_FLIGHT)
    [source] = syncing.sql("select report from tasks where dedupe_key = 'source'")
    assert (source["report"]["healthy"], source["report"]["position"]) == (True, 59)
