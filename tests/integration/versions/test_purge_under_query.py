"""Garbage is collected while a query reads it: what it was going to read stays until it has read it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import psycopg
import pytest

from tests import services
from tests.integration.versions.definitions import Definition
from tests.integration.versions.drill import Drill
from traceplane.query.files.bucket import Bucket
from traceplane.store.statements import purges
from traceplane.versions import gc

pytestmark = pytest.mark.services

WAIT_SECONDS = 60
LONGEST_QUERY_SECONDS = 330.0
BOTH = """SELECT t."first", t.place, t.total, d.value FROM totals t
JOIN detail d ON d.place = t.place AND d.number // 8 * 8 = t."first" """


@pytest.fixture
def go_on() -> Iterator[threading.Event]:
    """Set when the query may go on; and in the end, for the event loop waits for its thread."""
    made = threading.Event()
    yield made
    made.set()


async def test_what_was_purged_stays_for_a_query_that_began_before_and_then_goes(
    drill: Drill,
    databases: services.Databases,
    object_store: services.ObjectStore,
    bucket: str,
    monkeypatch: pytest.MonkeyPatch,
    go_on: threading.Event,
) -> None:
    parts, old, new = drill.parts, Definition(), Definition(plus=5, minus=5, cutover="Manual")
    left = {
        row["storage"]: row["location"]
        for row in parts.sql(
            "SELECT storage, location FROM dataset_versions v JOIN jobs j ON j.id = v.job_id"
            " WHERE j.name IN ('total', 'detail')"
        )
    }
    await drill.apply(new)
    drill.chain.grow(20)  # files that no query has read
    await drill.settle()
    reading, stream = threading.Event(), Bucket.stream

    def held_up(of: Bucket, key: str) -> Iterator[bytes]:
        reading.set()
        assert go_on.wait(WAIT_SECONDS)
        return stream(of, key)

    def is_left() -> tuple[bool, bool]:
        """Whether files and table of what was purged are there."""
        prefix = left["S3"].removeprefix(f"s3://{bucket}/")
        files = object_store.client().list_objects_v2(Bucket=bucket, Prefix=prefix)["KeyCount"]
        with psycopg.connect(databases.data_dsn) as data:
            table = data.execute("SELECT to_regclass(%s)", (left["Postgres"],)).fetchone()
        return files > 0, table != (None,)

    async def effects() -> None:
        async with parts.dispatcher.state.transaction() as conn:
            while await purges.forget(conn, limit=1000):
                pass
        while await parts.turn("outbox"):
            pass

    monkeypatch.setattr(Bucket, "stream", held_up)
    query = asyncio.create_task(asyncio.to_thread(parts.read, BOTH))
    assert await asyncio.to_thread(reading.wait, WAIT_SECONDS)
    graph = parts.assembled(Definition(plus=5, minus=5).manifest())
    for _ in range(2):
        await parts.look(graph)
        parts.pass_time(11)
        await parts.turn("relay")  # as it does meanwhile
    assert (await parts.facts()).active_spec_hash == graph.spec_hash
    purged = await parts.run(gc.collect, keep=0, delay_seconds=LONGEST_QUERY_SECONDS, dry_run=False)
    assert {one.output.job for one in purged if one.kept is None} == {"total", "detail"}
    await effects()
    assert is_left() == (True, True)
    go_on.set()
    totals, detail = old.rows(drill.chain, "totals"), old.rows(drill.chain, "detail")
    assert await query == sorted(
        (first, place, total, value)
        for first, place, total in totals
        for number, of, value in detail
        if (of, number // 8 * 8) == (place, first)
    )
    parts.pass_time(LONGEST_QUERY_SECONDS)
    await effects()
    assert is_left() == (False, False)
