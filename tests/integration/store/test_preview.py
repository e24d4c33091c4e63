"""A staged version is built over a sample range first, and over the rest when that is taken away."""

from __future__ import annotations

import random
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests import graphs, services
from tests.integration.store.conftest import Deploy
from tests.integration.store.rolling import Versions, chain, running
from traceplane.graph import Graph
from traceplane.store.engine import Database
from traceplane.store.statements import claims, events, leases
from traceplane.store.statements.claims import Claimant
from traceplane.versions import rollout
from traceplane.versions.readiness import Phase

pytestmark = pytest.mark.services


def sample(start: int, end: int) -> dict[str, Any]:
    return {"range": {"start": start, "end": end}}


def again(token: str = "again", preview: tuple[int, int] | None = None, cutover: str = "Auto") -> Graph:
    """The chain with its compaction made anew, so that the ranges that are there are its partitions."""
    manifest = graphs.chain()
    graphs.job(manifest, "compact")["rebuildToken"] = token
    manifest["spec"]["rollout"] = {"cutover": cutover} | ({"preview": sample(*preview)} if preview else {})
    return graphs.assembled(manifest)


def wanted(versions: Versions, job: UUID) -> list[int]:
    """Where the partitions of a generation's tasks begin, but for those that were canceled."""
    found = "SELECT range_start FROM tasks WHERE job_id = %s AND status <> 'Canceled' ORDER BY 1"
    return [start for (start,) in versions.rows(found, job)]


def announce(versions: Versions, job: UUID, first: int, last: int) -> None:
    """Partitions of ten values, which nobody was told of yet."""
    for end in range(first + 9, last + 1, 10):
        versions.event(job, end, partition=True)


async def accept(state: Database, versions: Versions, job: UUID, end: int) -> None:
    """A partition of ten values is announced while everything runs."""
    ((version,),) = versions.rows("SELECT id FROM dataset_versions WHERE job_id = %s", job)
    event = {"id": str(uuid4()), "version": str(version), "key": f"{end - 9}-{end}", "start": end - 9, "end": end}
    async with state.transaction() as conn:
        await events.relay(conn, events=[event], invalidations=[])


async def test_partitions_that_touch_the_range_are_made_and_the_rest_when_it_is_widened_or_removed(
    deploy: Deploy, versions: Versions, state: Database
) -> None:
    old = await running(deploy, versions)
    announce(versions, old["ranges"], 20, 99)
    assert (await deploy(again(preview=(25, 44)), generation=2)).result == "Staged"
    new = versions.ids(staged=True)["compact"]
    assert wanted(versions, new) == [20, 30, 40]
    await accept(state, versions, old["ranges"], 109)
    await accept(state, versions, old["ranges"], 34)
    assert wanted(versions, new) == [20, 25, 30, 40], "what is announced meanwhile is bounded alike"
    assert 100 in wanted(versions, old["compact"]), "and the version that serves is not"

    assert (await deploy(again(preview=(25, 44)), generation=2)).result == "Unchanged"
    assert (await deploy(again(preview=(25, 64)), generation=3)).result == "Preview"
    assert wanted(versions, new) == [20, 25, 30, 40, 50, 60]
    assert (await deploy(again(preview=(45, 49)), generation=4)).result == "Preview"
    assert wanted(versions, new) == [40], "what waits outside of a smaller range is not made"
    assert (await deploy(again(), generation=5)).result == "Preview"
    assert wanted(versions, new) == [10, 20, 25, *range(30, 110, 10)]
    assert (await deploy(again(), generation=5)).result == "Unchanged"
    assert versions.rows("SELECT count(*) FROM dag_versions") == [(2,)], "a range makes no version"
    assert versions.ids(staged=True)["compact"] == new


@pytest.mark.parametrize("cutover", ["Auto", "Manual"])
async def test_it_takes_over_only_without_the_range_and_whole(
    deploy: Deploy, versions: Versions, cutover: str
) -> None:
    old = await running(deploy, versions)
    announce(versions, old["ranges"], 20, 99)
    await deploy(limited := again(preview=(20, 39), cutover=cutover), generation=2)
    await versions.run(rollout.approve, version=None)
    versions.rows("UPDATE jobs SET provisioned_at = now()")
    look = await versions.look()
    assert (look.phase, look.preview, look.message) == (
        Phase.REBUILDING,
        (20, 39),
        "compact: 0 of 2 tasks are done",
    )
    versions.finish()
    assert (await versions.look()).phase is Phase.PREVIEW
    assert not await versions.cut_over(limited)
    whole = again(cutover=cutover)
    assert whole.spec_hash == limited.spec_hash
    assert not await versions.cut_over(whole), "what is built decides, not which spec the caller has read"
    await deploy(whole, generation=3)
    versions.rows("UPDATE events SET created_at = now() - interval '1 minute'")
    assert (await versions.look()).message == "compact: 2 of 9 tasks are done"
    assert not await versions.cut_over(whole)
    versions.finish()
    assert await versions.cut_over(whole)
    assert versions.ids(staged=False)["compact"] != old["compact"]


