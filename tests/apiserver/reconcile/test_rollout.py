"""A changed DAG on a real API server: built beside the running one, cut over, and rolled back."""

from __future__ import annotations

import pytest
import yaml

from tests.apiserver.reconcile.world import ROOT, Object, World

pytestmark = pytest.mark.apiserver


def changed(world: World, size: int = 70, **rollout: str) -> Object:
    """The example with longer ranges: two of its jobs are rebuilt."""
    spec: Object = world.chain()["spec"]
    spec["jobs"][1]["config"]["rangeSize"] = size
    return spec | {"rollout": rollout} if rollout else spec


def finish(world: World) -> None:
    """Play the dispatcher: every table is made, and what waits of reactive jobs is done."""
    world.provision()
    world.sql(
        "UPDATE tasks t SET status = 'Completed', finished_at = now() FROM jobs j"
        " WHERE j.id = t.job_id AND j.activation = 'Reactive' AND t.status = 'Queued'"
    )


def rollout_pods(world: World) -> set[str]:
    """The generations that have worker pods."""
    pods = world.core.list_namespaced_pod(world.namespace).items
    return {p.metadata.labels["trace.dev/generation"] for p in pods if not p.metadata.deletion_timestamp}


def test_a_rebuild_works_beside_the_running_version_and_takes_over(world: World) -> None:
    world.led()
    before = world.running_chain()["status"]
    world.enqueue(2)
    world.until(lambda: len(rollout_pods(world)) == 1, "the running version works")
    world.patch("dags", "chain", {"spec": changed(world)})
    world.until(lambda: world.holds("dags", "chain", "Staged", "True", "Rebuilding"), "it is staged")
    status = (world.get("dags", "chain") or {})["status"]
    assert (status["activeVersion"], before["activeVersion"][:3], status["stagedVersion"][:3]) == (
        before["activeVersion"],
        "v1-",
        "v2-",
    )
    assert world.holds("dags", "chain", "Ready", "False", "Rebuilding")
    (stem,) = {d.metadata.name for d in world.deployments()}
    world.sql(
        """INSERT INTO tasks (org_id, namespace, job_id, dedupe_key, cause, scope, max_attempts, queued_at)
           SELECT j.org_id, j.namespace, j.id, 'old', 'Event', '{}', 3, now() - interval '1 hour'
             FROM jobs j JOIN dag_version_jobs v ON v.job_id = j.id
             JOIN dag_current_versions c ON c.staged_version_id = v.dag_version_id WHERE j.name = 'compact'"""
    )
    world.provision()
    world.until(lambda: len(rollout_pods(world)) == 2, "both versions have workers")
    finish(world)
    world.until(lambda: world.holds("dags", "chain", "Ready", "True"), "it has taken over")
    status = (world.get("dags", "chain") or {})["status"]
    assert (status["activeVersion"][:3], "stagedVersion" in status) == ("v2-", False)
    assert {d.metadata.name for d in world.deployments()} == {stem}, "the source was not touched"
    spec = (world.get("jobs", "chain.ranges") or {})["spec"]
    assert spec["config"]["rangeSize"] == 70
    world.until(lambda: {"Staged", "CutOver"} <= set(world.events()), "the Events are posted")


def test_a_changed_source_runs_beside_the_old_one_until_the_cutover(world: World) -> None:
    world.led()
    world.running_chain()
    (old,) = world.deployments()
    spec = world.chain()["spec"]
    spec["jobs"][0]["config"]["startBlock"] = 5
    world.patch("dags", "chain", {"spec": spec})
    world.until(lambda: len(world.deployments()) == 2, "two sources run")
    world.provision()
    world.source_up()
    world.until(
        lambda: "it has written nothing yet" in world.condition("dags", "chain", "Staged")["message"], "why"
    )
    world.sql(
        """INSERT INTO events (id, org_id, dataset_id, dataset_version_id, kind, cursor_value)
           SELECT gen_random_uuid(), v.org_id, v.dataset_id, v.id, 'Cursor', 7 FROM dataset_versions v
             JOIN jobs j ON j.id = v.job_id JOIN dag_version_jobs d ON d.job_id = j.id
             JOIN dag_current_versions c ON c.staged_version_id = d.dag_version_id WHERE j.name = 'follow'"""
    )
    world.until(lambda: world.collect() and len(world.deployments()) == 1, "the old one is stopped")
    (new,) = world.deployments()
    assert new.metadata.name != old.metadata.name
    world.until(lambda: world.holds("dags", "chain", "Ready"), "the new one serves")


