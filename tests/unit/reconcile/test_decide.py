"""What follows from one look at a DAG: projections, sources, and what is left alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from tests.unit.reconcile.builders import (
    NEW_HASH,
    NOW,
    ago,
    chain,
    dag,
    evicted,
    facts,
    job,
    live,
    observed,
    projected_assets,
    projected_jobs,
    source,
    staged,
)
from traceplane.reconcile import names, workers
from traceplane.reconcile.actions import Plan
from traceplane.reconcile.decide import decide


def applied(plan: Plan) -> list[str]:
    return sorted(f"{a.resource.kind}/{a.wanted['metadata']['name']}" for a in plan.applies)


def deleted(plan: Plan) -> list[str]:
    return sorted(f"{d.resource.kind}/{d.live['metadata']['name']}" for d in plan.deletes)


def written_by(obj: dict[str, Any], manager: str, *fields: str, subresource: str | None = None) -> dict[str, Any]:
    """The object after somebody else set fields of its spec."""
    entry: dict[str, Any] = {"manager": manager, "fieldsV1": {"f:spec": {f"f:{field}": {} for field in fields}}}
    if subresource:
        entry["subresource"] = subresource
    return {**obj, "metadata": {**obj["metadata"], "managedFields": [entry]}}


def test_nothing_is_done_where_all_is_as_it_should_be() -> None:
    plan = decide(observed())
    assert plan == replace(Plan(), workers=plan.workers)


def test_a_new_dag_gets_its_projections_and_its_source() -> None:
    plan = decide(observed(jobs={}, assets={}, deployments=()))
    assert applied(plan) == [
        *(f"Asset/{end}-{what}" for end in ("cold", "hot") for what in ("blocks", "logs", "transactions")),
        f"Deployment/{source()['metadata']['name']}",
        "Job/chain.compact",
        "Job/chain.follow",
        "Job/chain.ranges",
    ]
    assert [note.reason for note in plan.notes] == ["SourceStarted"]
    for each in plan.applies:
        owner = each.wanted["metadata"]["ownerReferences"][0]
        assert (owner["kind"], owner["uid"], owner["controller"]) == ("DAG", "dag-uid", True)
        labels = each.wanted["metadata"]["labels"]
        assert labels["app.kubernetes.io/part-of"] == "trace"
        assert labels[names.DAG] == "chain"


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"graph": None, "problems": ("DAG/chain: spec.jobs[0].operator: unknown",)}, id="invalid"),
        pytest.param(
            {"facts": facts(active_spec_hash="older", held_spec_hash=chain().spec_hash)}, id="rolled back"
        ),
    ],
)
def test_a_spec_that_was_not_deployed_changes_nothing(changes: dict[str, Any]) -> None:
    plan = decide(observed(**changes))
    assert (plan.applies, plan.deletes, plan.creates) == ([], [], [])


def test_an_invalid_spec_leaves_the_running_version_at_work() -> None:
    plan = decide(observed(graph=None, problems=("wrong",), facts=facts(job(queued=1)), deployments=()))
    assert applied(plan) == [f"Deployment/{source()['metadata']['name']}"]
    assert len(plan.creates) == 1


def test_a_dag_that_was_never_deployed_owns_nothing() -> None:
    plan = decide(observed(facts=None, graph=None, problems=("wrong",), jobs={}, assets={}, deployments=()))
    assert plan == Plan()


def test_a_changed_projection_is_put_right() -> None:
    jobs = projected_jobs()
    jobs["chain.compact"] = jobs["chain.compact"] | {"spec": {**jobs["chain.compact"]["spec"], "operator": "other"}}
    assert applied(decide(observed(jobs=jobs))) == ["Job/chain.compact"]


def test_what_the_server_adds_is_no_drift() -> None:
    jobs = projected_jobs()
    jobs["chain.compact"]["spec"] = {**jobs["chain.compact"]["spec"], "addedByDefault": 1}
    assert applied(decide(observed(jobs=jobs))) == []


def test_a_field_that_somebody_added_is_drift() -> None:
    jobs = projected_jobs()
    jobs["chain.compact"] = written_by(jobs["chain.compact"], "kubectl-edit", "nodeSelector")
    assert applied(decide(observed(jobs=jobs))) == ["Job/chain.compact"]


def test_quantities_are_compared_by_value() -> None:
    scaled = source()
    container = scaled["spec"]["template"]["spec"]["containers"][0]
    container["resources"] = {
        "requests": {"cpu": "0.1", "memory": "256Mi"},
        "limits": {"cpu": "1000m", "memory": "2048Mi"},
    }
    assert applied(decide(observed(deployments=(scaled,)))) == []


def test_a_status_writer_is_no_drift() -> None:
    jobs = projected_jobs()
    jobs["chain.compact"] = written_by(jobs["chain.compact"], "somebody", "x", subresource="status")
    assert applied(decide(observed(jobs=jobs))) == []


def test_a_job_that_a_user_wrote_is_never_touched() -> None:
    jobs = projected_jobs()
    mine = jobs["chain.compact"]
    mine["metadata"].pop("ownerReferences")
    mine["spec"] = {"dag": "other", "operator": "mine"}
    plan = decide(observed(jobs=jobs))
    assert (applied(plan), deleted(plan)) == ([], [])
    assert [note.reason for note in plan.notes] == ["NameTaken"]


def test_an_asset_that_a_user_wrote_is_never_touched() -> None:
    assets = projected_assets()
    assets["hot-blocks"]["metadata"].pop("ownerReferences")
    assets["hot-blocks"]["spec"] = {"readRoles": ["finance"]}
    plan = decide(observed(assets=assets))
    assert (applied(plan), deleted(plan), plan.disowned) == ([], [], [])


@pytest.mark.parametrize("how", ["kubectl-apply", "server-side"])
def test_a_projected_asset_that_a_user_applies_becomes_his(how: str) -> None:
    assets = projected_assets()
    if how == "server-side":
        assets["hot-blocks"] = written_by(assets["hot-blocks"], "kubectl", "readRoles")
    else:
        mark = {"kubectl.kubernetes.io/last-applied-configuration": "{}"}
        assets["hot-blocks"]["metadata"]["annotations"] = mark
    plan = decide(observed(assets=assets))
    assert [d.live["metadata"]["name"] for d in plan.disowned] == ["hot-blocks"]
    assert applied(plan) == []


def test_projections_that_nothing_asks_for_any_more_go() -> None:
    extra_job = {**projected_jobs()["chain.compact"]}
    extra_job["metadata"] = {**extra_job["metadata"], "name": "chain.removed"}
    extra_asset = {**projected_assets()["hot-blocks"]}
    extra_asset["metadata"] = {**extra_asset["metadata"], "name": "unpublished"}
    former = source()
    former["metadata"] = {**former["metadata"], "name": "chain-follow-00000000"}
    plan = decide(
        observed(
            jobs=projected_jobs() | {"chain.removed": extra_job},
            assets=projected_assets() | {"unpublished": extra_asset},
            deployments=(source(), former),
        )
    )
    assert deleted(plan) == ["Asset/unpublished", "Deployment/chain-follow-00000000", "Job/chain.removed"]


def moved(**metadata: Any) -> dict[str, Any]:
    """The source's Deployment under the name that an older release gave it."""
    obj = source()
    return {**obj, "metadata": {**obj["metadata"], "name": "chain-follow-00000000", **metadata}}


