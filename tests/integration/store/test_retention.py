"""Former versions go as the Assets say, and never what collecting garbage would not take."""

from __future__ import annotations

import random
from collections.abc import Mapping
from uuid import UUID

import pytest

from tests import services
from tests.integration.store.conftest import Deploy
from tests.integration.store.rolling import Versions, chain, running
from tests.support.seeds import seeds
from traceplane.errors import NotFound
from traceplane.store.engine import Database
from traceplane.store.statements import asset_policies
from traceplane.store.statements.asset_policies import Policy
from traceplane.versions import gc, rollout
from traceplane.versions.gc import Purged
from traceplane.versions.rollout import NotPossible

pytestmark = pytest.mark.services

HOUR = 3600


async def says(state: Database, asset: str, retention: Mapping[str, int] | None) -> None:
    """An Asset with this `spec.retention`."""
    policy = {"retention": dict(retention)} if retention is not None else {}
    declared = Policy(name=asset, resource_uid="uid", storage="S3", policy=policy)
    async with state.transaction() as conn:
        await asset_policies.declare(conn, org_id=services.ORG_ID, namespace="demo", policies=[declared])


async def enforce(versions: Versions) -> list[Purged]:
    found: list[Purged] = await versions.run(gc.enforce, delay_seconds=330.0)
    return found


async def change(deploy: Deploy, versions: Versions, size: int, generation: int) -> dict[str, UUID]:
    await deploy(chain(size), generation=generation)
    versions.finish()
    await versions.cut_over(chain(size))
    return versions.ids(staged=False)


async def test_a_former_version_goes_with_what_it_alone_reads_and_is_no_way_back(
    state: Database, deploy: Deploy, versions: Versions
) -> None:
    first = await running(deploy, versions)
    await change(deploy, versions, 50, 2)
    await change(deploy, versions, 70, 3)
    assert await enforce(versions) == [], "by default everything stays"
    await says(state, "cold-blocks", {"versions": 2})
    done = await enforce(versions)
    assert {(one.output.job_id, one.kept) for one in done} == {(first["ranges"], None), (first["compact"], None)}
    assert await enforce(versions) == []
    with pytest.raises(
        NotPossible, match=r"the data of v1-\w+ of DAG chain was purged; apply its definition again"
    ):
        await versions.run(rollout.roll_back, version="v1")
    asked = versions.rows("SELECT count(*) FROM outbox WHERE kind IN ('drop_hot_table', 'delete_prefix')")
    assert asked == [(2,)]
    await versions.forget()
    # Applied again it is built anew, and may be gone back to again.
    await deploy(chain(), generation=4)
    assert versions.rows("SELECT purged_at FROM dag_versions WHERE number = 1") == [(None,)]
    versions.finish()
    assert await versions.cut_over(chain())


async def test_an_asset_that_keeps_all_or_is_gone_lets_nothing_go(
    state: Database, deploy: Deploy, versions: Versions
) -> None:
    await running(deploy, versions)
    await change(deploy, versions, 50, 2)
    await says(state, "cold-blocks", {"versions": 1})
    versions.rows(
        "INSERT INTO asset_publications (org_id, namespace, asset, dag, dataset_id)"
        " SELECT org_id, namespace, 'also-cold', dag, dataset_id FROM asset_publications"
        " WHERE asset = 'cold-blocks'"
    )
    assert await enforce(versions) == [], "the other name keeps everything"
    versions.rows("DELETE FROM asset_publications WHERE asset = 'also-cold'")
    async with state.transaction() as conn:
        await asset_policies.delete(conn, org_id=services.ORG_ID, namespace="demo", name="cold-blocks")
    assert await enforce(versions) == [], "nobody says so any more"
    await says(state, "cold-blocks", {"versions": 1})
    assert [one.kept for one in await enforce(versions)] == [None, None]


async def test_the_only_copy_of_rows_stays_whatever_the_asset_says(
    state: Database, deploy: Deploy, versions: Versions
) -> None:
    first = await running(deploy, versions)
    versions.rows(
        "INSERT INTO relocations (hot_version_id, cold_version_id, org_id, ranges) SELECT h.id, c.id, h.org_id,"
        " '{[0,20)}' FROM dataset_versions h, dataset_versions c WHERE h.job_id = %s AND c.job_id = %s",
        first["follow"],
        first["compact"],
    )
    await change(deploy, versions, 50, 2)
    await says(state, "cold-blocks", {"versions": 1})
    (why,) = {one.kept for one in await enforce(versions)}
    assert why is not None
    assert why.startswith("compact.blocks holds the only copy of rows 0 to 19 of a hot table")
    assert versions.rows("SELECT count(*) FROM jobs WHERE purged_at IS NOT NULL") == [(0,)]