async def claim(state: Database, job: UUID) -> claims.Claimed | None:
    newest = {"claimants": [Claimant(uuid4(), "w", 1)], "alone": True, "newest": True}
    async with state.autocommit() as conn:
        return await claims.claim(conn, org_id=services.ORG_ID, job_id=job, **newest)


async def test_a_run_past_a_cursor_ends_with_the_range_and_goes_on_from_there_afterwards(
    deploy: Deploy, versions: Versions, state: Database
) -> None:
    """Though nothing new is announced that would wake it."""
    old = await running(deploy, versions)
    ((blocks, *_),) = versions.rows(
        "SELECT i.dataset_version_id FROM job_inputs i WHERE i.job_id = %s AND i.is_trigger", old["ranges"]
    )
    await deploy(chain(50, preview=sample(0, 60)), generation=2)
    new = versions.ids(staged=True)["ranges"]
    versions.rows("UPDATE jobs SET provisioned_at = now()")

    async def look() -> tuple[Phase, str]:
        found = await versions.look()
        return found.phase, found.message

    async def run() -> tuple[Any, Any]:
        found = await claim(state, new)
        assert found is not None
        ((scope,),) = versions.rows("SELECT scope FROM tasks WHERE job_id = %s AND status = 'Running'", new)
        versions.rows(
            "INSERT INTO dataset_cursors (dataset_version_id, job_id, org_id, dataset_id, cursor_column,"
            " cursor_value) SELECT id, %s, org_id, dataset_id, 'x', %s FROM dataset_versions WHERE id = %s"
            " ON CONFLICT (dataset_version_id, job_id) DO UPDATE SET cursor_value = excluded.cursor_value",
            *(new, scope["upto"][str(blocks)], blocks),
        )
        versions.rows("UPDATE tasks SET status = 'Completed', finished_at = now() WHERE job_id = %s", new)
        return scope["upto"][str(blocks)], scope.get("reach", {}).get(str(blocks))

    assert (await look()) == (Phase.REBUILDING, "ranges: it has not come to 60 yet")
    assert await run() == (60, 99), "it may complete the range that 60 is in, as far as that is final"
    assert (await look()) == (Phase.PREVIEW, "")
    versions.event(new, 9, partition=True)
    versions.finish()
    assert (await look()) == (Phase.REBUILDING, "ranges: it has not come to 60 yet"), "more ranges than fit"
    versions.event(new, 69, partition=True)
    versions.finish()
    await deploy(chain(50, preview=sample(0, 60)), generation=2)
    assert (await look()) == (Phase.REBUILDING, "compact: 0 of 2 tasks are done")
    versions.finish()
    assert (await look()) == (Phase.PREVIEW, "")
    await deploy(chain(50, preview=sample(0, 60)), generation=2)
    assert versions.tasks(new) == ["Completed"]
    await deploy(chain(50), generation=3)
    assert versions.tasks(new) == ["Queued"]
    assert await run() == (99, None)
    await deploy(chain(50), generation=3)
    assert versions.tasks(new) == ["Completed"]


async def test_a_changed_source_is_held_back_at_the_end_of_the_range(
    deploy: Deploy, versions: Versions, state: Database
) -> None:
    await running(deploy, versions)
    manifest = graphs.chain()
    graphs.job(manifest, "follow")["config"]["startBlock"] = 5
    versions.rows("UPDATE events SET created_at = now() - interval '1 minute'")
    whole = graphs.assembled(manifest)
    manifest["spec"]["rollout"] = {"preview": sample(10, 30)}
    await deploy(graphs.assembled(manifest), generation=2)
    new = versions.ids(staged=True)["follow"]
    versions.rows("UPDATE jobs SET provisioned_at = now()")
    one = Claimant(uuid4(), "w", 1)

    async def claimed() -> int:
        async with state.autocommit() as conn:
            given = {"claimants": [one], "alone": False, "newest": False}
            found = await claims.claim(conn, org_id=services.ORG_ID, job_id=new, **given)
        return len(found.rows) if found else 0

    async def paused() -> bool:
        ((task, attempt, token),) = versions.rows(
            "SELECT id, attempt, lease_token FROM tasks WHERE job_id = %s AND status = 'Running'", new
        )
        lease = {"task_id": task, "attempt": attempt, "lease_token": token, "claim_id": one.claim_id}
        async with state.autocommit() as conn:
            renewed = await leases.renew(conn, org_id=services.ORG_ID, leases=[lease])
        return renewed[task].paused

    def waits() -> Any:
        return next(job.waits for job in found.jobs if job.job == "follow")

    assert await claimed() == 1
    versions.event(new, 29)
    found = await versions.look()
    assert (await paused(), waits()) == (False, "it is at 29 of 30")
    versions.event(new, 41)
    found = await versions.look()
    assert (await paused(), waits()) == (True, None)
    versions.rows("UPDATE tasks SET status = 'Queued', claim_id = NULL, lease_token = NULL, lease_epoch = NULL,"
                  " worker_id = NULL, lease_expires_at = NULL WHERE job_id = %s", new)  # fmt: skip
    assert await claimed() == 0, "nor does it begin anew where its pod was restarted"
    await deploy(whole, generation=3)
    assert await claimed() == 1
    found = await versions.look()
    assert (await paused(), waits()) == (False, "it is at 41 of 99")


