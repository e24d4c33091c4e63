"""What another DAG reads is not purged, and what was purged is not read."""

from __future__ import annotations

import asyncio

import pytest

from tests import services
from tests.integration.store.conftest import Deploy
from tests.integration.store.reading import SUMS, Sums, cut_over_upstream
from tests.integration.store.rolling import DAG as CHAIN
from tests.integration.store.rolling import Versions, running
from tests.support.locks import blocked
from traceplane.errors import Stale
from traceplane.store.engine import Database
from traceplane.store.statements.pointers import DagKey
from traceplane.versions import deploy as deploying
from traceplane.versions import gc

pytestmark = pytest.mark.services

READ_BY_SUMS = (
    "compact.blocks is read by demo/sums/gas; once sums has gone on to another version, or is deleted, purge its "
    "former ones: tracectl gc sums -n demo --keep 0"
)


async def test_nothing_is_purged_that_another_dag_reads(deploy: Deploy, upstream: Versions, sums: Sums) -> None:
    await running(deploy, upstream)
    await sums.deploy()
    upstream.finish()
    for generation, size in ((2, 50), (3, 70)):
        await cut_over_upstream(deploy, upstream, size, generation)
    collect = {"keep": 0, "delay_seconds": 0.0, "dry_run": False}

    async def purged(dag: DagKey) -> list[tuple[str, str]]:
        return sorted((one.output.job, one.kept or "") for one in await sums.run(gc.collect, dag, **collect))

    why = READ_BY_SUMS
    assert await purged(CHAIN) == [("compact", ""), ("compact", why), ("ranges", ""), ("ranges", why)]
    assert await purged(CHAIN) == [("compact", why), ("ranges", why)], "what it is made from stays with it"
    # The reader goes on to the newest version, and its own former generation is purged: nobody reads that any more.
    await sums.deploy()
    upstream.finish()
    await sums.cut_over()
    assert await purged(CHAIN) == [("compact", why), ("ranges", why)], "its reader may go back to it"
    assert await purged(SUMS) == [("gas", "")]
    assert await purged(CHAIN) == [("compact", ""), ("ranges", "")]


async def test_a_purge_sees_the_reader_that_is_deployed_at_the_same_time(
    deploy: Deploy, upstream: Versions, sums: Sums, state: Database
) -> None:
    await running(deploy, upstream)
    looked_up = await sums.graph()
    await cut_over_upstream(deploy, upstream, 50, 2)
    given = {"org_id": services.ORG_ID, "resource_uid": "uid-2", "generation": 1, "bucket": "bucket"}
    async with state.transaction() as conn:
        await deploying.deploy(conn, graph=looked_up, **given)
        purging = asyncio.create_task(sums.run(gc.collect, CHAIN, keep=0, delay_seconds=0.0, dry_run=False))
        await blocked(state)
    assert {one.kept for one in await purging} == {READ_BY_SUMS}
    assert await upstream.forget() == 0


@pytest.mark.parametrize("forgotten", [False, True])
async def test_a_reader_that_looked_before_a_purge_changes_nothing_and_looks_again(
    deploy: Deploy, upstream: Versions, sums: Sums, state: Database, forgotten: bool
) -> None:
    await running(deploy, upstream)
    looked_up = await sums.graph()
    await cut_over_upstream(deploy, upstream, 50, 2)
    async with state.transaction() as conn:
        assert {one.kept for one in await gc.collect(conn, CHAIN, keep=0, delay_seconds=0.0, dry_run=False)} == {
            None
        }
        if not forgotten:
            reading = asyncio.create_task(deploy(looked_up, uid="uid-2"))
            await blocked(state)
    if forgotten:
        assert await upstream.forget() > 0
        reading = asyncio.create_task(deploy(looked_up, uid="uid-2"))
    with pytest.raises(Stale, match="DAG sums: what asset cold-blocks was when it was looked up is purged since"):
        await reading
    assert sums.rows("SELECT count(*) FROM dag_current_versions WHERE dag = 'sums'") == [(0,)]
    assert await sums.deploy() == "Created"
    assert sums.reads() == sums.written("compact")
