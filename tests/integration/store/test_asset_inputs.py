"""A DAG that reads an asset of another follows its pointer: staged anew at a cutover, and back at once."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests import graphs, services
from tests.integration.store.conftest import Deploy
from tests.integration.store.rolling import DAG as CHAIN
from tests.integration.store.rolling import Rows, Versions, chain, running
from tests.support.locks import blocked
from traceplane import graph
from traceplane.errors import Stale
from traceplane.graph import AssetRef, AssetVersion, Graph
from traceplane.operator_registry import load
from traceplane.store.engine import Connection, Database
from traceplane.store.statements import asset_inputs as statements
from traceplane.store.statements import controller_facts, enqueue, plans, versions
from traceplane.store.statements.asset_policies import Policy, declare
from traceplane.store.statements.pointers import DagKey
from traceplane.store.statements.unfinished import unfinished
from traceplane.versions import asset_inputs, deletion, gc, rollout
from traceplane.versions import deploy as deploying
from traceplane.versions.asset_policies import Policies
from traceplane.versions.plan import plan

pytestmark = pytest.mark.services

SUMS = DagKey(services.ORG_ID, "demo", "sums")
READ = AssetRef("demo", "cold-blocks")
READ_BY_SUMS = (
    "compact.blocks is read by demo/sums/gas; once sums has gone on to another version, or is deleted, purge its "
    "former ones: tracectl gc sums -n demo --keep 0"
)


def manifest(namespace: str = "demo", sql: str = "SELECT block_number, gas_used AS gas FROM cold_blocks") -> Any:
    """Gas by block, of what the chain's DAG publishes."""
    return {
        "apiVersion": "trace.dev/v1alpha1",
        "kind": "DAG",
        "metadata": {"name": "sums", "namespace": namespace, "uid": "uid-2"},
        "spec": {
            "jobs": [
                {
                    "name": "gas",
                    "activation": "Reactive",
                    "runtime": "Pod",
                    "operator": "query",
                    "inputs": [{"from": {"asset": "cold-blocks"}}],
                    "executionStrategy": "PerPartition",
                    "config": {
                        "sql": sql,
                        "columns": [{"name": "block_number", "type": "Int64"}, {"name": "gas", "type": "Int64"}],
                        "scopeColumn": "block_number",
                        "uniqueKey": ["block_number"],
                    },
                    "outputs": ["gas"],
                    "updateStrategy": "Replace",
                }
            ],
            "publish": [{"asset": "gas", "from": {"job": "gas", "output": "gas"}}],
        },
    }


class Sums:
    """The reading DAG: assembled over what state knows, and moved as the controller moves it."""

    def __init__(self, state: Database, deploy: Deploy, rows: Rows) -> None:
        self._state, self._deploy, self.rows = state, deploy, rows
        self._generation = 0

    async def run(self, verb: Any, *given: Any, **named: Any) -> Any:
        async with self._state.transaction() as conn:
            return await verb(conn, *given, **named)

    async def graph(self, written: Any = None) -> Graph:
        parsed = graph.parse("DAG", written or manifest())
        assert not isinstance(parsed, list)
        key = DagKey(services.ORG_ID, parsed.metadata.namespace, parsed.name)
        read = graph.Assets(await self.run(asset_inputs.look_up, key, [READ]))
        made = graph.assemble(parsed, [], [], load(), read=read)
        assert isinstance(made, Graph), [str(problem) for problem in made]
        return made

    async def deploy(self, written: Any = None) -> str:
        self._generation += 1
        done = await self._deploy(await self.graph(written), uid="uid-2", generation=self._generation)
        self.last = done
        return done.result

    async def cut_over(self, written: Any = None) -> Any:
        facts = await self.run(controller_facts.dag_facts, SUMS)
        given = {"active": facts.active_version_id, "staged": facts.staged_version_id}
        await self.run(rollout.observe, SUMS, **given)
        self.rows("UPDATE dag_current_versions SET ready_at = ready_at - interval '1 hour'")
        swap = {"cutover": "Auto", "policies": Policies()}
        return await self.run(rollout.cut_over, SUMS, (await self.graph(written)).spec_hash, **swap)

    def reads(self) -> list[UUID]:
        """The dataset version that the active version's job reads."""
        return [
            version
            for (version,) in self.rows(
                "SELECT i.dataset_version_id FROM dag_current_versions c"
                " JOIN dag_version_jobs m ON m.dag_version_id = c.active_version_id"
                " JOIN job_inputs i ON i.job_id = m.job_id WHERE c.dag = 'sums'"
            )
        ]

    def written(self, job: str) -> list[UUID]:
        """The dataset version that a job of the chain's active version writes."""
        return [
            version
            for (version,) in self.rows(
                "SELECT v.id FROM dag_current_versions c"
                " JOIN dag_version_jobs m ON m.dag_version_id = c.active_version_id"
                " JOIN jobs j ON j.id = m.job_id AND j.name = %s"
                " JOIN dataset_versions v ON v.job_id = j.id WHERE c.dag = 'chain'",
                job,
            )
        ]


