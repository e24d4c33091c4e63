"""What a pod's status says of the worker in it, whatever runs beside it, and whose doing its end was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.reconcile.builders import (
    UNSCHEDULABLE,
    ago,
    beside,
    disrupted,
    evicted,
    failed,
    pod,
    terminated,
    waiting,
)
from traceplane.reconcile import podreasons
from traceplane.reconcile.podfacts import Life, fact_of
from traceplane.reconcile.podreasons import Fault

RUNBOOK = Path(__file__).resolve().parents[3] / "docs" / "runbooks" / "worker-pods.md"
RUNNING = {"running": {"startedAt": ago(60)}}
NATIVE = {"name": "istio-proxy", "state": terminated(137, "OOMKilled")}


def seen(status: dict[str, Any], **metadata: Any) -> tuple[str, str, str]:
    fact = fact_of(pod(0, status, **metadata))
    return fact.life.name, fact.reason, fact.fault.name if fact.reason else ""


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (beside(RUNNING), ("RUNNING", "", "")),
        (beside({"waiting": {"reason": "ContainerCreating"}}), ("PENDING", "", "")),
        (beside({"waiting": {"reason": "ImagePullBackOff"}}), ("PENDING", "ImagePullBackOff", "SETUP")),
        (beside(terminated(0, "Completed")), ("FINISHED", "", "")),
        (beside(terminated(1)), ("FAILED", "WorkerFailed", "WORK")),
        (beside(terminated(137, "OOMKilled")), ("FAILED", "OOMKilled", "WORK")),
        # The sidecar's end is nobody's business.
        (beside(terminated(0), "Failed", terminated(143)), ("FINISHED", "", "")),
        (beside(terminated(137, "OOMKilled"), "Failed", terminated(1)), ("FAILED", "OOMKilled", "WORK")),
        (beside(RUNNING, sidecar=terminated(1)), ("RUNNING", "", "")),
        (failed() | {"initContainerStatuses": [NATIVE]}, ("FAILED", "WorkerFailed", "WORK")),
        (beside(terminated(0)) | {"initContainerStatuses": [NATIVE]}, ("FINISHED", "", "")),
        # It may keep the worker from starting, or from its network.
        (
            beside({"waiting": {"reason": "PodInitializing"}}, "Pending", {"waiting": {"reason": "ErrImagePull"}}),
            ("PENDING", "ErrImagePull", "SETUP"),
        ),
        (
            {"phase": "Failed", "initContainerStatuses": [{"name": "vault-agent-init", "state": terminated(1)}]},
            ("FAILED", "SidecarFailed", "SETUP"),
        ),
        (
            beside(RUNNING, sidecar={"waiting": {"reason": "CrashLoopBackOff"}}),
            ("RUNNING", "CrashLoopBackOff", "SETUP"),
        ),
    ],
)
def test_a_pod_is_judged_by_its_worker(status: dict[str, Any], expected: tuple[str, str, str]) -> None:
    assert seen(status) == expected


def test_a_container_that_its_kubelet_starts_again_has_not_ended_its_pod() -> None:
    restarted = pod(0, beside(terminated(1)))
    restarted["spec"]["restartPolicy"] = "Always"
    assert fact_of(restarted).life is Life.RUNNING


def test_another_container_is_named() -> None:
    fact = fact_of(pod(0, beside(RUNNING, sidecar={"waiting": {"reason": "CrashLoopBackOff", "message": "no"}})))
    assert fact.message == "container istio-proxy: no"


OWN_LIMITS = [
    'Usage of EmptyDir volume "scratch" exceeds the limit "4Gi". ',
    'Container worker exceeded its local ephemeral storage limit "5Gi". ',
    "Pod ephemeral local storage usage exceeds the total limit of containers 5Gi. ",
]
ENDS: list[tuple[dict[str, Any], str, Fault]] = [
    *((evicted(message), "ScratchFull", Fault.WORK) for message in OWN_LIMITS),
    (evicted('Usage of EmptyDir volume "istio-data" exceeds the limit "1Gi". '), "SidecarFailed", Fault.SETUP),
    (
        evicted('Container istio-proxy exceeded its local ephemeral storage limit "1Gi". '),
        "SidecarFailed",
        Fault.SETUP,
    ),
    (evicted("The node was low on resource: ephemeral-storage. "), "Evicted", Fault.PLACE),
    (evicted(containerStatuses=[{"name": "worker", "state": terminated(0)}]), "Evicted", Fault.PLACE),
    (evicted(containerStatuses=[{"name": "worker", "state": terminated(137)}]), "Evicted", Fault.PLACE),
    (evicted("Pod was rejected: The node had condition: [DiskPressure]. "), "RejectedByNode", Fault.PLACE),
    (evicted("Pod was rejected: no", reason="OutOfnvidia.com/gpu"), "RejectedByNode", Fault.PLACE),
    (evicted("no", reason="OutOfmemory"), "RejectedByNode", Fault.PLACE),
    (evicted("no", reason="NodeAffinity"), "RejectedByNode", Fault.PLACE),
    (evicted("Pod was rejected: new", reason="SomethingNew"), "RejectedByNode", Fault.PLACE),
    (evicted("Preempted in order to admit critical pod", reason="Preempting"), "Preempted", Fault.PLACE),
    (
        evicted("Pod was terminated in response to imminent node shutdown.", reason="Terminated"),
        "NodeShutdown",
        Fault.PLACE,
    ),
    (evicted("", reason="NodeLost"), "NodeLost", Fault.PLACE),
    (evicted("Pod was active too long", reason="DeadlineExceeded"), "DeadlineExceeded", Fault.WORK),
    (disrupted("PreemptionByScheduler"), "Preempted", Fault.PLACE),
    (disrupted("DeletionByTaintManager"), "Evicted", Fault.PLACE),
    (disrupted("DeletionByPodGC"), "NodeLost", Fault.PLACE),
    (disrupted("TerminationByKubelet"), "Evicted", Fault.PLACE),
    (disrupted("TerminationByKubelet") | {"reason": "Preempting"}, "Preempted", Fault.PLACE),
    (disrupted("SomethingNew"), "Evicted", Fault.PLACE),
    (failed("OOMKilled", 137), "OOMKilled", Fault.WORK),
    (failed("ContainerStatusUnknown", 137), "NodeLost", Fault.PLACE),
    (failed("Unknown", 255), "NodeLost", Fault.PLACE),
    (failed("StartError", 128), "StartError", Fault.SETUP),
    (failed("Error", 2), "WorkerFailed", Fault.WORK),
    ({"phase": "Failed"}, "WorkerFailed", Fault.WORK),
]


@pytest.mark.parametrize(("status", "reason", "fault"), ENDS)
def test_each_end_is_somebody_s_doing(status: dict[str, Any], reason: str, fault: Fault) -> None:
    fact = fact_of(pod(0, status))
    assert (fact.life, fact.reason, fact.fault) == (Life.FAILED, reason, fault)
    assert fact.blameless == (fault is not Fault.WORK)
    assert fact.message


def test_a_memory_kill_is_the_worker_s_own_though_its_node_is_drained_too() -> None:
    both = disrupted("EvictionByEvictionAPI") | failed("OOMKilled", 137)
    assert seen(both)[1] == "OOMKilled"


def test_a_worker_that_had_failed_before_its_node_was_drained_failed_by_itself() -> None:
    both = disrupted("EvictionByEvictionAPI", ended=5)
    before = both | {"containerStatuses": [{"name": "worker", "state": terminated(1, ended=9)}]}
    assert seen(before) == ("FAILED", "WorkerFailed", "WORK")
    after = both | {"containerStatuses": [{"name": "worker", "state": terminated(143, ended=5)}]}
    assert seen(after) == ("FAILED", "Evicted", "PLACE")


@pytest.mark.parametrize(
    "reason", ["ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError", "RunContainerError"]
)
def test_what_has_to_be_set_up_spends_nothing(reason: str) -> None:
    assert seen(waiting(reason)) == ("PENDING", reason, "SETUP")
    assert seen(UNSCHEDULABLE) == ("PENDING", "Unschedulable", "SETUP")


def test_the_runbook_has_every_reason() -> None:
    causes = {
        podreasons.SCRATCH_FULL,
        podreasons.SIDECAR_FAILED,
        podreasons.WORKER_FAILED,
        podreasons.REJECTED,
        podreasons.UNSCHEDULABLE,
        *podreasons.POD_ENDS.values(),
        *podreasons.DISRUPTIONS.values(),
        *podreasons.CONTAINER_ENDS.values(),
        *podreasons.WAITS.values(),
    }
    text = RUNBOOK.read_text()
    assert {cause.reason for cause in causes if f"`{cause.reason}`" not in text} == set()


@pytest.mark.parametrize(
    ("message", "reason", "remedy"),
    [
        (
            'Usage of EmptyDir volume "scratch" exceeds the limit "4Gi". ',
            "ScratchFull",
            "raise workers.scratchSize",
        ),
        ('Usage of EmptyDir volume "tmp" exceeds the limit "256Mi". ', "TmpFull", "write to the scratch directory"),
        (
            "Pod ephemeral local storage usage exceeds the total limit of containers 1Gi. ",
            "ScratchFull",
            "raise resources.limits.ephemeral-storage of the job",
        ),
        (
            'Container worker exceeded its local ephemeral storage limit "1Gi". ',
            "ScratchFull",
            "raise resources.limits.ephemeral-storage of the job",
        ),
    ],
)
def test_a_disk_that_is_full_is_named_with_what_changes_it(message: str, reason: str, remedy: str) -> None:
    fact = fact_of(pod(0, evicted(message)))
    assert (fact.reason, fact.fault.name, remedy in fact.message) == (reason, "WORK", True)
