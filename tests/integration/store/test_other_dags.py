"""What is done to a DAG is done to no other: not to one of its organisation, of its namespace, or of its name.

Each act runs twice, in a database with one DAG and in one with its like beside it. It must find the same in both
and write as many rows of every table.
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests import graphs, services
from tests.integration.store.crowd import DAG, OTHER, OTHERS, UID, Act, deploy, effect, looking, written
from traceplane.store.engine import Connection
from traceplane.store.statements import (
    asset_policies,
    browse_assets,
    browse_dags,
    controller_facts,
    lineage,
    pointers,
    publications,
    versions,
)
from traceplane.store.statements.pointers import DagKey, Resource
from traceplane.versions import deletion, pause, rollout
from traceplane.versions.asset_policies import Policies

pytestmark = pytest.mark.services

ORG = DAG.org_id
NAMED: dict[str, Any] = {"namespace": DAG.namespace, "dag": DAG.dag}
PLACE: dict[str, Any] = {"org_id": ORG, "namespace": DAG.namespace}
POLICY = asset_policies.Policy(name="blocks", resource_uid="a-2", storage="Postgres", read_roles=("audit",))


def scaled(manifest: dict[str, Any]) -> None:
    graphs.job(manifest, "compact")["scaling"] = {"minWorkers": 1, "maxWorkers": 3}


def fewer(manifest: dict[str, Any]) -> None:
    graphs.without(manifest, "compact")


def rebuilt(manifest: dict[str, Any]) -> None:
    graphs.job(manifest, "ranges")["config"]["rangeSize"] = 40


async def deploy_the_same(conn: Connection) -> list[str]:
    return [(await deploy(conn, generation=generation)).result for generation in (1, 2)]


async def deploy_another(conn: Connection) -> str:
    return (await deploy(conn, change=scaled, generation=2)).result


async def deploy_back_and_forth(conn: Connection) -> list[Any]:
    first = await deploy(conn)
    done = [await deploy(conn, change=change, generation=2) for change in (fewer, scaled, fewer)]
    back = await deploy(conn, generation=3)
    assert (done[2].version_id, back.version_id) == (done[0].version_id, first.version_id)
    return [one.result for one in (*done, back)]


async def delete_and_deploy_another(conn: Connection) -> str:
    await deletion.begin(conn, DAG, UID)
    return (await deploy(conn, change=rebuilt, uid="uid-2")).result


async def delete(conn: Connection) -> list[int]:
    begun = await deletion.begin(conn, DAG, UID)
    return [begun, await deletion.running(conn, DAG), await deletion.finish(conn, DAG, UID)]


async def pause_a_job(conn: Connection) -> list[bool]:
    return [await pause.set_paused(conn, DAG, job="ranges", paused=paused) for paused in (True, True)]


async def look_as_the_controller(conn: Connection) -> list[Any]:
    facts = await controller_facts.dag_facts(conn, DAG)
    assert facts is not None
    assert facts.active_version_id == (await pointers.lock(conn, DAG, Resource(UID, 1))).active_version_id
    assets = await controller_facts.asset_facts(conn, **PLACE, names=["hot-blocks", "cold-blocks"])
    return [[job.name for job in facts.jobs], len(facts.busy_workers), facts.active_spec_hash, sorted(assets)]


async def look_for_generations(conn: Connection) -> list[Any]:
    pointer = await pointers.lock(conn, DAG, Resource(UID, 1))
    wanted = await (await conn.execute("SELECT DISTINCT name, config_hash FROM jobs")).fetchall()
    asked = [(str(name), str(config_hash)) for name, config_hash in wanted]
    none: dict[str, Any] = {"active": None, "staged": None}
    found = [await versions.generations(conn, DAG, **none | {"active": id_}, wanted=asked) for id_ in (None, ORG)]
    active = await versions.generations(conn, DAG, **none | {"active": pointer.active_version_id}, wanted=[])
    staged = await versions.generations(conn, DAG, **none | {"staged": pointer.active_version_id}, wanted=[])
    numbers = await browse_dags.versions(conn, ORG, **NAMED, before=None, limit=100)
    return [
        *(len(some) for some in found),
        [(one.active, one.staged, one.built) for one in (*active, *staged)],
        [row["name"] for row in numbers],
    ]


async def stage_and_cut_over(conn: Connection) -> list[Any]:
    """A rebuild beside the running version, its cutover, and the way back."""
    staged = await deploy(conn, change=rebuilt, generation=2)
    await conn.execute(
        "UPDATE jobs SET provisioned_at = now() WHERE (org_id, namespace, dag) = (%s, %s, %s)",
        (ORG, DAG.namespace, DAG.dag),
    )
    await conn.execute(
        "UPDATE dag_current_versions SET ready_at = now() - interval '1 hour'"
        " WHERE (org_id, namespace, dag) = (%s, %s, %s)",
        (ORG, DAG.namespace, DAG.dag),
    )
    approved = await rollout.approve(conn, DAG, version=None)
    done = await rollout.cut_over(conn, DAG, staged.spec_hash, cutover="Manual", policies=Policies())
    back = await rollout.roll_back(conn, DAG, version=None)
    await rollout.resume(conn, DAG)
    return [staged.result, approved.name, done, back.name]


async def browse(conn: Connection) -> list[Any]:
    page: dict[str, Any] = {"before": None, "limit": 100}
    tasks = await browse_dags.tasks(conn, ORG, **NAMED, job=None, status=None, **page)
    dag = await browse_dags.dag(conn, ORG, **NAMED)
    assert dag is not None
    return [
        (dag["name"], dag["jobs"]),
        [job["name"] for job in await browse_dags.jobs(conn, ORG, **NAMED)],
        [task["job"] for task in tasks],
        len(await browse_dags.versions(conn, ORG, **NAMED, **page)),
    ]


async def browse_an_asset(conn: Connection) -> list[Any]:
    asset = await browse_assets.asset(conn, ORG, namespace=DAG.namespace, asset="cold-blocks", roles=[])
    assert asset is not None
    found = await browse_assets.versions(
        conn, ORG, dataset=asset["dataset"], current=asset["version"], before=None, limit=100
    )
    near = await lineage.lineage(conn, ORG, roots=[asset["version"]], roles=[], depth=9, limit=100)
    return [[version["active"] for version in found], [(one["asset"], one["distance"]) for one in near]]


async def look_at_policies(conn: Connection) -> dict[str, Any]:
    return await asset_policies.stored(conn, **PLACE, names=["blocks", "closed"])


async def change_policies(conn: Connection) -> list[Any]:
    return [
        sorted(await asset_policies.close(conn, **PLACE, policies=[POLICY])),
        sorted(await asset_policies.declare(conn, **PLACE, policies=[POLICY])),
        [await asset_policies.delete(conn, **PLACE, name="closed") for _ in range(2)],
    ]


ACTS: list[Act] = [
    deploy_the_same,
    deploy_another,
    deploy_back_and_forth,
    delete_and_deploy_another,
    delete,
    pause_a_job,
    look_as_the_controller,
    look_for_generations,
    stage_and_cut_over,
    browse,
    browse_an_asset,
    look_at_policies,
    change_policies,
]


@pytest.mark.parametrize("act", ACTS)
async def test_an_act_on_a_dag_is_the_same_with_its_like_beside_it(
    act: Act, alone_and_beside: tuple[services.Databases, services.Databases]
):
    effects = []
    for databases in alone_and_beside:
        async with looking(databases) as conn:
            effects.append(await effect(conn, act))
    alone, beside = effects
    assert beside == alone


async def test_what_was_deployed_before_is_published_as_it_was(beside: Connection):
    query = "SELECT org_id, namespace, dag, count(*) FROM asset_publications GROUP BY 1, 2, 3"
    published = {DagKey(*dag): count for *dag, count in await (await beside.execute(query)).fetchall()}
    assert published == dict.fromkeys((*OTHERS, DAG), 2)


async def test_a_spec_is_one_version_of_each_dag_that_has_it(beside: Connection):
    known = (await pointers.lock(beside, OTHER, Resource(UID, 1))).spec_hash
    assert known is not None
    first, second = [
        await versions.put_version(beside, DAG, version_id=uuid4(), spec_hash=known, written_hash=known, spec={})
        for _ in range(2)
    ]
    assert first == second
    owner = await beside.execute("SELECT dag FROM dag_versions WHERE id = %s", (first,))
    assert await owner.fetchall() == [(DAG.dag,)]


async def test_a_deploy_that_changes_how_jobs_run_does_not_write_the_jobs(beside: Connection):
    _, rows = await effect(beside, deploy_another)
    assert rows["dag_version_jobs"] == (0, 3)
    assert "jobs" not in rows


async def test_a_dag_is_not_deleted_with_another_resource_of_its_name(beside: Connection):
    before = await written(beside)
    assert not await deletion.begin(beside, DAG, "uid-0")
    assert not await deletion.finish(beside, DAG, "uid-0")
    assert await written(beside) == before


async def test_a_deploy_that_brings_nothing_new_writes_nothing(beside: Connection):
    before = await written(beside)
    await beside.execute("UPDATE outbox SET status = 'Pending'")
    await deploy(beside)
    again = await written(beside)
    await deploy(beside)
    assert await written(beside) == again
    assert {table for table, _ in (again - before)} == {"outbox"}, "the hot tables are asked for once"


async def test_a_version_takes_no_asset_from_another_dag(beside: Connection):
    async def published() -> list[Any]:
        query = "SELECT org_id, namespace, dag, asset, dataset_id FROM asset_publications ORDER BY 1, 2, 3, 4"
        return await (await beside.execute(query)).fetchall()

    before = await published()
    active = (await pointers.lock(beside, OTHER, Resource(UID, 1))).active_version_id
    assert active is not None
    claimed = "UPDATE dag_version_assets SET asset = 'hot-blocks' WHERE dag_version_id = %s AND asset LIKE 'hot%%'"
    await beside.execute(claimed, (active,))
    assert await publications.replace(beside, OTHER, active) == [("hot-blocks", "chain")]
    withdrawn = [row for row in before if row[2:4] == (OTHER.dag, "hot-blocks-of-also")]
    assert len(withdrawn) == 1
    assert await published() == [row for row in before if row not in withdrawn]


async def test_of_an_asset_that_is_deleted_its_own_policy_ends(beside: Connection):
    assert await asset_policies.delete(beside, **PLACE, name="closed")
    assert await controller_facts.known_assets(beside, **PLACE) == ("blocks",)
