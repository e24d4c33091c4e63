"""A deploy makes state agree with a graph: once, whole, and whoever else deploys at the same time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from tests import graphs, services
from tests.integration.store.conftest import BUCKET, Deploy
from tests.integration.store.watching import Statements
from tests.unit.graph import doubles
from traceplane import operator_registry
from traceplane.errors import Stale, TraceError
from traceplane.store.engine import Database
from traceplane.store.statements import browse_assets, controller_facts, generations
from traceplane.store.statements.asset_policies import Policy
from traceplane.versions import work
from traceplane.versions.asset_policies import Policies
from traceplane.versions.deploy import PublishedElsewhere
from traceplane.versions.limits import PrefixesTooLarge
from traceplane_sdk.operator import Operator

pytestmark = pytest.mark.services
Rows = Callable[..., list[tuple[Any, ...]]]


def marked(**marks: Any) -> dict[str, Operator]:
    """The operators, with marks on what the follower declares."""
    operators = operator_registry.load()
    follower = operators["block_follower"]

    def declare(*given: Any) -> Any:
        return {name: replace(schema, **marks) for name, schema in follower.declare_outputs(*given).items()}

    return {**operators, "block_follower": replace(follower, declare_outputs=declare)}


async def test_a_first_deploy_makes_everything_current(deploy: Deploy, rows: Rows):
    graph = graphs.assembled(graphs.chain())
    done = await deploy(graph)

    assert (done.result, done.spec_hash) == ("Created", graph.spec_hash)
    assert rows(
        "SELECT active_version_id, resource_uid, resource_generation, deleted_at FROM dag_current_versions"
    ) == [(done.version_id, "uid-1", 1, None)]
    assert {(name, hash_) for name, hash_ in rows("SELECT name, config_hash FROM jobs")} == {
        (job.name, job.config_hash) for job in graph.jobs
    }
    assert rows("SELECT asset FROM asset_publications ORDER BY asset") == [("cold-blocks",), ("hot-blocks",)]
    assert rows("SELECT spec FROM dag_versions") == [(dict(graph.spec),)]


async def test_each_dataset_version_has_a_place_of_its_own_and_only_tables_wait(deploy: Deploy, rows: Rows):
    await deploy(graphs.assembled(graphs.chain()))
    places = rows(
        "SELECT d.job, d.output, v.id, v.location, v.provisioned_at IS NULL FROM dataset_versions v"
        " JOIN datasets d ON d.id = v.dataset_id ORDER BY d.job, d.output"
    )
    for job, output, version, location, waits in places:
        if job == "compact":
            assert location == f"s3://{BUCKET}/{services.ORG_ID}/demo/chain/compact/{output}/{version}/"
        else:
            assert location == f"hot.d_{version.hex}"
        assert waits == (job != "compact")
    assert len(places) == 5
    wanted = rows("SELECT payload ->> 'dataset_version_id' FROM outbox WHERE kind = 'provision_hot_table'")
    assert sorted(wanted) == sorted((str(version),) for job, _, version, _, _ in places if job != "compact")
    assert rows("SELECT name FROM jobs WHERE provisioned_at IS NOT NULL") == [("compact",)]


async def test_inputs_are_tied_to_the_versions_their_producers_write(deploy: Deploy, rows: Rows):
    await deploy(graphs.assembled(graphs.chain()))
    assert rows(
        "SELECT j.name, i.position, p.name, d.output, i.is_trigger FROM job_inputs i JOIN jobs j ON j.id = i.job_id"
        " JOIN dataset_versions v ON v.id = i.dataset_version_id JOIN datasets d ON d.id = v.dataset_id"
        " JOIN jobs p ON p.id = v.job_id ORDER BY j.name, i.position"
    ) == [
        ("compact", 0, "ranges", "ranges", True),
        ("compact", 1, "follow", "blocks", False),
        ("ranges", 0, "follow", "blocks", True),
    ]


async def test_a_source_gets_one_task_without_an_end(deploy: Deploy, rows: Rows):
    await deploy(graphs.assembled(graphs.chain()))
    await deploy(graphs.assembled(graphs.chain()))
    assert rows("SELECT j.name, t.status, t.max_attempts, t.scope FROM tasks t JOIN jobs j ON j.id = t.job_id") == [
        ("follow", "Queued", None, {"kind": "source"})
    ]


async def test_a_job_that_could_never_write_is_refused_and_nothing_changes(
    deploy: Deploy, picture: Callable[[], Any]
):
    """The prefixes of nine long-named outputs are more than a session policy holds."""
    cold = doubles.operator("cool", declare_outputs=doubles.declare_cold)
    outputs = [f"{'o' * 60}_{n}" for n in range(9)]
    wide = doubles.derived("wide", "a", operator="cool", outputs=outputs)
    graph = doubles.assembled(doubles.source("a"), wide, operators=doubles.OPERATORS | {"cool": cold})
    before = picture()
    with pytest.raises(PrefixesTooLarge, match="job wide: 9 prefixes or more do not fit"):
        await deploy(graph)
    assert picture() == before


async def test_a_second_deploy_changes_nothing(deploy: Deploy, picture: Callable[[], Any]):
    graph = graphs.assembled(graphs.chain())
    first = await deploy(graph)
    before = picture()
    second = await deploy(graph)
    assert second.result == "Unchanged"
    assert (second.version_id, second.jobs) == (first.version_id, first.jobs)
    assert picture() == before


async def test_deploys_at_once_make_one_version(deploy: Deploy, rows: Rows):
    graph = graphs.assembled(graphs.chain())
    done = await asyncio.gather(*(deploy(graph) for _ in range(4)))
    assert sorted(deployment.result for deployment in done) == ["Created", *["Unchanged"] * 3]
    assert len({deployment.version_id for deployment in done}) == 1
    counts = rows(
        "SELECT (SELECT count(*) FROM dag_versions), (SELECT count(*) FROM jobs), (SELECT count(*) FROM tasks),"
        " (SELECT count(*) FROM dataset_versions), (SELECT count(*) FROM outbox WHERE kind = 'provision_hot_table')"
    )
    assert counts == [(1, 3, 1, 5, 4)]


async def test_a_deploy_cut_off_before_any_statement_leaves_nothing(
    deploy: Deploy, databases: services.Databases, picture: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
):
    """The server ends the session before the n-th statement and before the commit, for every n there is."""
    graph = graphs.assembled(graphs.chain())
    empty = picture()

    def end(pid: int) -> None:
        with psycopg.connect(databases.state_dsn, autocommit=True) as admin:
            assert admin.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,)).fetchone() == (True,)

    statements = Statements(monkeypatch, end)
    await deploy(graph)
    total = statements.count
    assert total >= 15
    with psycopg.connect(databases.state_dsn) as connection:
        connection.execute("TRUNCATE dag_versions, dag_current_versions, jobs, datasets, outbox, assets CASCADE")
    assert picture() == empty
    for cut_at in range(1, total + 2):
        statements.begin(cut_at)
        with pytest.raises(TraceError):
            await deploy(graph)
        assert picture() == empty, f"something is left of a deploy cut at statement {cut_at}"
    statements.begin()
    assert (await deploy(graph)).result == "Created"


async def test_scaling_and_tuning_keep_every_generation(deploy: Deploy, rows: Rows):
    first = await deploy(graphs.assembled(graphs.chain()))
    changed = graphs.chain()
    graphs.job(changed, "compact")["scaling"] = {"minWorkers": 1, "maxWorkers": 3}
    graphs.job(changed, "ranges")["timeoutSeconds"] = 77
    second = await deploy(graphs.assembled(changed), generation=2)

    assert second.result == "Updated"
    assert second.jobs == first.jobs
    assert second.version_id != first.version_id
    assert rows(
        "SELECT j.name, v.max_workers, v.timeout_seconds FROM dag_current_versions c"
        " JOIN dag_version_jobs v ON v.dag_version_id = c.active_version_id JOIN jobs j ON j.id = v.job_id"
        " WHERE j.name IN ('compact', 'ranges') ORDER BY j.name"
    ) == [("compact", 3, 1800), ("ranges", 0, 77)]
    assert rows("SELECT count(*) FROM tasks") == [(1,)]


async def test_what_a_source_leaves_unchecked_and_may_leave_empty_is_stored_and_rebuilds_nothing(
    deploy: Deploy, rows: Rows, state: Database
):
    first = await deploy(graphs.assembled(graphs.chain(), marked(sparse=True, unverified=("bloom", "gas sum"))))
    stored = "SELECT DISTINCT unverified, sparse FROM dataset_versions WHERE job_id = %s"
    job = first.jobs[0].id
    assert rows(stored, job) == [(["bloom", "gas sum"], True)]
    async with state.autocommit() as conn:
        follow, compact = [
            await generations.generation(conn, org_id=services.ORG_ID, job_id=first.jobs[n].id) for n in (0, 2)
        ]
    assert follow is not None
    assert compact is not None
    assert {output["sparse"] for output in follow.outputs} == {True}
    assert {given["name"]: given["sparse"] for given in compact.inputs} == {"ranges": False, "blocks": True}

    changed = graphs.chain()
    graphs.job(changed, "ranges")["timeoutSeconds"] = 77
    second = await deploy(graphs.assembled(changed, marked(unverified=("bloom",))), generation=2)
    assert second.jobs == first.jobs
    assert rows(stored, job) == [(["bloom"], False)]


async def test_what_is_not_checked_shows_on_the_assets_hot_and_cold(deploy: Deploy, state: Database):
    await deploy(graphs.assembled(graphs.chain(), marked(unverified=("gas sum", "bloom"))))
    org, names = services.ORG_ID, ["hot-blocks", "cold-blocks"]
    async with state.autocommit() as conn:
        facts = await controller_facts.asset_facts(conn, org_id=org, namespace="demo", names=names)
        seen = await browse_assets.asset(conn, org, namespace="demo", asset="cold-blocks", roles=[])
    assert [facts[name].unverified for name in names] == [["gas sum", "bloom"]] * 2
    assert seen is not None
    assert seen["unverified"] == ["bloom", "gas sum"]


async def test_waiting_tasks_follow_a_new_priority(deploy: Deploy, rows: Rows):
    await deploy(graphs.assembled(graphs.chain()))
    changed = graphs.chain()
    graphs.job(changed, "follow")["priority"] = "Bulk"
    await deploy(graphs.assembled(changed), generation=2)
    assert rows("SELECT priority FROM tasks") == [(1,)]


async def test_the_old_spec_is_the_old_version_again(deploy: Deploy, rows: Rows):
    first = await deploy(graphs.assembled(graphs.chain()))
    changed = graphs.chain()
    graphs.job(changed, "ranges")["timeoutSeconds"] = 77
    await deploy(graphs.assembled(changed), generation=2)
    third = await deploy(graphs.assembled(graphs.chain()), generation=3)
    assert (third.result, third.version_id) == ("Updated", first.version_id)
    assert rows("SELECT count(*) FROM dag_versions") == [(2,)]


async def test_an_older_view_of_the_resource_deploys_nothing(deploy: Deploy, picture: Callable[[], Any]):
    changed = graphs.chain()
    graphs.job(changed, "ranges")["timeoutSeconds"] = 77
    await deploy(graphs.assembled(changed), generation=2)
    before = picture()
    with pytest.raises(Stale):
        await deploy(graphs.assembled(graphs.chain()), generation=1)
    assert picture() == before


async def test_an_asset_has_one_producer(deploy: Deploy, picture: Callable[[], Any]):
    await deploy(graphs.assembled(graphs.chain()))
    before = picture()
    with pytest.raises(PublishedElsewhere, match=r"cold-blocks \(by DAG chain\), hot-blocks \(by DAG chain\)"):
        await deploy(graphs.assembled(graphs.chain("other")), uid="uid-2")
    assert picture() == before


async def test_a_publication_is_never_seen_without_its_declared_policy(
    deploy: Deploy, rows: Rows, monkeypatch: pytest.MonkeyPatch
):
    """The policies are written by the transaction that publishes: a crash after it finds them in force."""
    graph = graphs.assembled(graphs.chain())
    closed = Policy(name="hot-blocks", resource_uid="a", storage="Postgres", read_roles=("finance",))
    wrong = Policy(name="cold-blocks", resource_uid="b", storage="S3", read_roles=("audit",))
    policies = Policies(declared=(closed,), closing=(wrong,))
    seen = "SELECT name, read_roles FROM catalog.relations ORDER BY name"

    async def dies(*_: object, **__: object) -> None:
        raise RuntimeError("died before the commit")

    with monkeypatch.context() as dying:
        dying.setattr(work, "ensure", dies)
        with pytest.raises(RuntimeError):
            await deploy(graph, policies=policies)
    assert rows(seen) == []
    assert rows("SELECT name FROM assets") == []
    await deploy(graph, policies=policies)
    assert rows(seen) == [("cold-blocks", ["audit"]), ("hot-blocks", ["finance"])]


async def test_two_dags_that_claim_one_asset_at_once_do_not_both_get_it(deploy: Deploy, rows: Rows):
    names = ("a", "b", "c")
    done = await asyncio.gather(
        *(deploy(graphs.assembled(graphs.chain(name)), uid=name) for name in names), return_exceptions=True
    )
    assert sum(isinstance(outcome, PublishedElsewhere) for outcome in done) == 2
    assert len(rows("SELECT DISTINCT dag FROM asset_publications")) == 1
    assert len(rows("SELECT dag FROM dag_current_versions")) == 1


async def test_a_deploy_tells_listeners_when_it_is_visible(deploy: Deploy, databases: services.Databases):
    with psycopg.connect(databases.state_dsn, autocommit=True) as listener:
        listener.execute("LISTEN trace_deploy; LISTEN trace_wake")
        done = await deploy(graphs.assembled(graphs.chain()))
        await deploy(graphs.assembled(graphs.chain()))
        heard = [notice.payload for notice in listener.notifies(timeout=0.5)]
    assert heard == [str(done.jobs[0].id), "demo/chain"]


async def test_provisioning_that_was_given_up_is_asked_for_again(deploy: Deploy, rows: Rows):
    await deploy(graphs.assembled(graphs.chain()))
    rows(
        "UPDATE outbox SET status = 'Failed', finished_at = now() - interval '1 hour', attempts = 20"
        " WHERE kind = 'provision_hot_table'"
    )
    await deploy(graphs.assembled(graphs.chain()))
    assert rows("SELECT DISTINCT status, attempts FROM outbox WHERE kind = 'provision_hot_table'") == [
        ("Pending", 0)
    ]


async def test_concurrent_edits_end_in_the_newest_generation(deploy: Deploy, rows: Rows):
    """Controllers with different views of one DAG deploy in any order; the newest view wins."""

    def edited(seconds: int) -> Any:
        manifest = graphs.chain()
        graphs.job(manifest, "ranges")["timeoutSeconds"] = seconds
        return graphs.assembled(manifest)

    async def attempt(generation: int) -> None:
        with contextlib.suppress(Stale):
            await deploy(edited(100 + generation), generation=generation)

    await asyncio.gather(*(attempt(generation) for generation in (3, 1, 5, 2, 4)))
    assert rows(
        "SELECT c.resource_generation, v.timeout_seconds FROM dag_current_versions c JOIN dag_version_jobs v"
        " ON v.dag_version_id = c.active_version_id JOIN jobs j ON j.id = v.job_id AND j.name = 'ranges'"
    ) == [(5, 105)]