def follower(**metadata: Any) -> dict[str, Any]:
    """The pod of that Deployment."""
    template = source()["spec"]["template"]
    return live(
        {"metadata": {"name": "chain-follow-00000000-x", "labels": template["metadata"]["labels"], **metadata}}
    )


def test_a_source_under_another_name_ends_before_its_successor_starts() -> None:
    renamed = decide(observed(deployments=(moved(),), pods=(follower(),)))
    assert [(d.live["metadata"]["name"], d.last) for d in renamed.deletes] == [("chain-follow-00000000", True)]
    assert (applied(renamed), renamed.notes) == ([], [])
    assert renamed.next_in is not None

    leaving = decide(observed(deployments=(moved(deletionTimestamp=ago(5)),), pods=(follower(),)))
    assert (deleted(leaving), applied(leaving)) == ([], [])
    ending = decide(observed(deployments=(), pods=(follower(deletionTimestamp=ago(-5)),)))
    assert applied(ending) == []

    gone = decide(observed(deployments=()))
    assert applied(gone) == [f"Deployment/{source()['metadata']['name']}"]


def test_a_source_whose_deployment_is_gone_waits_for_its_pods() -> None:
    left = [{"kind": "ReplicaSet", "name": "chain-follow-rs", "uid": "rs", "controller": True}]
    running = follower(ownerReferences=left) | {"status": {"phase": "Running"}}
    plan = decide(observed(deployments=(), pods=(running,)))
    assert (applied(plan), plan.next_in) == ([], 2.0)
    assert [note.reason for note in plan.notes] == ["SourceWaits"]
    assert "delete ReplicaSet chain-follow-rs" in plan.notes[0].message
    ended = running | {"status": evicted(ended=10)}
    name = f"Deployment/{source()['metadata']['name']}"
    assert applied(decide(observed(deployments=(), pods=(ended,)))) == [name]
    wrong = source()
    wrong["spec"] = {**wrong["spec"], "replicas": 2}
    drifted = decide(observed(deployments=(wrong,), pods=(running,)))
    assert applied(drifted) == [name], "its own pods hold up nothing"


