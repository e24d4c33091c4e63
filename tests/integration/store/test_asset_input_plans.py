"""What is looked up and planned of an asset that another DAG reads: what it is made from, and its readers."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest

from tests import services
from tests.integration.store.conftest import Deploy
from tests.integration.store.reading import READ, SUMS, Sums, cut_over_upstream
from tests.integration.store.rolling import DAG as CHAIN
from tests.integration.store.rolling import Versions, running
from tests.support.planning import planned
from traceplane.graph import AssetRef, AssetVersion
from traceplane.store.engine import Connection
from traceplane.store.statements import asset_inputs as statements
from traceplane.store.statements import plans
from traceplane.store.statements.asset_policies import Policy, declare
from traceplane.store.statements.pointers import DagKey
from traceplane.versions import asset_inputs

pytestmark = pytest.mark.services


@pytest.mark.parametrize(
    ("namespaces", "read"), [((), False), (("other",), False), (("research",), True), (("*",), True)]
)
async def test_another_namespace_reads_what_allows_it(
    deploy: Deploy, upstream: Versions, sums: Sums, namespaces: tuple[str, ...], read: bool
) -> None:
    await running(deploy, upstream)
    policy = Policy(name="cold-blocks", resource_uid="x", storage="S3", policy={"readNamespaces": list(namespaces)})
    await sums.run(declare, org_id=services.ORG_ID, namespace="demo", policies=[policy])
    key = DagKey(services.ORG_ID, "research", "sums")
    (found,) = (await sums.run(asset_inputs.look_up, key, [READ])).values()
    assert isinstance(found, AssetVersion) is read
    if not read:
        (row,) = await sums.run(statements.current, key, [READ])
        assert (row.dag, row.version_id, row.columns, row.federation) == (None, None, None, None)
        # What does not exist is refused in the same words.
        (nothing,) = (await sums.run(asset_inputs.look_up, key, [AssetRef("demo", "nothing")])).values()
        assert nothing == found.replace("cold-blocks", "nothing")


async def test_what_is_no_dataset_of_another_dag_says_what_to_read(
    deploy: Deploy, upstream: Versions, sums: Sums
) -> None:
    await running(deploy, upstream)
    halves = {"hot": "hot-blocks", "cold": "cold-blocks", "column": "block_number"}
    policy = Policy(name="blocks", resource_uid="x", storage="Federated", federation=halves)
    await sums.run(declare, org_id=services.ORG_ID, namespace="demo", policies=[policy])
    asked = [AssetRef("demo", "blocks"), AssetRef("demo", "nothing"), READ]
    found = await sums.run(asset_inputs.look_up, SUMS, asked)
    assert found.keys() == {asked[0], READ}
    assert "a job reads 'hot-blocks', and through it what was compacted" in found[asked[0]]
    own = await sums.run(asset_inputs.look_up, CHAIN, [READ])
    assert "spec.publish does not name it any more" in own[READ]


async def test_what_a_dag_made_itself_is_seen_through_the_other(
    deploy: Deploy, upstream: Versions, sums: Sums
) -> None:
    await running(deploy, upstream)
    await sums.deploy()
    ref = AssetRef("demo", "gas")
    found = (await sums.run(asset_inputs.look_up, CHAIN, [ref]))[ref]
    assert found.made_from == {"follow", "ranges", "compact"}
    both = await sums.run(asset_inputs.look_up, DagKey(services.ORG_ID, "demo", "sums"), [READ, ref])
    assert both[READ].made_from == set()
    rows = await sums.run(statements.current, SUMS, [READ, ref, AssetRef("demo", "hot-blocks")])
    assert {row.asset: list(row.made_from) for row in rows} == {"cold-blocks": [], "gas": ["gas"], "hot-blocks": []}
    assert (await sums.run(asset_inputs.look_up, DagKey(services.ORG_ID, "demo", "x"), [ref]))[
        ref
    ].made_from == set()


async def test_what_many_assets_are_made_from_is_read_once_for_all(
    deploy: Deploy, upstream: Versions, sums: Sums
) -> None:
    await running(deploy, upstream)
    await sums.deploy()
    asked = [("demo", name) for name in ("cold-blocks", "gas", "hot-blocks")]
    given = {"namespaces": [namespace for namespace, _ in asked], "assets": [name for _, name in asked]}

    async def explained(conn: Connection) -> Any:
        cursor = await conn.execute(
            f"EXPLAIN (ANALYZE, FORMAT JSON) {statements.CURRENT}", CHAIN.parameters | given
        )
        return await cursor.fetchone()

    def scans(node: Any) -> list[int]:
        own = [node["Actual Loops"]] if (node["Node Type"], node.get("CTE Name")) == ("CTE Scan", "up") else []
        return own + [loops for below in node.get("Plans", ()) for loops in scans(below)]

    ((plan_of,),) = await sums.run(explained)
    assert scans(plan_of["Plan"]) == [1]


async def test_a_plan_names_the_readers_and_counts_what_they_would_do(
    deploy: Deploy, upstream: Versions, sums: Sums
) -> None:
    await running(deploy, upstream)
    await sums.deploy()
    (reader,) = await sums.run(statements.readers, CHAIN)
    assert (reader.dag, reader.reader, reader.job, reader.output) == ("sums", "gas", "compact", "blocks")
    assert reader.asset == "cold-blocks"
    await cut_over_upstream(deploy, upstream, 50, 2)
    for end in (9, 19, 29):
        upstream.event(
            upstream.rows("SELECT job_id FROM dataset_versions WHERE id = %s", sums.written("compact")[0])[0][0],
            end,
            partition=True,
        )
    wanted = await sums.graph()

    read = [UUID(edge.asset.version_id) for job in wanted.jobs for edge in job.inputs if edge.asset]
    ids = [job.id for job in sums.last.jobs]
    assert await sums.run(plans.sizes, SUMS.org_id, ids, read)
    assert await sums.run(plans.sizes, uuid4(), ids, read) == [], "of another organisation"
    (job_plan,) = (await sums.run(planned, SUMS, wanted, reads=read)).jobs
    assert (job_plan.action, job_plan.tasks, job_plan.exact) == ("Rebuild", 3, True)
    await sums.deploy()
    (job,) = sums.last.jobs
    assert upstream.tasks(job.id) == ["Queued"] * 3
    assert await sums.run(statements.reading_dags, CHAIN) == ["demo/sums"]
