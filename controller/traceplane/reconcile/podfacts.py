"""What a pod's status says about the worker in it: alive, waiting, or ended, and why.

A pod is its worker's: other containers (a mesh's proxy, a vault's agent) come and go beside it, run on after it
has ended, and say nothing of the work. So a pod is judged by the container `worker`, by that one's own reason
first, and by others only where they end the pod before it, or keep it from starting.

Outside source: kubernetes.io "Pod Lifecycle" and "Sidecar Containers" (whose end changes no phase).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import Any

from traceplane.reconcile import podreasons
from traceplane.reconcile.podreasons import Cause, Fault

Object = Mapping[str, Any]

WORKER = "worker"
"""Name of the container that counts."""
OWN = frozenset({WORKER, "scratch", "tmp"})
"""It, and the volumes that it writes to."""


class Life(Enum):
    """Where a worker is in its life."""

    PENDING = "Pending"
    RUNNING = "Running"
    ENDING = "Ending"
    FINISHED = "Finished"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True)
class PodFact:
    """What one pod comes to. `reason` is empty where all is well."""

    life: Life
    reason: str = ""
    message: str = ""
    fault: Fault = Fault.PLACE
    started_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def blameless(self) -> bool:
        """It was not the task's doing: no attempt is spent."""
        return self.fault is not Fault.WORK


def fact_of(pod: Object) -> PodFact:
    """The one thing to know about a pod."""
    status = pod.get("status") or {}
    phase, deleted = status.get("phase", "Pending"), pod["metadata"].get("deletionTimestamp")
    over, own = phase in ("Succeeded", "Failed"), _end_of_worker(status)
    # A pod that is deleted stays for its other containers; that its worker failed counts as long as it is there.
    if over or (own and not _restarts(pod) and (not deleted or own.get("exitCode"))):
        started, ended = _moment(status.get("startTime")), _end(pod, status)
        return replace(_ended(status, phase), started_at=started, ended_at=ended)
    if deleted:
        return _fact(Life.ENDING, _disruption(status))
    life = Life.RUNNING if phase == "Running" and _worker(status, "waiting") is None else Life.PENDING
    if blocked := _blocked(status):
        return _fact(life, blocked)
    return PodFact(life, started_at=_moment(status.get("startTime")))


def _fact(life: Life, found: tuple[Cause, str] | None) -> PodFact:
    if found is None:
        return PodFact(life)
    cause, message = found
    said = "; ".join(part for part in (message.strip().rstrip("."), cause.remedy) if part)
    return PodFact(life, cause.reason, said, cause.fault)


def _restarts(pod: Object) -> bool:
    """Whether the kubelet starts containers that ended again."""
    return bool((pod.get("spec") or {}).get("restartPolicy", "Always") != "Never")


def _ended(status: Object, phase: str) -> PodFact:
    own = _end_of_worker(status)
    if own and own.get("reason") == "OOMKilled":
        return _fact(Life.FAILED, _termination(WORKER, own))
    if outside := _disruption(status, before=own) or _pod_end(status):
        return _fact(Life.FAILED, outside)
    if own:
        return _fact(Life.FAILED, _termination(WORKER, own)) if own.get("exitCode") else PodFact(Life.FINISHED)
    if phase == "Succeeded":
        return PodFact(Life.FINISHED)
    others = (_termination(name, ended) for name, ended in _terminations(status) if ended.get("exitCode"))
    silent = (podreasons.WORKER_FAILED, status.get("message") or "the pod failed and does not say why")
    return _fact(Life.FAILED, next(others, silent))


def _pod_end(status: Object) -> tuple[Cause, str] | None:
    """Why the kubelet or the cluster ended the pod, or did not take it."""
    reason, message = status.get("reason", ""), status.get("message", "")
    cause = podreasons.of_pod_end(reason, message, OWN)
    return (cause, f"{reason}: {message}") if cause else None


def _disruption(status: Object, before: Object | None = None) -> tuple[Cause, str] | None:
    """Who took the pod away. One that came after the worker's end did not cause it."""
    for condition in status.get("conditions") or []:
        if condition["type"] != "DisruptionTarget" or condition["status"] != "True":
            continue
        at, end = _moment(condition.get("lastTransitionTime")), _moment((before or {}).get("finishedAt"))
        if at and end and end < at:
            return None
        reason = condition.get("reason", "")
        # The kubelet's word for all it does is one; the pod's own reason says which.
        cause = _pod_end(status) if reason == "TerminationByKubelet" else None
        known = podreasons.DISRUPTIONS.get(reason, podreasons.DISRUPTIONS["EvictionByEvictionAPI"])
        return cause or (known, f"{reason}: {condition.get('message', '')}")
    return None


def _blocked(status: Object) -> tuple[Cause, str] | None:
    """Why a pod that should run does not: the worker's reason before that of any other container."""
    for container in _containers(status):
        waiting = (container.get("state") or {}).get("waiting") or {}
        cause = podreasons.WAITS.get(waiting.get("reason", ""))
        if cause is None:
            continue
        name, message = container["name"], waiting.get("message", "")
        last = (container.get("lastState") or {}).get("terminated") or {}
        end = _termination(name, last) if last.get("exitCode") else None
        if name == WORKER and cause.reason == "CrashLoopBackOff" and end and last.get("reason") == "OOMKilled":
            return end
        said = f"{message}; last end: {end[1]}" if end else message
        if name != WORKER:
            return Cause(cause.reason, Fault.SETUP), f"container {name}: {said}"
        return cause, said
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable":
            return podreasons.UNSCHEDULABLE, condition.get("message", "")
    return None


def _termination(name: str, ended: Object) -> tuple[Cause, str]:
    """The end of one container."""
    reason, said = ended.get("reason", ""), (ended.get("message") or "").strip()[-512:]
    message = f"container {name} ended with exit code {ended.get('exitCode')}: {said}"
    if reason == "OOMKilled":
        message = f"container {name} used more memory than its limit"
    if name != WORKER:
        return podreasons.SIDECAR_FAILED, message
    return podreasons.CONTAINER_ENDS.get(reason, podreasons.WORKER_FAILED), message


def _end_of_worker(status: Object) -> Object | None:
    return _worker(status, "terminated")


def _worker(status: Object, state: str) -> Object | None:
    """The worker container's state of that kind, if that is what it is in."""
    found = (c for c in _containers(status) if c["name"] == WORKER)
    return next(((c.get("state") or {}).get(state) for c in found), None)


def _terminations(status: Object) -> Iterator[tuple[str, Object]]:
    for container in _containers(status):
        if ended := (container.get("state") or {}).get("terminated"):
            yield container["name"], ended


def _containers(status: Object) -> list[Object]:
    """The worker first; the others as Kubernetes starts them."""
    found = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    return sorted(found, key=lambda container: container["name"] != WORKER)


def _end(pod: Object, status: Object) -> datetime | None:
    """When the worker ended. A pod that was rejected or evicted may tell nothing of its containers."""
    conditions = status.get("conditions") or []
    own = (_end_of_worker(status) or {}).get("finishedAt")
    others = [ended.get("finishedAt") for _, ended in _terminations(status)]
    changed = [condition.get("lastTransitionTime") for condition in conditions]
    times = [own] if own else others if any(others) else changed if any(changed) else []
    times = times or [status.get("startTime") or pod["metadata"].get("creationTimestamp")]
    return max((moment for text in times if (moment := _moment(text))), default=None)


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
