"""The whole way of a block through the dispatcher, with the real operators on real Postgres and MinIO."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pyarrow.parquet as pq
import pytest

from tests import services
from tests.integration.dispatch.blocks import write_blocks
from tests.integration.dispatch.callers import Caller, compacted, written_commit
from tests.integration.dispatch.conftest import Feed
from traceplane.dispatch.dispatcher import Dispatcher
from traceplane_sdk import wire

pytestmark = pytest.mark.services


async def test_a_block_goes_from_the_chain_to_cold_files(
    caller: Caller,
    dispatcher: Dispatcher,
    databases: services.Databases,
    jobs: dict[str, UUID],
    loop_of: Callable[[str], Callable[[], Any]],
    sql: Callable[..., list[dict[str, Any]]],
    tmp_path: Path,
):
    (source,) = await caller.claim(jobs["follow"])
    write_blocks(databases.writer_dsn, source.task, 0, 59)
    assert await loop_of("relay")() == 1
    assert await loop_of("local")() == 1
    await dispatcher.local.idle()
    while await loop_of("relay")():
        pass

    compactions = await caller.claim(jobs["compact"], max_tasks=10)
    assert sorted(lease.task.scope["key"] for lease in compactions) == ["0-19", "20-39"]
    for lease in compactions:
        assert [given.partition for given in lease.task.inputs if given.name == "blocks"] != [None]
        await compacted(caller, lease, databases, tmp_path)

    partitions = sql(
        "SELECT partition_key, rows FROM partition_versions WHERE superseded_at IS NULL ORDER BY range_start"
    )
    assert partitions == [{"partition_key": "0-19", "rows": 20}, {"partition_key": "20-39", "rows": 20}]
    assert sql("SELECT ranges::text FROM relocations") == [{"ranges": "{[0,40)}"}]
    while await loop_of("outbox")():
        pass
    output = next(output for output in source.task.outputs if output.name == "blocks")
    with psycopg.connect(databases.data_dsn) as connection:
        left = connection.execute(f"SELECT min(block_number), count(*) FROM {output.location}").fetchone()
    assert left == (40, 20)
    assert sql("SELECT DISTINCT status FROM outbox") == [{"status": "Done"}]
    assert sql("SELECT count(*) AS n FROM tasks WHERE status = 'Failed'") == [{"n": 0}]


async def test_a_rebuilt_compaction_reads_what_the_version_before_it_moved(
    caller: Caller,
    dispatcher: Dispatcher,
    databases: services.Databases,
    jobs: dict[str, UUID],
    feed: Feed,
    loop_of: Callable[[str], Callable[[], Any]],
    sql: Callable[..., list[dict[str, Any]]],
    tmp_path: Path,
):
    (source,) = await caller.claim(jobs["follow"])
    write_blocks(databases.writer_dsn, source.task, 0, 69, final=69)
    await feed.partitions(2)
    truth = {}
    for lease in await caller.claim(jobs["compact"], max_tasks=10):
        done = await compacted(caller, lease, databases, tmp_path)
        truth.update(await _rows(dispatcher, done))
    assert sorted(truth) == list(range(40))
    before = await _retained(dispatcher, sql)
    while await loop_of("outbox")():
        pass
    table = next(output for output in source.task.outputs if output.name == "blocks").location
    with psycopg.connect(databases.data_dsn) as connection:
        assert connection.execute(f"SELECT min(block_number) FROM {table}").fetchone() == (40,)
        connection.execute(f"DELETE FROM {table} WHERE block_number > 59")

    # The rebuilt job has ranges of its own: one is all cold, one reaches from cold files into the hot table.
    for start, end in ((10, 29), (30, 49), (0, 39)):
        await feed.partition(start, end)
        (lease,) = await caller.claim(jobs["compact"])
        (given,) = (one for one in lease.task.inputs if one.name == "blocks")
        done = await compacted(caller, lease, databases, tmp_path)
        found = await _rows(dispatcher, done)
        assert sorted(found) == list(range(start, end + 1))
        assert {n: row for n, row in found.items() if n < 40} == {n: truth[n] for n in found if n < 40}
        assert before in {one.cold_version for one in given.relocated}
    own = feed.version("compact", "blocks")
    assert sql("SELECT ranges::text FROM relocations WHERE cold_version_id = %(own)s", own=own) == [
        {"ranges": "{[0,50)}"}
    ]
    while await loop_of("outbox")():
        pass
    assert sql("SELECT DISTINCT status FROM outbox") == [{"status": "Done"}], "a range was deleted twice"


async def _rows(dispatcher: Dispatcher, done: wire.Completion) -> dict[int, dict[str, Any]]:
    """Committed blocks by their number."""
    found = {}
    for output in done.outputs:
        place = output.location.removeprefix(f"s3://{dispatcher.settings.s3_bucket}/")
        name = f"blocks_{output.partition.start}_{output.partition.end}.parquet"
        body = await dispatcher.objects.get(place + name, max_bytes=1 << 20)
        found.update({row["block_number"]: row for row in pq.read_table(io.BytesIO(body)).to_pylist()})
    return found


async def _retained(dispatcher: Dispatcher, sql: Callable[..., list[dict[str, Any]]]) -> str:
    """Make all that was compacted the work of an earlier generation, and return its version.

    Forged: a deploy would make the next generation instead.
    """
    (own,) = sql(
        "SELECT v.id, v.location, v.job_id FROM dataset_versions v JOIN datasets d ON d.id = v.dataset_id"
        " WHERE v.storage = 'S3' AND d.output = 'blocks'"
    )
    before = {"own": own["id"], "job": uuid4(), "version": uuid4(), "from": own["job_id"]}
    place = own["location"].replace(str(own["id"]), str(before["version"]))
    assert place != own["location"]
    sql(
        "INSERT INTO jobs (id, org_id, namespace, dag, name, config_hash, operator, activation, execution_strategy,"
        " update_strategy, definition) SELECT %(job)s, org_id, namespace, dag, name, 'earlier', operator,"
        " activation, execution_strategy, update_strategy, definition FROM jobs WHERE id = %(from)s",
        **before,
    )
    sql(
        "INSERT INTO dataset_versions (id, org_id, dataset_id, job_id, config_hash, schema_hash, storage, location,"
        " columns, unique_key, scope_column, sort_by) SELECT %(version)s, org_id, dataset_id, %(job)s, 'earlier',"
        " schema_hash, storage, %(place)s, columns, unique_key, scope_column, sort_by FROM dataset_versions"
        " WHERE id = %(own)s",
        place=place,
        **before,
    )
    bucket = f"s3://{dispatcher.settings.s3_bucket}/"
    for part in sql("SELECT location, files FROM partition_versions WHERE dataset_version_id = %(own)s", **before):
        for name in ("_manifest.json", *(file["path"] for file in part["files"])):
            old = (part["location"] + name).removeprefix(bucket)
            body = await dispatcher.objects.get(old, max_bytes=1 << 20)
            await dispatcher.objects.put_if_absent(old.replace(str(own["id"]), str(before["version"])), body)
    sql(
        "UPDATE partition_versions SET dataset_version_id = %(version)s,"
        " location = replace(location, %(own)s::text, %(version)s::text) WHERE dataset_version_id = %(own)s",
        **before,
    )
    sql("UPDATE relocations SET cold_version_id = %(version)s WHERE cold_version_id = %(own)s", **before)
    return str(before["version"])


async def test_a_completion_that_took_for_hot_what_had_moved_is_not_accepted(
    caller: Caller,
    dispatcher: Dispatcher,
    jobs: dict[str, UUID],
    feed: Feed,
    sql: Callable[..., list[dict[str, Any]]],
):
    await feed.partitions(1)
    (lease,) = await caller.claim(jobs["compact"])
    (given,) = (one for one in lease.task.inputs if one.name == "blocks")
    output = await written_commit(dispatcher.objects, dispatcher.settings, lease)
    sql(
        "INSERT INTO relocations (hot_version_id, cold_version_id, org_id, ranges)"
        " VALUES (%(hot)s, %(cold)s, %(org)s, '{[5,10)}')",
        hot=given.version,
        cold=feed.version("ranges", "ranges"),
        org=services.ORG_ID,
    )
    sql("UPDATE tasks SET started_at = now() - interval '1 day' WHERE id = %(task)s", task=lease.task.task_id)
    move = {"input": given.position, "output": "blocks", "delete_hot": True}
    answer = await caller.complete(lease, outputs=[output], relocations=[move])
    assert (answer.status_code, answer.json()["completions"][0]["accepted"]) == (409, False)
    assert not sql("SELECT id FROM partition_versions")
    answer = await caller.complete(lease, outputs=[output], relocations=[{**move, "cold": [[0, 4], [5, 9]]}])
    assert (answer.status_code, answer.json()["completions"][0]["accepted"]) == (200, True)
    again = await caller.complete(lease, outputs=[output], relocations=[move])
    assert again.status_code == 200, "a repeat of what was accepted"