def test_a_manual_cutover_waits_and_the_old_spec_again_ends_it(world: World) -> None:
    world.led()
    world.running_chain()
    world.patch("dags", "chain", {"spec": changed(world, cutover="Manual")})
    world.until(lambda: world.sql("SELECT 1 AS n FROM dag_current_versions WHERE staged_at IS NOT NULL"), "staged")
    finish(world)
    world.until(lambda: world.holds("dags", "chain", "Staged", "True", "AwaitingApproval"), "it waits")
    world.until(lambda: "AwaitingApproval" in world.events(), "and says so")
    world.patch("dags", "chain", {"spec": world.chain()["spec"]})
    world.until(lambda: world.holds("dags", "chain", "Staged", "False", "NothingStaged"), "the rebuild has ended")
    world.until(lambda: world.holds("dags", "chain", "Ready"), "nothing was lost")


def test_a_preview_is_built_says_so_and_takes_over_only_when_it_is_removed(world: World) -> None:
    world.led()
    before = world.running_chain()["status"]["activeVersion"]
    spec = changed(world)
    world.patch("dags", "chain", {"spec": spec | {"rollout": {"preview": {"range": {"start": 0, "end": 139}}}}})
    world.until(lambda: world.holds("dags", "chain", "Staged", "True", "Rebuilding"), "its sample is built")
    over = "(over 0-139 only, as spec.rollout.preview says): ranges: its tables are being made"
    world.until(lambda: over in world.condition("dags", "chain", "Staged")["message"], "which it says")
    finish(world)
    world.until(lambda: world.holds("dags", "chain", "Staged", "True", "Preview"), "it is built")
    world.until(lambda: "Preview" in world.events(), "and an Event tells")
    assert "remove spec.rollout.preview" in world.condition("dags", "chain", "Ready")["message"]
    status = (world.get("dags", "chain") or {})["status"]
    assert (status["activeVersion"], status["stagedVersion"][:3]) == (before, "v2-")
    world.patch("dags", "chain", {"spec": spec | {"rollout": {"preview": None}}})
    world.until(lambda: finish(world) or world.holds("dags", "chain", "Ready", "True"), "it has taken over")
    assert (world.get("dags", "chain") or {})["status"]["activeVersion"] == status["stagedVersion"]


def test_a_rebuild_that_fails_is_stalled_and_the_running_version_serves(world: World) -> None:
    world.led()
    world.running_chain()
    world.patch("dags", "chain", {"spec": changed(world)})
    world.until(lambda: world.holds("dags", "chain", "Staged", "True", "Rebuilding"), "it is staged")
    world.provision()
    world.sql(
        """INSERT INTO tasks (org_id, namespace, job_id, dedupe_key, cause, scope, max_attempts, attempt, status,
                              error, finished_at)
           SELECT j.org_id, j.namespace, j.id, 'bad', 'Event', '{}', 3, 3, 'Failed',
                  '{"code": "Broken", "message": "no such column"}', now()
             FROM jobs j JOIN dag_version_jobs v ON v.job_id = j.id
             JOIN dag_current_versions c ON c.staged_version_id = v.dag_version_id WHERE j.name = 'compact'"""
    )
    world.until(lambda: world.holds("dags", "chain", "Staged", "False", "RebuildFailed"), "it says why")
    assert "no such column" in world.condition("dags", "chain", "Degraded")["message"]
    assert world.condition("dags", "chain", "Stalled")["reason"] == "RebuildFailed"
    assert (world.get("dags", "chain") or {})["status"]["activeVersion"].startswith("v1-")
    world.sql("UPDATE tasks SET status = 'Completed' WHERE dedupe_key = 'bad'")
    world.until(lambda: world.holds("dags", "chain", "Ready"), "a retry mends it")