@pytest.fixture
def upstream(state: Database, rows: Rows) -> Versions:
    return Versions(state, rows)


@pytest.fixture
def sums(state: Database, deploy: Deploy, rows: Rows) -> Sums:
    return Sums(state, deploy, rows)


async def cut_over_upstream(deploy: Deploy, upstream: Versions, size: int, generation: int) -> None:
    await deploy(chain(size), generation=generation)
    upstream.finish()
    assert await upstream.cut_over(chain(size))


async def test_it_reads_what_readers_get_and_is_given_the_work_that_waits_there(
    deploy: Deploy, upstream: Versions, sums: Sums
) -> None:
    jobs = await running(deploy, upstream)
    upstream.event(jobs["compact"], 9, partition=True)
    assert await sums.deploy() == "Created"
    assert sums.reads() == sums.written("compact")
    (job,) = sums.last.jobs
    assert upstream.tasks(job.id) == ["Queued"], "of the partition that was announced before"
    assert await sums.deploy() == "Unchanged"


async def test_a_cutover_stages_its_readers_anew_and_they_serve_what_they_have_until_then(
    deploy: Deploy, upstream: Versions, sums: Sums
) -> None:
    await running(deploy, upstream)
    await sums.deploy()
    upstream.finish()
    before = sums.reads()
    await cut_over_upstream(deploy, upstream, 50, 2)
    assert await sums.deploy() == "Staged"
    assert [str(rebuild) for rebuild in sums.last.rebuilds] == ["gas (reads asset cold-blocks)"]
    assert sums.reads() == before
    upstream.finish()
    assert await sums.cut_over()
    assert (sums.reads(), sums.reads() != before) == (sums.written("compact"), True)
    # The way back of the one is the way back of the other: nothing is made again.
    await deploy(chain(), generation=3)
    assert await sums.deploy() == "Updated"
    assert sums.reads() == before


async def test_a_change_of_what_it_does_not_read_is_none(deploy: Deploy, upstream: Versions, sums: Sums) -> None:
    await running(deploy, upstream)
    await sums.deploy()
    changed = graphs.chain()
    changed["spec"]["jobs"].append(graphs.job(changed, "ranges") | {"name": "more"})
    await deploy(graphs.assembled(changed), generation=2)
    upstream.finish()
    assert await upstream.cut_over(graphs.assembled(changed))
    assert await sums.deploy() == "Unchanged"


async def test_a_reader_is_looked_at_when_the_asset_goes_and_when_another_dag_takes_it_over(
    deploy: Deploy, upstream: Versions, sums: Sums, databases: services.Databases
) -> None:
    await running(deploy, upstream)
    await sums.deploy()
    with psycopg.connect(databases.state_dsn, autocommit=True) as listener:
        listener.execute("LISTEN trace_deploy")

        def heard() -> list[str]:
            listener.execute("SELECT pg_notify('trace_deploy', 'end')")
            payloads = iter(notice.payload for notice in listener.notifies(timeout=60))
            return list(iter(lambda: next(payloads), "end"))

        await sums.run(deletion.begin, CHAIN, "uid-1")
        assert heard() == ["demo/sums"]
        await sums.run(deletion.begin, CHAIN, "uid-1")
        assert heard() == [], "once, however often the deletion is looked at"
        await deploy(graphs.assembled(graphs.chain("other")), uid="uid-3")
        assert "demo/sums" in heard()