def test_a_source_of_a_former_life_is_gone_after_its_pods() -> None:
    former = moved(ownerReferences=[names.owner(dag(uid="former"), "DAG")])
    plan = decide(observed(deployments=(former,), pods=(follower(),)))
    assert [(d.why, d.last) for d in plan.deletes] == [("FormerLife", True)]
    assert applied(plan) == []


def test_a_source_runs_on_while_its_successor_is_refused() -> None:
    refused = job("follow", config_hash="sha256:ffffffffff", placement={"serviceAccountName": "cloud"})
    ended = follower() | {"status": evicted(ended=10)}
    ended["metadata"]["labels"] = {**ended["metadata"]["labels"], names.GENERATION: "ffffffff"}
    plan = decide(
        observed(facts=facts(refused, busy=(workers.worker_id(ended),)), pods=(ended,), deployments=(source(),))
    )
    assert (deleted(plan), applied(plan)) == ([], [])
    assert plan.workers["follow"].trouble[0].reason == "NotAllowed"
    assert [release.reason for release in plan.releases] == ["Evicted"], "what ended gives back what it held"


def test_a_pod_on_a_silent_node_does_not_hold_up_the_successor_of_a_source_for_ever() -> None:
    lost = decide(
        observed(deployments=(moved(deletionTimestamp=ago(91)),), pods=(follower(deletionTimestamp=ago(31)),))
    )
    assert applied(lost) == [f"Deployment/{source()['metadata']['name']}"]


def test_a_deployment_that_is_nobody_s_does_not_hold_up_a_source() -> None:
    plan = decide(observed(deployments=(moved(ownerReferences=[]),)))
    assert (deleted(plan), applied(plan)) == ([], [f"Deployment/{source()['metadata']['name']}"])


def test_an_ended_pod_of_a_source_ends_its_run_is_shown_for_a_while_and_goes() -> None:
    def ended(seconds: float) -> Plan:
        full = evicted('Usage of EmptyDir volume "scratch" exceeds the limit "4Gi". ', ended=seconds)
        pod = follower() | {"status": full}
        busy = workers.worker_id(pod)
        return decide(observed(pods=(pod,), facts=facts(busy=(busy,))))

    fresh = ended(10)
    assert [(r.reason, r.blameless) for r in fresh.releases] == [("ScratchFull", False)]
    assert [note.reason for note in fresh.notes] == ["WorkerFailed"]
    assert [fact.reason for fact in fresh.workers["follow"].trouble] == ["ScratchFull"]
    assert (fresh.deletes, fresh.next_in) == ([], pytest.approx(290))
    assert [(d.live["metadata"]["name"], d.why) for d in ended(301).deletes] == [
        ("chain-follow-00000000-x", "ScratchFull")
    ]


