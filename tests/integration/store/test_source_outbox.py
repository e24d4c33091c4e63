"""Rows that writers left for the relay: each comes until it was relayed, in order, and leaves long after."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from traceplane.store.engine import Connection, Database
from traceplane.store.statements import source_outbox

pytestmark = pytest.mark.services


async def left(conn: Connection, count: int) -> list[UUID]:
    """`count` rows in the order of their writing."""
    rows = [uuid4() for _ in range(count)]
    for row in rows:
        await conn.execute(
            "INSERT INTO trace.source_outbox (id, org_id, dataset_version_id, kind, payload, task_id, attempt,"
            " lease_epoch) VALUES (%s, %s, %s, 'Event', '{}', %s, 1, 1)",
            (row, uuid4(), uuid4(), uuid4()),
        )
    return rows


async def test_a_row_comes_until_it_was_relayed(data: Database):
    async with data.autocommit() as conn:
        first, *rest = await left(conn, 3)
        assert [row.id for row in await source_outbox.unrelayed(conn, limit=2)] == [first, rest[0]]
        await source_outbox.mark_relayed(conn, [first])
        assert [row.id for row in await source_outbox.unrelayed(conn, limit=9)] == rest
        waiting, _ = await source_outbox.waiting(conn)
        assert waiting == 2


async def test_only_rows_that_were_relayed_long_ago_leave(data: Database):
    async with data.autocommit() as conn:
        old, new, waits, older = await left(conn, 4)
        relayed = "UPDATE trace.source_outbox SET relayed_at = now() - make_interval(hours => %s) WHERE id = %s"
        for row, hours in ((older, 4), (old, 2), (new, 0)):
            await conn.execute(relayed, (hours, row))
        await conn.execute("UPDATE trace.source_outbox SET created_at = now() - interval '1 day'")
        forgotten = [await source_outbox.forget(conn, older_seconds=3600, limit=1) for _ in range(3)]
        assert forgotten == [1, 1, 0]
        stay = await (await conn.execute("SELECT id FROM trace.source_outbox ORDER BY seq")).fetchall()
        assert [row for (row,) in stay] == [new, waits]


async def test_rows_are_relayed_by_one_replica_at_a_time_so_that_their_order_holds(data: Database):
    async with data.autocommit() as one, data.autocommit() as other:
        rows = await left(one, 3)
        async with one.transaction():
            assert [row.id for row in await source_outbox.unrelayed(one, limit=1)] == rows[:1]
            async with other.transaction():
                assert await source_outbox.unrelayed(other, limit=9) == []
            await source_outbox.mark_relayed(one, rows[:1])
        async with other.transaction():
            assert [row.id for row in await source_outbox.unrelayed(other, limit=9)] == rows[1:]
