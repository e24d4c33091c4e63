"""How many workers, in which slots, and what becomes of those that ended."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.reconcile.builders import (
    UNSCHEDULABLE,
    ago,
    beside,
    disrupted,
    evicted,
    facts,
    failed,
    job,
    observed,
    pod,
    terminated,
    waiting,
    worker_id,
)
from traceplane.reconcile.actions import Plan
from traceplane.reconcile.decide import decide
from traceplane.reconcile.scaling import Demand, free_slots, restart_delay, wanted_workers
from traceplane.reconcile.workers import RESTARTS


def created(plan: Plan) -> list[str]:
    return [create.pod["metadata"]["name"].rpartition("-")[2] for create in plan.creates]


def deleted(plan: Plan) -> list[tuple[str, str]]:
    return [(d.live["metadata"]["name"].rpartition("-")[2], d.why) for d in plan.deletes]


@pytest.mark.parametrize(
    ("wanted", "demand"),
    [
        (0, {}),
        (2, {"queued": 2}),
        (3, {"queued": 1, "running": 2}),
        (4, {"queued": 100}),
        (2, {"queued": 100, "max_concurrency": 2}),
        (1, {"queued": 100, "one_at_a_time": True}),
        (1, {"min_workers": 1}),
        (3, {"queued": 3, "min_workers": 1}),
        (0, {"queued": 9, "min_workers": 1, "paused": True}),
        (2, {"queued": 9, "running": 2, "paused": True}),
    ],
)
def test_wanted_workers_follow_the_backlog_within_bounds(wanted: int, demand: dict[str, int]) -> None:
    base = Demand(0, 0, min_workers=0, max_workers=4, max_concurrency=None, one_at_a_time=False, paused=False)
    assert wanted_workers(replace(base, **demand)) == wanted


def test_free_slots_are_the_lowest_that_no_pod_occupies() -> None:
    assert free_slots(3, 1, {1}, 4) == (0, 2)
    assert free_slots(3, 3, {0, 1, 2}, 4) == ()
    assert free_slots(4, 0, {0, 1, 2}, 4) == (3,)


def test_restart_delay_doubles_to_five_minutes() -> None:
    assert [restart_delay(n) for n in (0, 1, 2, 3, 100)] == [0, 10, 20, 40, 300]


def test_a_queue_starts_workers_up_to_the_maximum() -> None:
    plan = decide(observed(facts=facts(job(queued=9))))
    assert created(plan) == ["w0", "w1"]
    assert plan.workers["compact"].wanted == 2


def test_nothing_is_started_before_tables_exist() -> None:
    assert created(decide(observed(facts=facts(job(queued=9, provisioned=False))))) == []


def test_an_idle_worker_is_left_to_leave_by_itself() -> None:
    plan = decide(observed(pods=(pod(0),)))
    assert (created(plan), deleted(plan)) == ([], [])


def test_a_finished_worker_goes_and_its_slot_is_used_again() -> None:
    plan = decide(observed(facts=facts(job(queued=1)), pods=(pod(0, {"phase": "Succeeded"}),)))
    assert deleted(plan) == [("w0", "Finished")]
    assert created(plan) == ["w0"]


def test_a_pod_that_is_ending_keeps_its_slot() -> None:
    ending = pod(0, deletionTimestamp=ago(-30))
    assert created(decide(observed(facts=facts(job(queued=1)), pods=(ending,)))) == ["w1"]


def test_a_failed_worker_cools_down_before_a_new_one_starts() -> None:
    fresh = decide(observed(facts=facts(job(queued=1)), pods=(pod(0, failed(ended=3)),)))
    assert (created(fresh), deleted(fresh)) == ([], [])
    assert fresh.next_in == pytest.approx(7)
    assert [note.reason for note in fresh.notes] == ["WorkerFailed"]
    cold = decide(observed(facts=facts(job(queued=1)), pods=(pod(0, failed(ended=11)),)))
    assert deleted(cold) == [("w0", "WorkerFailed")]
    assert created(cold) == ["w0"]
    assert cold.creates[0].pod["metadata"]["annotations"][RESTARTS] == "1"


def test_failures_in_a_row_wait_longer() -> None:
    third = pod(0, failed(ended=30), annotations={RESTARTS: "2"})
    plan = decide(observed(facts=facts(job(queued=1)), pods=(third,)))
    assert created(plan) == []
    assert plan.next_in == pytest.approx(10)


def test_a_worker_that_lived_long_starts_counting_again() -> None:
    old = pod(0, failed(ended=11, ran=3600), annotations={RESTARTS: "7"})
    plan = decide(observed(facts=facts(job(queued=1)), pods=(old,)))
    assert plan.creates[0].pod["metadata"]["annotations"][RESTARTS] == "1"


@pytest.mark.parametrize(
    ("status", "reason", "blameless"),
    [
        (evicted(), "Evicted", True),
        (disrupted("EvictionByEvictionAPI"), "Evicted", True),
        (disrupted("DeletionByPodGC"), "NodeLost", True),
        (evicted('Usage of EmptyDir volume "scratch" exceeds the limit "4Gi". '), "ScratchFull", False),
        (
            evicted("Pod was rejected: Node didn't have enough resource: cpu", reason="OutOfcpu"),
            "RejectedByNode",
            True,
        ),
    ],
)
def test_whoever_ended_a_worker_the_next_one_waits_and_the_reason_is_shown(
    status: dict[str, object], reason: str, blameless: bool
) -> None:
    plan = decide(observed(facts=facts(job(queued=1), busy=(worker_id(0),)), pods=(pod(0, status),)))
    assert [(r.worker_id, r.reason, r.blameless) for r in plan.releases] == [(worker_id(0), reason, blameless)]
    assert (created(plan), deleted(plan), plan.next_in) == ([], [], pytest.approx(9))
    assert [fact.reason for fact in plan.workers["compact"].trouble] == [reason]
    assert len(plan.notes) == 1


def test_a_worker_that_was_taken_away_again_and_again_waits_longer() -> None:
    third = pod(0, evicted(ended=30), annotations={RESTARTS: "2"})
    assert decide(observed(facts=facts(job(queued=1)), pods=(third,))).next_in == pytest.approx(10)
    later = decide(
        observed(facts=facts(job(queued=1)), pods=(pod(0, evicted(ended=41), annotations={RESTARTS: "2"}),))
    )
    assert later.creates[0].pod["metadata"]["annotations"][RESTARTS] == "3"


def test_a_rejected_pod_that_says_nothing_of_its_times_waits_from_its_making() -> None:
    rejected = {"phase": "Failed", "reason": "NodeAffinity", "message": "Pod was rejected: no"}
    fresh = pod(0, rejected, creationTimestamp=ago(4))
    assert decide(observed(facts=facts(job(queued=1)), pods=(fresh,))).next_in == pytest.approx(6)


def test_a_worker_that_is_being_taken_away_is_told() -> None:
    ending = pod(0, disrupted("PreemptionByScheduler", phase="Running"), deletionTimestamp=ago(-30))
    plan = decide(observed(facts=facts(job(queued=1)), pods=(ending,)))
    assert [(note.reason, "Preempted" in note.message) for note in plan.notes] == [("WorkerEvicted", True)]


def test_workers_that_ended_beside_running_sidecars_go_and_others_come() -> None:
    done = beside(terminated(0, "Completed"))
    two = (pod(0, done), pod(1, done))
    plan = decide(observed(facts=facts(job(queued=9)), pods=two))
    assert deleted(plan) == [("w0", "Finished"), ("w1", "Finished")]
    assert created(plan) == ["w0", "w1"]
    killed = beside(terminated(137, "OOMKilled"))
    plan = decide(observed(facts=facts(job(queued=9), busy=(worker_id(0),)), pods=(pod(0, killed),)))
    assert [r.reason for r in plan.releases] == ["OOMKilled"]
    assert (created(plan), deleted(plan), plan.next_in) == (["w1"], [], pytest.approx(9))


def test_a_failed_worker_beside_a_sidecar_is_deleted_without_grace_so_that_its_successor_knows_how_often() -> None:
    cold = pod(0, beside(terminated(1, ended=400)), annotations={RESTARTS: "4"})
    plan = decide(observed(facts=facts(job(queued=1)), pods=(cold,)))
    assert [(d.live["metadata"]["name"], d.now) for d in plan.deletes] == [(cold["metadata"]["name"], True)]
    assert [c.pod["metadata"]["annotations"][RESTARTS] for c in plan.creates] == ["5"]
    done = decide(observed(facts=facts(job(queued=1)), pods=(pod(0, beside(terminated(0, "Completed"))),)))
    assert [d.now for d in done.deletes] == [False]


def test_a_failed_worker_whose_pod_is_ending_cools_down_all_the_same() -> None:
    def ending(ended: float) -> Plan:
        status = beside(terminated(1, ended=ended))
        leaving = pod(0, status, annotations={RESTARTS: "1"}, deletionTimestamp=ago(-30))
        return decide(observed(facts=facts(job(queued=1)), pods=(leaving,)))

    fresh, cold = ending(5), ending(21)
    assert (created(fresh), deleted(fresh), fresh.next_in) == ([], [], pytest.approx(15))
    assert [c.pod["metadata"]["annotations"][RESTARTS] for c in cold.creates] == ["2"]
    assert [d.now for d in cold.deletes] == [True]


def test_the_lease_of_a_killed_worker_ends_with_it() -> None:
    plan = decide(
        observed(facts=facts(job(running=1), busy=(worker_id(0),)), pods=(pod(0, failed("OOMKilled", 137)),))
    )
    assert [(r.worker_id, r.reason, r.blameless) for r in plan.releases] == [(worker_id(0), "OOMKilled", False)]


def test_a_dead_worker_without_a_lease_releases_nothing() -> None:
    assert decide(observed(pods=(pod(0, failed()),))).releases == []


def test_a_pod_on_a_silent_node_is_given_up_after_its_grace() -> None:
    lost = pod(0, deletionTimestamp=ago(31))
    plan = decide(observed(facts=facts(job(running=1), busy=(worker_id(0),)), pods=(lost,)))
    assert [r.reason for r in plan.releases] == ["NodeLost"]
    ending = pod(0, deletionTimestamp=ago(10))
    assert decide(observed(facts=facts(busy=(worker_id(0),)), pods=(ending,))).releases == []


@pytest.mark.parametrize(
    "status", [UNSCHEDULABLE, waiting("ImagePullBackOff"), waiting("CreateContainerConfigError")]
)
def test_pods_that_cannot_start_are_not_multiplied(status: dict[str, object]) -> None:
    stuck = (pod(0, status), pod(1, status))
    plan = decide(observed(facts=facts(job(queued=50)), pods=stuck))
    assert created(plan) == []
    assert len(plan.workers["compact"].trouble) == 2


def test_only_idle_workers_leave_when_there_are_too_many() -> None:
    four = tuple(pod(slot) for slot in range(4))
    plan = decide(observed(facts=facts(busy=(worker_id(2), worker_id(3))), pods=four))
    assert deleted(plan) == [("w1", "Surplus"), ("w0", "Surplus")]


def test_an_idle_worker_of_an_older_template_is_replaced_and_a_busy_one_is_not() -> None:
    old = {"trace.dev/spec-hash": "old"}
    pods = (pod(0, annotations=old), pod(1, annotations=old))
    plan = decide(observed(facts=facts(job(queued=1, running=1), busy=(worker_id(0),)), pods=pods))
    assert deleted(plan) == [("w1", "Outdated")]
    assert created(plan) == []


def test_kept_workers_never_idle_out() -> None:
    plan = decide(observed(facts=facts(job(queued=2, min_workers=1))))
    timeouts = [
        {entry["name"]: entry.get("value") for entry in create.pod["spec"]["containers"][0]["env"]}[
            "TRACE_IDLE_TIMEOUT_SECONDS"
        ]
        for create in plan.creates
    ]
    assert timeouts == ["never", "300"]


def test_workers_of_a_former_generation_finish_what_they_hold() -> None:
    former = job(config_hash="0123456789abcdef")
    busy, idle = pod(0, of=former), pod(1, of=former)
    held = f"{busy['metadata']['name']}.{busy['metadata']['uid']}"
    plan = decide(observed(facts=facts(busy=(held,)), pods=(busy, idle)))
    assert deleted(plan) == [("w1", "FormerGeneration")]


def test_pods_of_a_deleted_dag_of_the_same_name_are_not_adopted() -> None:
    plan = decide(observed(facts=facts(job(queued=1)), pods=(pod(0, owner="former-uid"),)))
    assert deleted(plan) == [("w0", "FormerLife")]
    assert plan.workers["compact"].actual == 0
