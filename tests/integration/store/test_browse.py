"""What users and the controller find: nothing of what is deleted, of another organisation, or closed to them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.store.crowd import DAG, OTHER, UID
from tests.support.deploying import NEIGHBOUR
from traceplane.store.engine import Connection
from traceplane.store.statements import asset_policies, browse_assets, browse_dags, controller_facts, lineage
from traceplane.versions import deletion

pytestmark = pytest.mark.services

ORG = DAG.org_id
NAMED: dict[str, Any] = {"namespace": DAG.namespace, "dag": DAG.dag}
PLACE: dict[str, Any] = {"org_id": ORG, "namespace": DAG.namespace}


async def test_a_deleted_dag_is_listed_nowhere(beside: Connection):
    async def listed() -> list[tuple[str, str]]:
        rows = await browse_dags.dags(beside, ORG, namespace=None, after=("", ""), limit=10)
        return [(row["namespace"], row["name"]) for row in rows]

    async def known() -> list[str]:
        return sorted(name for name, _ in await controller_facts.known_dags(beside, **PLACE))

    assert await listed() == [("aside", "chain"), ("demo", "also"), ("demo", "chain")]
    assert await known() == ["also", "chain"]
    await deletion.begin(beside, DAG, UID)
    assert await listed() == [("aside", "chain"), ("demo", "also")]
    assert await known() == ["also"]
    assert await browse_dags.dag(beside, ORG, **NAMED) is None
    assert await browse_dags.jobs(beside, ORG, **NAMED) == []
    # Another name differs from it in nothing but that it is not deleted.
    assert len(await browse_dags.jobs(beside, ORG, namespace="demo", dag=OTHER.dag)) == 3


async def test_a_published_asset_that_nobody_declares_any_more_is_shown_without_its_description(beside: Connection):
    declared = asset_policies.Policy(
        name="hot-blocks", resource_uid="a-3", storage="Postgres", description="All blocks", read_roles=("audit",)
    )

    async def seen(roles: list[str]) -> str | None:
        found = await browse_assets.asset(beside, ORG, namespace=DAG.namespace, asset=declared.name, roles=roles)
        return None if found is None else str(found["description"])

    assert await asset_policies.declare(beside, **PLACE, policies=[declared])
    assert await seen(["audit"]) == "All blocks"
    assert await asset_policies.delete(beside, **PLACE, name=declared.name)
    assert await seen(["audit"]) == ""
    assert await seen([]) is None, "its roles stay in force"


@pytest.mark.parametrize(("half", "storage"), [("hot-blocks", "Postgres"), ("cold-blocks", "S3")])
async def test_an_asset_is_shown_to_who_may_read_all_of_it(half: str, storage: str, beside: Connection):
    async def shown(name: str, roles: list[str]) -> bool:
        found = await browse_assets.asset(beside, ORG, namespace=DAG.namespace, asset=name, roles=roles)
        return found is not None

    async def named(roles: list[str]) -> set[str | None]:
        found = await browse_assets.asset(beside, ORG, namespace=DAG.namespace, asset="blocks", roles=["audit"])
        assert found is not None
        roots = [found["version"], found["cold_version"]]
        near = await lineage.lineage(beside, ORG, roots=roots, roles=roles, depth=9, limit=100)
        return {one["asset"] for one in near}

    assert await shown("blocks", [])
    closed = asset_policies.Policy(name=half, resource_uid="a-4", storage=storage, read_roles=("audit",))
    await asset_policies.declare(beside, **PLACE, policies=[closed])
    for name in ("blocks", half):
        assert [await shown(name, roles) for roles in ([], ["reader"], ["audit"])] == [False, False, True]
    assert await named(["audit"]) - await named([]) == {half}


async def test_a_task_and_an_asset_of_another_organisation_are_not_there(beside: Connection):
    tasks = await (await beside.execute("SELECT id, org_id FROM tasks")).fetchall()
    found = [task for task, _ in tasks if await browse_dags.task(beside, ORG, task_id=task) is not None]
    assert found == [task for task, org in tasks if org == ORG]
    assets = await browse_assets.assets(beside, ORG, namespace="demo", roles=["finance"], after=("", ""), limit=99)
    names = ["blocks", "closed", "cold-blocks", "cold-blocks-of-also", "hot-blocks", "hot-blocks-of-also"]
    assert [asset["name"] for asset in assets] == names
    assert sorted(await controller_facts.known_assets(beside, **PLACE)) == ["blocks", "closed"]


async def test_an_id_of_another_organisation_leads_nowhere(beside: Connection):
    theirs = await browse_assets.asset(
        beside, NEIGHBOUR, namespace=DAG.namespace, asset="cold-blocks", roles=["finance"]
    )
    assert theirs is not None
    version, dataset = theirs["version"], theirs["dataset"]
    await beside.execute(
        "INSERT INTO partition_versions (org_id, dataset_id, dataset_version_id, partition_key, range_start,"
        " range_end, location, files, rows, bytes, manifest_sha256, task_id, attempt)"
        " SELECT org_id, dataset_id, id, '0-19', 0, 19, location, '[]', 1, 1, '', gen_random_uuid(), 1"
        " FROM dataset_versions WHERE id = %s",
        (version,),
    )

    async def found(org: Any) -> list[int]:
        page: dict[str, Any] = {"limit": 9}
        progress = await browse_assets.progress(beside, org, version=None, cold_version=version)
        return [
            progress["partitions"],
            len(await browse_assets.versions(beside, org, dataset=dataset, current=version, before=None, **page)),
            len(await browse_assets.partitions(beside, org, version=version, after=None, **page)),
            len(await lineage.lineage(beside, org, roots=[version], roles=[], depth=0, **page)),
        ]

    assert await found(NEIGHBOUR) == [1, 1, 1, 1]
    assert await found(ORG) == [0, 0, 0, 0]


async def test_each_organisation_has_its_own_asset_of_a_name(beside: Connection):
    versions = []
    for org in (ORG, NEIGHBOUR):
        facts = await controller_facts.asset_facts(
            beside, org_id=org, namespace=DAG.namespace, names=["hot-blocks"]
        )
        seen = await browse_assets.asset(beside, org, namespace=DAG.namespace, asset="hot-blocks", roles=[])
        assert seen is not None
        assert facts["hot-blocks"].dataset_version_id == seen["version"]
        versions.append(seen["version"])
    assert len(set(versions)) == 2