def test_a_version_that_was_rolled_back_is_held_off_until_the_spec_changes(world: World) -> None:
    world.led()
    world.running_chain()
    world.patch("dags", "chain", {"spec": changed(world)})
    world.until(lambda: world.sql("SELECT 1 AS n FROM dag_current_versions WHERE staged_at IS NOT NULL"), "staged")
    finish(world)
    world.until(lambda: world.holds("dags", "chain", "Ready"), "the new version serves")
    world.sql(
        """UPDATE dag_current_versions c SET active_version_id = o.id, held_spec_hash = n.spec_hash
             FROM dag_versions o, dag_versions n WHERE o.number = 1 AND n.number = 2"""
    )
    world.sql("SELECT pg_notify('trace_deploy', %s)", f"{world.namespace}/chain")
    world.until(lambda: world.holds("dags", "chain", "Ready", "False", "RolledBack"), "it says so")
    assert "tracectl rollout resume chain" in world.condition("dags", "chain", "Ready")["message"]
    world.patch("dags", "chain", {"spec": world.chain()["spec"]})
    world.until(lambda: world.holds("dags", "chain", "Ready", "True"), "the old spec is what runs")
    world.patch("dags", "chain", {"spec": changed(world)})
    world.until(lambda: (world.get("dags", "chain") or {})["status"]["activeVersion"].startswith("v2-"), "again")


def test_a_dag_waits_for_an_asset_of_another_and_is_staged_when_that_cuts_over(world: World) -> None:
    world.led(reconcile_seconds="600")  # what wakes the reader is the other DAG's cutover, and not a resync
    reader: Object = yaml.safe_load((ROOT / "dags" / "activity.yaml").read_text())
    world.apply(reader)
    world.until(lambda: world.holds("dags", "activity", "Valid", "False"), "it waits")
    assert "no DAG publishes an asset 'cold-blocks'" in world.condition("dags", "activity", "Valid")["message"]
    world.running_chain()
    world.until(lambda: world.holds("dags", "activity", "Ready"), "what it waits for is published")
    before = (world.get("dags", "activity") or {})["status"]["activeVersion"]
    world.patch("dags", "chain", {"spec": changed(world)})
    world.until(lambda: world.holds("dags", "chain", "Staged", "True", "Rebuilding"), "the other is staged")
    finish(world)
    world.until(lambda: world.holds("dags", "activity", "Staged", "True"), "its reader is as well")
    assert (world.get("dags", "activity") or {})["status"]["activeVersion"] == before
    finish(world)
    world.until(lambda: world.holds("dags", "activity", "Ready"), "it has taken over")
    world.patch("dags", "chain", {"spec": world.chain()["spec"]})
    world.until(
        lambda: (world.get("dags", "activity") or {})["status"]["activeVersion"] == before, "both are as they were"
    )


def test_former_versions_go_as_their_asset_says_and_it_shows(world: World) -> None:
    world.led()
    world.running_chain()
    for size in (70, 80):
        number = len(world.sql("SELECT 1 AS n FROM dag_versions")) + 1
        world.patch("dags", "chain", {"spec": changed(world, size)})
        world.until(lambda number=number: finish(world) or active(world) == number, f"version {number} takes over")
    asset = lambda: (world.get("assets", "cold-blocks") or {}).get("status", {})  # noqa: E731
    assert "versions" not in asset(), "nobody asked"
    world.patch("assets", "cold-blocks", {"spec": {"retention": {"versions": 2}}})
    waits = "not yet: another output of its job is kept"
    world.until(lambda: waits in asset().get("nextPurge", ""), "the job's other outputs have no such Asset")
    for name in ("cold-transactions", "cold-logs"):
        world.patch("assets", name, {"spec": {"retention": {"versions": 1}}})
    world.until(lambda: "Purged" in world.events(), "the oldest version goes")
    world.until(lambda: asset().get("versions") == 2, "two are left")
    assert asset()["nextPurge"].startswith("v2-")
    assert asset()["nextPurge"].endswith(" when another version takes over")
    purged = world.sql("SELECT number FROM dag_versions WHERE purged_at IS NOT NULL")
    assert purged == [{"number": 1}]
    world.patch("assets", "cold-blocks", {"spec": {"retention": {"versions": None, "age": "1h"}}})
    world.until(lambda: " at 20" in asset().get("nextPurge", ""), "when the age is over")
    assert world.sql("SELECT policy -> 'retention' AS kept FROM assets WHERE name = 'cold-blocks'") == [
        {"kept": {"age_seconds": 3600}}
    ]
    assert asset()["versions"] == 2


def active(world: World) -> int:
    """The number of the active version."""
    found = world.sql(
        "SELECT v.number FROM dag_current_versions c JOIN dag_versions v ON v.id = c.active_version_id"
    )
    return int(found[0]["number"])
