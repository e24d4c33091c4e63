"""The whole way of a block through the dispatcher, with the real operators on real Postgres and MinIO."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import psycopg
import pytest

from tests import services
from tests.integration.dispatch.blocks import write_blocks
from tests.integration.dispatch.callers import Caller, fence_of
from traceplane.dispatch.dispatcher import Dispatcher
from traceplane_sdk import wire
from traceplane_sdk.context import TaskIO
from traceplane_sdk.runner import run_task

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
        answer = await caller.task_call("credentials", lease.capability_token, {"fence": fence_of(lease)})
        given = msgspec.json.decode(answer.content, type=wire.CredentialsResponse)
        io = TaskIO(data_dsn=lambda: databases.writer_dsn, credentials=lambda given=given: given, scratch=tmp_path)
        done = await asyncio.to_thread(run_task, lease, io)
        assert done.status == "Completed", done.error
        body = {"completions": [msgspec.to_builtins(done)]}
        answer = await caller.task_call("complete", lease.capability_token, body)
        assert answer.status_code == 200, answer.text

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