class Model:
    """What is there by the rules, told in another way: sizes of ranges stand for versions, hours for time."""

    def __init__(self, size: int) -> None:
        self.clock = 0
        self.active, self.staged = size, None
        self.built, self.left = {size}, {}
        self.there = {size}

    def observe(self, active: int, staged: int | None) -> None:
        """The pointers as they are now."""
        running = {active, staged} - {None}
        for size in {self.active, self.staged} - {None} - running:
            self.left[size] = self.clock
        self.active, self.staged = active, staged
        self.built.add(active)
        self.there |= running

    def purge(self, policy: Mapping[str, int] | None) -> None:
        """A look with the policy."""
        if policy is None:
            return
        before = [size for size in self.there if size not in (self.active, self.staged)]
        counted = sorted((size for size in before if size in self.built), key=lambda size: -self.left[size])
        newest = counted[: max(policy.get("versions", 0) - 1, 0)]
        young = [size for size in before if (self.clock - self.left[size]) * HOUR < policy.get("age_seconds", 0)]
        purged = set(before) - set(newest) - set(young)
        self.there -= purged
        self.built -= purged


@pytest.mark.parametrize("seed", seeds(2, 8))
async def test_through_any_changes_what_is_there_is_what_the_rules_say(
    state: Database, deploy: Deploy, versions: Versions, seed: int
) -> None:
    draw = random.Random(seed)
    await running(deploy, versions)
    model, size, policy = Model(20), 20, None
    sizes = (
        "SELECT (r.definition -> 'config' ->> 'rangeSize')::int FROM jobs r"
        " WHERE r.name = 'ranges' AND r.purged_at IS NULL"
    )
    of = (
        "SELECT (j.definition -> 'config' ->> 'rangeSize')::int FROM dag_current_versions c JOIN dag_version_jobs m"
        " ON m.dag_version_id = c.{}_version_id JOIN jobs j ON j.id = m.job_id WHERE j.name = 'ranges'"
    )
    for generation in range(2, 45):
        act = draw.choice(("edit", "edit", "finish", "finish", "rollback", "time", "policy", "look", "look"))
        if act == "edit":
            size = draw.choice((20, 30, 40, 50, 60))
            await deploy(chain(size), generation=generation)
        elif act == "finish":
            versions.finish()
            await versions.cut_over(chain(size))
        elif act == "rollback":
            target = draw.choice((None, 20, 30, 40))
            others = model.built - {model.active}
            possible = bool(others) if target is None else target in others
            try:
                await versions.run(rollout.roll_back, version=None if target is None else name(versions, target))
            except (NotPossible, NotFound):
                assert not possible, target
            else:
                assert possible, target
        elif act == "time":
            hours = draw.choice((1, 5))
            model.clock += hours
            versions.rows("UPDATE dag_versions SET left_at = left_at - make_interval(hours => %s)", hours)
        elif act == "policy":
            kinds = (
                {"versions": 1},
                {"versions": 2},
                {"age_seconds": 4 * HOUR},
                {"versions": 2, "age_seconds": 7 * HOUR},
            )
            policy = draw.choice((*kinds, None))
            await says(state, "cold-blocks", policy)
        else:
            await enforce(versions)
            model.purge(policy)
            if draw.random() < 0.7:
                await versions.forget(limit=draw.choice((1, 3, 500)), calls=draw.choice((1, 4, 100)))
        # A step of time of its own, so that no two leave at once.
        versions.rows("UPDATE dag_versions SET left_at = left_at - interval '1 second'")
        ((active,),) = versions.rows(of.format("active"))
        staged = versions.rows(of.format("staged"))
        model.observe(active, staged[0][0] if staged else None)
        assert {one for (one,) in versions.rows(sizes)} == model.there, (generation, act, policy)
        whole = versions.rows(
            "SELECT count(*) FROM dag_versions WHERE activated_at IS NOT NULL AND purged_at IS NOT NULL"
        )
        assert whole == [(0,)]


def name(versions: Versions, size: int) -> str:
    found = versions.rows(
        "SELECT 'v' || number FROM dag_versions WHERE spec::text LIKE %s", f'%"rangeSize": {size}%'
    )
    return str(found[0][0]) if found else "v999"
