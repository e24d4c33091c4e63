"""A changed DAG is built beside the running one, takes its place at once, and goes back as quickly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests import graphs
from tests.integration.store.conftest import Deploy
from tests.integration.store.rolling import Versions, chain, running
from traceplane.errors import NotFound
from traceplane.graph import Graph
from traceplane.versions import deletion, rollout
from traceplane.versions.asset_policies import Policies
from traceplane.versions.deploy import PublishedElsewhere
from traceplane.versions.readiness import Phase
from traceplane.versions.rollout import NotPossible

pytestmark = pytest.mark.services


async def test_a_rebuild_is_staged_beside_the_running_version_and_takes_up_what_there_is(
    deploy: Deploy, versions: Versions
) -> None:
    old = await running(deploy, versions)
    done = await deploy(chain(50), generation=2)
    assert (done.result, [str(rebuild) for rebuild in done.rebuilds]) == (
        "Staged",
        ["ranges (config.rangeSize 20 -> 50)", "compact (reads ranges)"],
    )
    facts = await versions.facts()
    assert (facts.active_name, facts.staged_name) == (
        f"v1-{chain().spec_hash[:8]}",
        f"v2-{chain(50).spec_hash[:8]}",
    )
    assert versions.ids(staged=False) == old
    new = versions.ids(staged=True)
    assert (new["follow"] == old["follow"], new["ranges"] == old["ranges"]) == (True, False)
    assert {job.name for job in facts.staged_jobs} == {"ranges", "compact"}
    # What upstream has is what the new generation misses: one task for the follower's furthest cursor.
    assert versions.tasks(new["ranges"]) == ["Queued"]
    assert versions.rows("SELECT count(DISTINCT location) FROM dataset_versions") == [(7,)]
    again = await deploy(chain(50), generation=2)
    assert (again.result, versions.ids(staged=True)) == ("Unchanged", new)


async def test_it_takes_over_once_it_has_caught_up_and_not_before(deploy: Deploy, versions: Versions) -> None:
    old = await running(deploy, versions)
    versions.rows(
        "INSERT INTO tasks (org_id, namespace, job_id, dedupe_key, cause, scope, max_attempts)"
        " SELECT org_id, namespace, id, 'x', 'Event', '{}', 3 FROM jobs WHERE name = 'compact'"
    )
    await deploy(chain(50), generation=2)
    new = versions.ids(staged=True)
    assert versions.tasks(new["ranges"]) == ["Queued"]
    versions.rows("UPDATE events SET created_at = now() - interval '1 minute'")
    assert (await versions.look()).phase is Phase.REBUILDING, "what there was to do before is to be done"
    assert not await versions.cut_over(chain(50))
    versions.rows("UPDATE tasks SET status = 'Completed', finished_at = now() WHERE job_id = %s", new["ranges"])
    assert (await versions.look()).message == "ranges: its tables are being made"
    versions.rows("UPDATE jobs SET provisioned_at = now()")
    assert not await versions.cut_over(chain(70)), "the spec has changed since"
    assert await versions.cut_over(chain(50))
    facts = await versions.facts()
    assert (facts.active_spec_hash, facts.staged_version_id) == (chain(50).spec_hash, None)
    assert versions.ids(staged=False) == new
    assert set(versions.tasks(old["compact"])) == {"Canceled"}
    assert not await versions.cut_over(chain(50)), "it was done before"
    assert (await deploy(chain(50), generation=2)).result == "Unchanged"


async def test_it_takes_over_only_when_every_look_for_a_while_found_it_ready(
    deploy: Deploy, versions: Versions
) -> None:
    """What a chain of rebuilt jobs hands on is young at the first look that finds nothing left."""
    await running(deploy, versions)
    await deploy(chain(50), generation=2)
    versions.finish()
    facts = await versions.facts()
    given = {"active": facts.active_version_id, "staged": facts.staged_version_id}
    swap = {"spec_hash": chain(50).spec_hash, "cutover": "Auto", "policies": Policies()}
    for _look in range(2):
        found = await versions.run(rollout.observe, **given)
        assert (found.phase, found.settled) == (Phase.READY, False)
    assert not await versions.run(rollout.cut_over, **swap)
    versions.rows("UPDATE dag_current_versions SET ready_at = now() - interval '9 s'")
    assert not await versions.run(rollout.cut_over, **swap)
    new = versions.ids(staged=True)
    versions.event(new["ranges"], 49, partition=True)
    versions.rows("UPDATE events SET created_at = now() - interval '1 minute'")
    await deploy(chain(50), generation=2)  # at the next look a partition that raced with the staging gets its task
    assert versions.tasks(new["compact"]) == ["Queued"]
    assert (await versions.run(rollout.observe, **given)).phase is Phase.REBUILDING
    versions.finish()
    await versions.run(rollout.observe, **given)
    assert not await versions.run(rollout.cut_over, **swap), "the while begins anew"
    versions.rows("UPDATE dag_current_versions SET ready_at = now() - interval '11 s'")
    assert (await versions.run(rollout.observe, **given)).settled
    assert await versions.run(rollout.cut_over, **swap)


async def test_an_event_that_raced_with_a_swap_is_taken_up_and_work_of_what_was_left_is_not(
    deploy: Deploy, versions: Versions
) -> None:
    old = await running(deploy, versions)
    await deploy(chain(50), generation=2)
    versions.finish()
    await versions.cut_over(chain(50))
    await deploy(chain(), generation=3)
    versions.event(old["ranges"], 39, partition=True)  # accepted by a transaction that did not see the swap
    new = dict(versions.rows("SELECT name, id FROM jobs WHERE id <> ALL(%s)", list(old.values())))
    versions.rows(
        "INSERT INTO tasks (org_id, namespace, job_id, dedupe_key, cause, scope, max_attempts)"
        " SELECT org_id, namespace, id, 'late', 'Event', '{}', 3 FROM jobs WHERE id = %s",
        new["compact"],
    )
    before = versions.tasks(old["compact"])
    assert (await deploy(chain(), generation=3)).result == "Unchanged"
    assert len(versions.tasks(old["compact"])) == len(before) + 1
    assert versions.tasks(new["compact"])[-1] == "Canceled"
    await deploy(chain(), generation=3)
    assert len(versions.tasks(old["compact"])) == len(before) + 1


async def test_what_changes_no_output_holds_with_its_version_and_with_no_other(
    deploy: Deploy, versions: Versions
) -> None:
    """The pool that a source reads is no part of what it makes; but each version has its own."""

    def pooled(pool: str, size: int = 20) -> Graph:
        manifest = graphs.chain()
        graphs.job(manifest, "follow")["config"]["rpcPool"] = pool
        graphs.job(manifest, "ranges")["config"]["rangeSize"] = size
        return graphs.assembled(manifest)

    def pool() -> Any:
        return versions.rows("SELECT definition -> 'config' ->> 'rpcPool' FROM jobs WHERE name = 'follow'")

    await deploy(pooled("a"))
    assert (await deploy(pooled("b"), generation=2)).result == "Updated"
    assert pool() == [("b",)]
    await versions.run(rollout.roll_back, version=None)
    assert pool() == [("a",)]
    assert (await deploy(pooled("c", 50), generation=3)).result == "Staged"
    assert pool() == [("a",)], "what runs is as the active version says"
    versions.finish()
    await versions.cut_over(pooled("c", 50))
    assert pool() == [("c",)]
    await deploy(pooled("a"), generation=4)
    assert pool() == [("a",)]


async def test_a_rebuild_that_failed_changes_nothing_until_it_is_mended(deploy: Deploy, versions: Versions) -> None:
    old = await running(deploy, versions)
    await deploy(chain(50), generation=2)
    error = """'{"code": "Broken", "message": "no such column"}'"""
    versions.finish(status="'Failed'", attempt="3", error=error)
    found = await versions.look()
    assert (found.phase, found.message) == (
        Phase.FAILED,
        "ranges: 1 tasks failed for good, the last with Broken: no such column",
    )
    assert not await versions.cut_over(chain(50))
    assert versions.ids(staged=False) == old
    # The old spec again: nothing is staged any more, and the broken generation is not taken for built later.
    assert (await deploy(chain(), generation=3)).result == "Updated"
    assert (await versions.facts()).staged_version_id is None
    assert (await deploy(chain(50), generation=4)).result == "Staged"


async def test_the_old_spec_swaps_back_at_once_and_catches_up(deploy: Deploy, versions: Versions) -> None:
    old = await running(deploy, versions)
    await deploy(chain(50), generation=2)
    versions.finish()
    assert await versions.cut_over(chain(50))
    versions.event(old["follow"], 150)
    back = await deploy(chain(), generation=3)
    assert back.result == "Updated"
    facts = await versions.facts()
    assert (facts.active_name, facts.catching_up) == (f"v1-{chain().spec_hash[:8]}", True)
    assert versions.ids(staged=False) == old
    assert versions.tasks(old["ranges"])[-1] == "Queued", "the furthest event that it missed"
    versions.finish()
    assert not (await versions.facts()).catching_up
    # And forward again: what was built once needs no second rebuild.
    assert (await deploy(chain(50), generation=4)).result == "Updated"


async def test_a_generation_that_comes_back_takes_up_what_was_canceled_and_what_is_new(
    deploy: Deploy, versions: Versions
) -> None:
    """And not what was announced long before it was left: while it ran, each of those made its task."""
    old = await running(deploy, versions)
    known = "SELECT e.partition_key, t.status FROM tasks t JOIN events e ON e.id = t.event_id WHERE t.job_id = %s"

    def tasks() -> dict[str, str]:
        return dict(versions.rows(known, old["compact"]))

    versions.event(old["ranges"], 29, partition=True)  # like the one of 10-19, it has no task yet
    await deploy(chain(), generation=2)
    assert tasks() == {"10-19": "Queued", "20-29": "Queued"}
    versions.rows(
        "UPDATE tasks SET status = 'Completed', finished_at = now() WHERE job_id = %s AND range_start = 10",
        old["compact"],
    )
    await deploy(chain(50), generation=3)
    versions.finish()
    versions.rows(
        "UPDATE tasks SET status = 'Queued', finished_at = NULL WHERE job_id = %s AND range_start = 20",
        old["compact"],
    )
    assert await versions.cut_over(chain(50))
    assert tasks() == {"10-19": "Completed", "20-29": "Canceled"}
    versions.rows("UPDATE events SET created_at = now() - interval '1 hour'")
    for end, age in ((39, "11 minutes"), (49, "9 minutes"), (59, "0 s")):
        versions.event(old["ranges"], end, partition=True)
        versions.rows(f"UPDATE events SET created_at = now() - interval '{age}' WHERE range_end = {end}")
    await deploy(chain(), generation=4)
    assert tasks() == {"10-19": "Completed", "20-29": "Queued", "40-49": "Queued", "50-59": "Queued"}


async def test_another_edit_takes_the_place_of_what_was_staged(deploy: Deploy, versions: Versions) -> None:
    old = await running(deploy, versions)
    await deploy(chain(50), generation=2)
    first = versions.ids(staged=True)
    await deploy(chain(70), generation=3)
    second = versions.ids(staged=True)
    assert versions.tasks(first["ranges"]) == ["Canceled"]
    assert versions.tasks(second["ranges"]) == ["Queued"]
    assert versions.ids(staged=False) == old
    await deploy(chain(50), generation=4)
    assert versions.ids(staged=True) == first
    assert versions.tasks(first["ranges"]) == ["Queued"]
    assert [number for (number,) in versions.rows("SELECT number FROM dag_versions ORDER BY number")] == [1, 2, 3]


async def test_a_manual_cutover_waits_for_the_approval_of_this_very_version(
    deploy: Deploy, versions: Versions
) -> None:
    await running(deploy, versions)
    manual = chain(50, cutover="Manual")
    await deploy(manual, generation=2)
    versions.finish()
    assert (await versions.look()).phase is Phase.READY
    assert not await versions.cut_over(manual)
    with pytest.raises(NotPossible, match="version: v1 is not staged; the staged version of DAG chain is v2-"):
        await versions.run(rollout.approve, version="v1")
    assert (await versions.run(rollout.approve, version="v2")).number == 2
    assert (await versions.facts()).approved
    # Another edit needs another approval.
    other = chain(70, cutover="Manual")
    await deploy(other, generation=3)
    versions.finish()
    assert not await versions.cut_over(other)
    await versions.run(rollout.approve, version=None)
    assert await versions.cut_over(other)
    with pytest.raises(NotPossible, match="there is nothing to approve"):
        await versions.run(rollout.approve, version=None)


async def test_a_rollback_holds_the_spec_off_until_it_changes(deploy: Deploy, versions: Versions) -> None:
    old = await running(deploy, versions)
    with pytest.raises(NotPossible, match="there is none to roll back to"):
        await versions.run(rollout.roll_back, version=None)
    await deploy(chain(50), generation=2)
    with pytest.raises(NotPossible, match="was never active"):
        await versions.run(rollout.roll_back, version="v2")
    versions.finish()
    await versions.cut_over(chain(50))
    assert (await versions.run(rollout.roll_back, version=None)).number == 1
    assert versions.ids(staged=False) == old
    assert (await deploy(chain(50), generation=2)).result == "Held"
    assert (await versions.facts()).held_spec_hash == chain(50).spec_hash
    with pytest.raises(NotPossible, match="is the active one"):
        await versions.run(rollout.roll_back, version="v1")
    with pytest.raises(NotFound, match="has no version 'v9'"):
        await versions.run(rollout.roll_back, version="v9")
    await versions.run(rollout.resume)
    assert (await deploy(chain(50), generation=2)).result == "Updated"
    with pytest.raises(NotPossible, match="was not rolled back"):
        await versions.run(rollout.resume)

    await versions.run(rollout.roll_back, version="v1")
    assert (await deploy(chain(70), generation=3)).result == "Staged", (
        "a spec that is neither is no longer held off"
    )
    assert (await versions.facts()).held_spec_hash is None


async def test_a_rollback_beside_a_rebuild_ends_it(deploy: Deploy, versions: Versions) -> None:
    old = await running(deploy, versions)
    await deploy(chain(50), generation=2)
    versions.finish()
    await versions.cut_over(chain(50))
    await deploy(chain(70), generation=3)
    staged = versions.ids(staged=True)
    await versions.run(rollout.roll_back, version="v1")
    assert versions.ids(staged=False) == old
    assert set(versions.tasks(staged["ranges"])) == {"Canceled"}
    assert (await deploy(chain(70), generation=3)).result == "Held"


async def test_a_name_that_another_dag_publishes_is_refused_before_anything_is_built(
    deploy: Deploy, versions: Versions, picture: Callable[[], Any]
) -> None:
    await running(deploy, versions)
    other = graphs.chain()
    other["metadata"]["name"] = "other"
    other["spec"]["publish"] = [{"asset": "taken", "from": {"job": "follow", "output": "blocks"}}]
    await deploy(graphs.assembled(other), uid="uid-2")
    before = picture()
    manifest = graphs.chain()
    graphs.job(manifest, "ranges")["config"]["rangeSize"] = 50
    manifest["spec"]["publish"].append({"asset": "taken", "from": {"job": "follow", "output": "blocks"}})
    with pytest.raises(PublishedElsewhere, match=r"taken \(by DAG other\)"):
        await deploy(graphs.assembled(manifest), generation=2)
    assert picture() == before


async def test_a_dag_that_is_deleted_while_it_is_rebuilt_leaves_no_work(deploy: Deploy, versions: Versions) -> None:
    await running(deploy, versions)
    await deploy(chain(50), generation=2)
    assert await versions.run(deletion.begin, resource_uid="uid-1")
    assert versions.rows("SELECT DISTINCT status FROM tasks") == [("Canceled",)]
    assert not await versions.cut_over(chain(50))
    with pytest.raises(NotFound):
        await versions.run(rollout.roll_back, version=None)
    assert (await deploy(chain(50), uid="uid-3")).result == "Created"
