"""Hot tables are asked for where they lack, and a job runs once all of its own are there."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from psycopg import errors

from tests import services
from tests.integration.store.crowd import DAG, looking
from traceplane.store.engine import Connection, Database
from traceplane.store.statements import hot_tables, versions
from traceplane.store.statements.hot_tables import HotTable

pytestmark = pytest.mark.services


@pytest.fixture
async def jobs(beside: Connection) -> dict[str, UUID]:
    """The generations of the DAG by name."""
    ids = await versions.generation_ids(beside, DAG)
    rows = await (await beside.execute("SELECT name, id FROM jobs WHERE id = ANY(%s)", (ids,))).fetchall()
    return dict(rows)


async def tables(conn: Connection, job: UUID) -> list[UUID]:
    query = "SELECT id FROM dataset_versions WHERE job_id = %s ORDER BY id"
    return [version for (version,) in await (await conn.execute(query, (job,))).fetchall()]


async def requested(conn: Connection, status: str = "Pending") -> list[UUID]:
    query = (
        "SELECT (payload ->> 'dataset_version_id')::uuid FROM outbox"
        " WHERE kind = 'provision_hot_table' AND status = %s ORDER BY 1"
    )
    return [version for (version,) in await (await conn.execute(query, (status,))).fetchall()]


async def test_only_missing_tables_of_the_named_jobs_are_asked_for(beside: Connection, jobs: dict[str, UUID]):
    first, *missing = await tables(beside, jobs["follow"])
    await hot_tables.mark_provisioned(beside, first)
    assert await hot_tables.request(beside, [jobs["follow"], jobs["compact"]])
    assert await requested(beside) == missing
    assert not await hot_tables.request(beside, [jobs["follow"]])


async def test_a_request_that_was_given_up_is_made_anew_after_a_while(beside: Connection, jobs: dict[str, UUID]):
    old, new, waits = await tables(beside, jobs["follow"])
    await hot_tables.request(beside, [jobs["follow"]])
    end = (
        "UPDATE outbox SET status = %s, finished_at = now() - make_interval(mins => %s)"
        " WHERE payload ->> 'dataset_version_id' = %s::text"
    )
    for version, status, minutes in ((old, "Failed", 6), (new, "Failed", 4), (waits, "Done", 6)):
        await beside.execute(end, (status, minutes, version))
    assert await hot_tables.request(beside, [jobs["follow"]])
    assert await requested(beside) == [old]
    assert await requested(beside, "Failed") == [new]


async def test_a_job_may_run_once_all_of_its_own_tables_are_there(beside: Connection, jobs: dict[str, UUID]):
    async def running() -> list[str]:
        query = "SELECT name FROM jobs WHERE id = ANY(%s) AND provisioned_at IS NOT NULL ORDER BY name"
        rows = await (await beside.execute(query, (list(jobs.values()),))).fetchall()
        return [name for (name,) in rows]

    assert await running() == ["compact"], "it writes files alone"
    await beside.execute("UPDATE jobs SET provisioned_at = NULL WHERE name = 'compact'")
    made = [await hot_tables.mark_provisioned(beside, table) for table in await tables(beside, jobs["follow"])]
    assert made == [[], [], [jobs["follow"]]]
    assert await running() == ["follow"], "and no other that lacks nothing"
    (table,) = await tables(beside, jobs["ranges"])
    assert [await hot_tables.mark_provisioned(beside, table) for _ in range(2)] == [[jobs["ranges"]], []]


async def test_tables_of_one_job_wait_for_each_other_and_for_no_other_job(
    beside: Connection,
    jobs: dict[str, UUID],
    alone_and_beside: tuple[services.Databases, services.Databases],
):
    first, second, _ = await tables(beside, jobs["follow"])
    (other,) = await tables(beside, jobs["ranges"])
    await hot_tables.mark_provisioned(beside, first)
    async with looking(alone_and_beside[1]) as conn:
        await conn.execute("SET LOCAL lock_timeout = '5s'")
        assert await hot_tables.mark_provisioned(conn, other) == [jobs["ranges"]]
        await conn.execute("SET LOCAL lock_timeout = '1ms'")
        with pytest.raises(errors.LockNotAvailable):
            await hot_tables.mark_provisioned(conn, second)


async def test_rows_of_a_range_are_deleted_a_part_at_a_time(data: Database):
    columns: list[dict[str, object]] = [{"name": "n", "type": "Int64"}]
    table = HotTable(uuid4(), uuid4(), uuid4(), f"hot.d_{uuid4().hex}", columns, [], "n", [], provisioned=False)
    async with data.autocommit() as conn:
        await hot_tables.create(conn, table)
        await conn.cursor().executemany(f"INSERT INTO {table.location} VALUES (%s)", [(n,) for n in range(10)])
        deleted = [await hot_tables.delete_rows(conn, table, start=3, end=6, limit=3) for _ in range(3)]
        assert deleted == [3, 1, 0]
        left = await (await conn.execute(f"SELECT n FROM {table.location} ORDER BY n")).fetchall()
    assert [n for (n,) in left] == [0, 1, 2, 7, 8, 9]