async def test_what_was_rolled_back_stays_held_off_whatever_the_other_dag_does(
    deploy: Deploy, upstream: Versions, sums: Sums
) -> None:
    await running(deploy, upstream)
    await sums.deploy()
    other = manifest(sql="SELECT block_number, gas_used + 1 AS gas FROM cold_blocks")
    assert await sums.deploy(other) == "Staged"
    upstream.finish()
    staged = await sums.graph(other)
    facts = await sums.run(controller_facts.dag_facts, SUMS)
    await sums.run(rollout.observe, SUMS, active=facts.active_version_id, staged=facts.staged_version_id)
    sums.rows("UPDATE dag_current_versions SET ready_at = ready_at - interval '1 hour'")
    assert await sums.run(rollout.cut_over, SUMS, staged.spec_hash, cutover="Auto", policies=Policies())
    await sums.run(rollout.roll_back, SUMS, version=None)
    assert await sums.deploy(other) == "Held"
    await cut_over_upstream(deploy, upstream, 50, 2)
    assert await sums.deploy(other) == "Held"
    assert await sums.deploy() == "Staged", "what somebody wrote since is not held off"


async def test_a_rollback_to_the_same_text_over_an_older_version_holds(
    deploy: Deploy, upstream: Versions, sums: Sums
) -> None:
    await running(deploy, upstream)
    await sums.deploy()
    await cut_over_upstream(deploy, upstream, 50, 2)
    await sums.deploy()
    upstream.finish()
    assert await sums.cut_over()
    after = sums.reads()
    await sums.run(rollout.roll_back, SUMS, version=None)
    assert sums.reads() != after
    assert await sums.deploy() == "Held"
    await sums.run(rollout.resume, SUMS)
    assert await sums.deploy() == "Updated"
    assert sums.reads() == after
    await sums.run(rollout.roll_back, SUMS, version=None)
    await deploy(chain(), generation=3)  # the other DAG goes back as well: nothing is to be held off
    assert await sums.deploy() == "Updated"
    assert (await sums.run(controller_facts.dag_facts, SUMS)).held_spec_hash is None


async def test_a_rollback_from_a_rollback_holds_over_an_older_version(
    deploy: Deploy, upstream: Versions, sums: Sums
) -> None:
    await running(deploy, upstream)
    await sums.deploy()
    upstream.finish()
    other = manifest(sql="SELECT block_number, gas_used + 1 AS gas FROM cold_blocks")
    await sums.deploy(other)
    upstream.finish()
    assert await sums.cut_over(other)
    before = sums.reads()
    await cut_over_upstream(deploy, upstream, 50, 2)
    await sums.deploy(other)
    upstream.finish()
    assert await sums.cut_over(other)
    for version in ("v1", "v2"):
        await sums.run(rollout.roll_back, SUMS, version=version)
        assert await sums.deploy(other) == "Held"
    assert sums.reads() == before


async def test_what_another_dag_reads_of_a_source_does_not_hold_that_up(
    deploy: Deploy, upstream: Versions, sums: Sums
) -> None:
    jobs = await running(deploy, upstream)
    await sums.deploy()
    upstream.finish()
    assert await sums.deploy(manifest(sql="SELECT block_number, gas_used + 1 AS gas FROM cold_blocks")) == "Staged"
    upstream.event(jobs["compact"], 9, partition=True)
    await sums.run(enqueue.missed_events, job_ids=[job.id for job in sums.last.jobs])
    assert upstream.tasks(sums.last.jobs[0].id) == ["Queued"]
    assert await sums.run(unfinished, job_id=jobs["compact"]) == {}


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

    async def facts(conn: Connection) -> Any:
        known_facts = await controller_facts.dag_facts(conn, SUMS)
        assert known_facts is not None
        hashes = [(job.name, job.config_hash) for job in wanted.jobs]
        known = await versions.generations(
            conn, SUMS, active=known_facts.active_version_id, staged=None, wanted=hashes
        )
        read = [UUID(edge.asset.version_id) for job in wanted.jobs for edge in job.inputs if edge.asset]
        sizes = await plans.sizes(conn, SUMS.org_id, [one.id for one in known], read)
        assert await plans.sizes(conn, uuid4(), [one.id for one in known], read) == [], "of another organisation"
        return known_facts.active_spec_hash, known, sizes

    active, known, sizes = await sums.run(facts)
    (planned,) = plan(wanted, known, sizes, active_spec_hash=active, calls={}).jobs
    assert (planned.action, planned.tasks, planned.exact) == ("Rebuild", 3, True)
    await sums.deploy()
    (job,) = sums.last.jobs
    assert upstream.tasks(job.id) == ["Queued"] * 3
    assert await sums.run(statements.reading_dags, CHAIN) == ["demo/sums"]
