"""Why pods end or do not start, in the words of Kubernetes, and what each comes to. Pure: a table.

Two questions decide what is done about a pod: whose doing it was, and whether it will happen again. The work's own
doing would happen again wherever it ran, so it spends an attempt. What a node or the cluster did, and what a person
has to set up first, spends none. Every one of them waits before the next pod, and every one is shown.

Outside source: Kubernetes 1.34, `pkg/kubelet` (`eviction/helpers.go`, `lifecycle/predicate.go`, `preemption`,
`nodeshutdown`, `active_deadline.go`, `images/types.go`, `kuberuntime`) for reasons and messages; kubernetes.io
"Pod disruption conditions" (KEP-3329) for `DisruptionTarget`. The runbook of worker pods lists the same reasons.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum


class Fault(IntEnum):
    """Whose doing it was. The order is that of urgency."""

    SETUP = 0
    """Nobody's work: something has to be set up first, and until then it happens again. No attempt is spent."""
    WORK = 1
    """The task's or its limits': it would happen again. An attempt is spent."""
    PLACE = 2
    """The node's or the cluster's: it may go well elsewhere or later. No attempt is spent."""


@dataclass(frozen=True, slots=True)
class Cause:
    """What a word of Kubernetes comes to. `reason` is what conditions, Events and attempts say."""

    reason: str
    fault: Fault
    remedy: str = ""


SCRATCH_FULL = Cause("ScratchFull", Fault.WORK, "write less to scratch, or raise workers.scratchSize of the chart")
_TMP_FULL = Cause("TmpFull", Fault.WORK, "write to the scratch directory instead: the size of /tmp is fixed")
_STORAGE_FULL = Cause(
    "ScratchFull", Fault.WORK, "write less to disk, or raise resources.limits.ephemeral-storage of the job"
)
_FULL = {"scratch": SCRATCH_FULL, "tmp": _TMP_FULL}
"""By volume; what else is limited is what a container, or the pod, writes in all."""
SIDECAR_FAILED = Cause("SidecarFailed", Fault.SETUP)
"""A container that is not the worker ended the pod, or keeps it from starting."""
WORKER_FAILED = Cause("WorkerFailed", Fault.WORK)
NODE_LOST = Cause("NodeLost", Fault.PLACE)
REJECTED = Cause("RejectedByNode", Fault.PLACE)
_EVICTED = Cause("Evicted", Fault.PLACE)
_PREEMPTED = Cause("Preempted", Fault.PLACE)
_SHUTDOWN = Cause("NodeShutdown", Fault.PLACE)
_DEADLINE = Cause("DeadlineExceeded", Fault.WORK, "a policy of the cluster bounds how long a pod may run")

POD_ENDS: Mapping[str, Cause] = {
    "Evicted": _EVICTED,
    "Preempting": _PREEMPTED,
    "Terminated": _SHUTDOWN,
    "Shutdown": _SHUTDOWN,
    "NodeShutdown": _SHUTDOWN,
    "NodeLost": NODE_LOST,
    "DeadlineExceeded": _DEADLINE,
}
"""By `status.reason` of a pod that has ended."""

REJECTIONS = frozenset(
    {
        "NodeAffinity",
        "NodeName",
        "NodePorts",
        "TaintToleration",
        "UnexpectedAdmissionError",
        "UnexpectedPredicateFailureType",
        "UnknownReason",
        "InvalidNodeInfo",
        "TopologyAffinityError",
        "SMTAlignmentError",
        "VolumeAttachmentLimitExceeded",
        "PodOSNotSupported",
        "PodOSSelectorNodeLabelDoesNotMatch",
        "SupplementalGroupsPolicyNotSupported",
        "InitContainerRestartPolicyForbidden",
        "PodLevelResourcesNotAdmitted",
        "AppArmor",
        "SysctlForbidden",
    }
)
"""Reasons of a kubelet that did not take a pod which was scheduled to it; so is every `OutOf<resource>`."""
_REJECTED = "Pod was rejected: "

DISRUPTIONS: Mapping[str, Cause] = {
    "PreemptionByScheduler": _PREEMPTED,
    "DeletionByTaintManager": _EVICTED,
    "EvictionByEvictionAPI": _EVICTED,
    "DeletionByPodGC": NODE_LOST,
    "TerminationByKubelet": _EVICTED,
}
"""By reason of the condition `DisruptionTarget`."""

CONTAINER_ENDS: Mapping[str, Cause] = {
    "OOMKilled": Cause("OOMKilled", Fault.WORK, "raise resources.limits.memory of the job"),
    "DeadlineExceeded": _DEADLINE,
    "StartError": Cause("StartError", Fault.SETUP),
    "ContainerCannotRun": Cause("StartError", Fault.SETUP),
    "ContainerStatusUnknown": NODE_LOST,  # the kubelet came back and did not find the container
    "Unknown": NODE_LOST,  # so did the container runtime, after the node was started again
}
"""By `terminated.reason` of the worker's container; any other end with an exit code is `WorkerFailed`."""

IMAGE_WAITS = (
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "RegistryUnavailable",
    "SignatureValidationFailed",
)
_IMAGE = "correct images.trace, or images.pullSecrets, of the chart"
WAITS: Mapping[str, Cause] = {
    **{reason: Cause(reason, Fault.SETUP, _IMAGE) for reason in IMAGE_WAITS},
    **{
        reason: Cause(reason, Fault.SETUP)
        for reason in (
            "CreateContainerConfigError",
            "CreateContainerError",
            "PreCreateHookError",
            "PreStartHookError",
            "PostStartHookError",
            "RunContainerError",
        )
    },
    "CrashLoopBackOff": Cause("CrashLoopBackOff", Fault.WORK),
}
"""By `waiting.reason` of a container that does not start. Others (`ContainerCreating`) pass by themselves."""

UNSCHEDULABLE = Cause("Unschedulable", Fault.SETUP)
"""By the condition `PodScheduled`: no node has room or fits."""

_OWN_LIMIT = (
    re.compile(r'Usage of EmptyDir volume "(?P<whose>[^"]*)" exceeds', re.IGNORECASE),
    re.compile(r"Container (?P<whose>\S+) exceeded its local ephemeral storage limit", re.IGNORECASE),
    re.compile(r"Pod ephemeral local storage usage exceeds the total limit of containers", re.IGNORECASE),
)
"""Messages of an eviction for a limit of the pod's own, which no other node would change."""


def of_pod_end(reason: str, message: str, own: frozenset[str]) -> Cause | None:
    """What `status.reason` of an ended pod comes to; None where the pod's containers say it.

    `own`: names of the worker's container and of the volumes that it writes to.
    """
    if reason == "Evicted":
        for form in _OWN_LIMIT:
            if found := form.search(message):
                whose = found.groupdict().get("whose")
                return _FULL.get(whose or "", _STORAGE_FULL) if whose in own | {None} else SIDECAR_FAILED
    if reason in REJECTIONS or reason.startswith("OutOf") or message.startswith(_REJECTED):
        return REJECTED
    return POD_ENDS.get(reason)
