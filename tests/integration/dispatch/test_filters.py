"""Inputs with a `where`, from the chain to cold files: rows are left out, and never a range, a value of the cursor,
or a row that somebody else reads."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pyarrow.parquet as pq
import pytest

from tests import graphs, services
from tests.integration.dispatch.blocks import write_blocks
from tests.integration.dispatch.callers import Caller, compacted, written_commit
from traceplane.dispatch.dispatcher import Dispatcher
from traceplane_sdk import wire

pytestmark = pytest.mark.services

COUNTS = [1, 5, 21, 50]
"""Of transactions: a block has as many as its number says."""
LoopOf = Callable[[str], Callable[[], Any]]


@pytest.fixture
async def jobs(deploy: Callable[..., Any]) -> dict[str, UUID]:
    """The chain DAG, in which `ranges` reads no block at all, and `compact` copies some."""
    manifest = graphs.chain()
    graphs.job(manifest, "ranges")["inputs"][0]["where"] = {"miner": "0x00", "block_number": [1, 2]}
    graphs.job(manifest, "compact")["inputs"][1]["where"] = {"transaction_count": COUNTS}
    graphs.job(manifest, "compact")["config"]["deleteAfterCompact"] = False
    deployed: dict[str, UUID] = await deploy(manifest)
    return deployed


@pytest.fixture
async def source(
    caller: Caller, dispatcher: Dispatcher, databases: services.Databases, jobs: dict[str, UUID], loop_of: LoopOf
) -> wire.ClaimedTask:
    """The follower's task, after it wrote 60 blocks and `ranges` made ranges of those that are final."""
    (claimed,) = await caller.claim(jobs["follow"])
    write_blocks(databases.writer_dsn, claimed.task, 0, 59)
    await relayed(dispatcher, loop_of)
    return claimed


async def relayed(dispatcher: Dispatcher, loop_of: LoopOf) -> None:
    """Everything that the dispatcher has to do by itself."""
    while await loop_of("relay")() + await loop_of("local")():
        await dispatcher.local.idle()


async def counts(dispatcher: Dispatcher, done: wire.Completion) -> list[int]:
    """Of the blocks in the one file of a completion."""
    (output,) = done.outputs
    key = f"{output.location}blocks_{output.partition.start}_{output.partition.end}.parquet"
    body = await dispatcher.objects.get(key.removeprefix(f"s3://{dispatcher.settings.s3_bucket}/"), max_bytes=2**20)
    found: list[int] = pq.read_table(io.BytesIO(body)).column("transaction_count").to_pylist()
    return found


async def test_every_range_fires_and_has_its_rows_and_nothing_is_moved(
    caller: Caller,
    dispatcher: Dispatcher,
    databases: services.Databases,
    jobs: dict[str, UUID],
    source: wire.ClaimedTask,
    loop_of: LoopOf,
    sql: Callable[..., list[dict[str, Any]]],
    tmp_path: Path,
):
    read = sql("SELECT cursor_value FROM dataset_cursors WHERE job_id = %(job)s", job=jobs["ranges"])
    assert [row["cursor_value"] for row in read] == [59], "though no row of it matches"
    leases = await caller.claim(jobs["compact"], max_tasks=10)
    assert sorted(lease.task.scope["key"] for lease in leases) == ["0-19", "20-39"]
    found = {}
    for lease in leases:
        (blocks,) = (given for given in lease.task.inputs if given.name == "blocks")
        assert blocks.where == {"transaction_count": sorted(map(str, COUNTS))}
        done = await compacted(caller, lease, databases, tmp_path)
        found[lease.task.scope["key"]] = await counts(dispatcher, done)
    assert found == {"0-19": [1, 5], "20-39": [21]}
    assert sql("SELECT rows FROM partition_versions ORDER BY range_start") == [{"rows": 2}, {"rows": 1}]
    while await loop_of("outbox")():
        pass
    assert not sql("SELECT * FROM relocations"), "who reads the hot table, or a Federated asset over both, has all"
    output = next(output for output in source.task.outputs if output.name == "blocks")
    with psycopg.connect(databases.data_dsn) as connection:
        assert connection.execute(f"SELECT count(*) FROM {output.location}").fetchone() == (60,)


async def test_files_that_lack_rows_delete_none(
    caller: Caller, dispatcher: Dispatcher, jobs: dict[str, UUID], source: wire.ClaimedTask
):
    lease, *_ = await caller.claim(jobs["compact"])
    output = await written_commit(dispatcher.objects, dispatcher.settings, lease)
    move = {"input": 1, "output": "blocks", "delete_hot": True}
    refused = await caller.complete(lease, outputs=[output], relocations=[move])
    assert (refused.status_code, refused.json()["code"]) == (400, "BadRelocation")
    assert "files lack rows" in refused.json()["detail"]