def test_objects_of_a_former_life_go_before_new_ones_come() -> None:
    former = projected_jobs()
    for obj in former.values():
        obj["metadata"]["ownerReferences"] = [names.owner(dag(uid="former"), "DAG")]
    plan = decide(observed(jobs=former))
    assert deleted(plan) == ["Job/chain.compact", "Job/chain.follow", "Job/chain.ranges"]
    assert applied(plan) == []
    assert plan.next_in == pytest.approx(1.0)
    assert plan.notes == []


def test_an_object_that_is_being_deleted_is_waited_for() -> None:
    jobs = projected_jobs()
    jobs["chain.compact"] = live(jobs["chain.compact"], deletionTimestamp=NOW.isoformat())
    plan = decide(observed(jobs=jobs))
    assert (applied(plan), plan.next_in) == ([], 1.0)


def test_a_source_that_waits_for_its_pods_tells_why() -> None:
    refused = {"conditions": [{"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}]}
    view = decide(observed(deployments=(source(refused),))).workers["follow"]
    assert (view.ready, [fact.reason for fact in view.trouble]) == (0, ["PodsRefused"])


def test_the_graph_of_the_example_is_the_running_version() -> None:
    assert observed().current
    assert not observed(facts=facts(active_spec_hash="other")).current
    assert not observed(facts=facts(deleted_at=NOW)).current
    assert chain().jobs


def test_a_staged_version_has_workers_and_a_source_of_its_own_beside_the_running_ones() -> None:
    old = job("follow")
    new = job("follow", job_id=UUID(int=7), config_hash=NEW_HASH, staged=True)
    busy = job("compact", job_id=UUID(int=9), config_hash=NEW_HASH, staged=True, queued=2)
    changes = staged(new, busy)
    pools = dict.fromkeys(("follow", "follow (staged)"), ("local",))
    plan = decide(observed(**changes, rpc_pools=pools))
    (started,) = [each.wanted for each in plan.applies if each.resource.kind == "Deployment"]
    assert started["metadata"]["labels"][names.GENERATION] == names.hash8(NEW_HASH)
    assert started["metadata"]["name"] != source()["metadata"]["name"]
    assert plan.deletes == []
    assert {create.job for create in plan.creates} == {"compact (staged)"}
    assert {"follow", "follow (staged)"} <= set(plan.workers)

    # After the cutover the new source goes on as it is, and the old one is stopped.
    after = facts(replace(new, staged=False), active_spec_hash=chain().spec_hash)
    live_new = live(started) | {"status": {"availableReplicas": 1}}
    plan = decide(observed(facts=after, deployments=(source(), live_new)))
    assert [delete.live["metadata"]["name"] for delete in plan.deletes] == [source()["metadata"]["name"]]
    assert "Deployment" not in {each.resource.kind for each in plan.applies}
    assert old.config_hash != NEW_HASH


def test_a_source_that_a_person_restarted_is_left_as_it_is() -> None:
    """`kubectl rollout restart` marks the pod template; to take the mark away would restart it once more."""
    restarted = source()
    mark = "kubectl.kubernetes.io/restartedAt"
    restarted["spec"]["template"]["metadata"]["annotations"] |= {mark: "2026-01-01T00:00:00Z"}
    owned = {"f:spec": {"f:template": {"f:metadata": {"f:annotations": {f"f:{mark}": {}}}}}}
    restarted["metadata"]["managedFields"] = [{"manager": "kubectl-rollout", "fieldsV1": owned}]
    assert decide(observed(deployments=(restarted,))).applies == []
    restarted["spec"]["replicas"] = 0
    (apply,) = decide(observed(deployments=(restarted,))).applies
    assert apply.wanted["spec"]["template"]["metadata"]["annotations"][mark] == "2026-01-01T00:00:00Z"
    owned["f:spec"]["f:replicas"] = {}
    restarted["spec"]["replicas"] = 1
    assert decide(observed(deployments=(restarted,))).applies, "what else that manager owns is put right"