async def test_what_was_left_with_a_range_is_whole_when_it_comes_back(deploy: Deploy, versions: Versions) -> None:
    """Though all of it was announced long before it was left."""
    old = await running(deploy, versions)
    announce(versions, old["ranges"], 20, 59)
    versions.rows("UPDATE events SET created_at = now() - interval '1 hour'")
    await deploy(again(preview=(20, 29)), generation=2)
    new = versions.ids(staged=True)["compact"]
    await deploy(chain(), generation=3)
    assert wanted(versions, new) == []
    await deploy(again(), generation=4)
    assert wanted(versions, new) == [10, 20, 30, 40, 50]


async def test_a_rollback_to_what_is_staged_with_a_range_makes_it_whole(deploy: Deploy, versions: Versions) -> None:
    old = await running(deploy, versions)
    await deploy(again(), generation=2)
    versions.finish()
    assert await versions.cut_over(again())
    announce(versions, old["ranges"], 20, 59)
    manifest = graphs.chain()
    manifest["spec"]["jobs"].append(graphs.job(manifest, "ranges") | {"name": "more"})
    manifest["spec"]["rollout"] = {"preview": sample(20, 29)}
    await deploy(graphs.assembled(manifest), generation=3)
    assert wanted(versions, old["compact"]) == [10, 20], "the first of which it had before"
    await versions.run(rollout.roll_back, version="v1")
    assert wanted(versions, old["compact"]) == [10, 20, 30, 40, 50]
    assert versions.rows("SELECT count(preview) FROM jobs WHERE name = 'compact'") == [(0,)]


async def test_what_raced_with_the_removal_of_a_range_is_taken_up_at_the_next_look(
    deploy: Deploy, versions: Versions
) -> None:
    old = await running(deploy, versions)
    await deploy(again(preview=(10, 19)), generation=2)
    versions.rows("UPDATE dag_current_versions SET staged_at = staged_at - interval '1 hour'")
    versions.rows("UPDATE dag_versions SET activated_at = activated_at - interval '1 hour'")
    await deploy(again(), generation=3)
    announce(versions, old["ranges"], 50, 59)  # accepted by a transaction that still saw the range
    await deploy(again(), generation=3)
    assert wanted(versions, versions.ids(staged=True)["compact"]) == [10, 50]


async def test_whatever_ranges_it_had_it_is_whole_in_the_end(
    deploy: Deploy, versions: Versions, state: Database
) -> None:
    """Ranges, other versions, rollbacks and announcements in any order, against what was announced."""
    draw = random.Random(20261130)
    old = await running(deploy, versions)
    announced, at = [10], 29
    generation = 1
    staged: tuple[str, tuple[int, int] | None] | None = None
    seen = set()
    for _ in range(60):
        generation += 1
        match draw.choice(("announce", "accept", "finish", "deploy", "deploy", "remove", "leave")):
            case "announce":  # of a transaction that saw no staged version: taken up at the next look
                versions.event(old["ranges"], at, partition=True)
                announced.append(at - 9)
                at += 10
            case "accept":
                await accept(state, versions, old["ranges"], at)
                announced.append(at - 9)
                at += 10
            case "finish":
                versions.finish()
            case "deploy":
                start = draw.randint(0, at)
                staged = (draw.choice("ab"), (start, start + draw.randint(0, 40)))
            case "remove" if staged:
                staged = (staged[0], None)
            case "leave":
                staged = None
        await deploy(chain() if staged is None else again(*staged), generation=generation)
        if staged is None:
            continue
        new = versions.ids(staged=True)["compact"]
        low, high = staged[1] or (0, at)
        due = {start for start in announced if start <= high and start + 9 >= low}
        assert due <= set(wanted(versions, new)), (generation, staged)
        waiting = "SELECT range_start FROM tasks WHERE job_id = %s AND status = 'Queued'"
        assert {start for (start,) in versions.rows(waiting, new)} <= due, (generation, staged)
        seen.add((staged[1] is None, (await versions.look()).phase))
        if draw.random() < 0.3:
            versions.finish()
            graph = again(*staged)
            took_over = await versions.cut_over(graph)
            assert took_over is (staged[1] is None)
            if took_over:
                seen.add((True, Phase.READY))
                assert wanted(versions, new) == sorted(announced)
                await versions.run(rollout.roll_back, version="v1")
                await versions.run(rollout.resume)
                staged = None
    assert {(False, Phase.PREVIEW), (True, Phase.READY)} <= seen
