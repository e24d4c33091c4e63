"""What a pod's status says about the worker in it: alive, waiting, or ended, and why.

The kubelet's and the scheduler's words are mapped to one reason each, because a person reads them on the Job, and
because the two kinds of end differ: an eviction or a lost node is not the task's fault and costs no attempt, an
out-of-memory kill is (it would happen again) and does.

Outside source: kubernetes.io "Pod Lifecycle", "Disruptions" (condition DisruptionTarget) and the container
state reasons of the kubelet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

Object = Mapping[str, Any]


class Life(Enum):
    """Where a pod is in its life."""

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
    blameless: bool = False
    """The end came from outside (eviction, drain, lost node): no attempt is spent, no backoff is due."""
    started_at: datetime | None = None
    ended_at: datetime | None = None


_IMAGE = {"ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"}
_BLOCKED = _IMAGE | {"CreateContainerConfigError", "CreateContainerError", "CrashLoopBackOff", "RunContainerError"}
_OUTSIDE = {"Evicted", "NodeLost", "NodeShutdown", "Shutdown", "Terminated", "Preempting", "NodeAffinity"}


def fact_of(pod: Object) -> PodFact:
    """The one thing to know about a pod."""
    status = pod.get("status") or {}
    phase = status.get("phase", "Pending")
    if phase in ("Succeeded", "Failed"):
        return _ended(status, phase)
    if pod["metadata"].get("deletionTimestamp"):
        disruption = _disruption(status)
        return PodFact(Life.ENDING, *(disruption or ("", "")), blameless=disruption is not None)
    if blocked := _blocked(status):
        return PodFact(Life.PENDING if phase == "Pending" else Life.RUNNING, *blocked)
    return PodFact(
        Life.RUNNING if phase == "Running" else Life.PENDING, started_at=_moment(status.get("startTime"))
    )


def _ended(status: Object, phase: str) -> PodFact:
    started, ended = _moment(status.get("startTime")), _end(status)
    if phase == "Succeeded":
        return PodFact(Life.FINISHED, started_at=started, ended_at=ended)
    if outside := _outside(status):
        return PodFact(Life.FAILED, *outside, blameless=True, started_at=started, ended_at=ended)
    reason, message = next(_terminations(status), ("WorkerFailed", status.get("message", "the pod failed")))
    return PodFact(Life.FAILED, reason, message, started_at=started, ended_at=ended)


def _outside(status: Object) -> tuple[str, str] | None:
    """An end that the worker did not cause."""
    if disruption := _disruption(status):
        return disruption
    reason = status.get("reason", "")
    if reason not in _OUTSIDE:
        return None
    return "NodeLost" if reason == "NodeLost" else "Evicted", f"{reason}: {status.get('message', '')}"


def _disruption(status: Object) -> tuple[str, str] | None:
    for condition in status.get("conditions") or []:
        if condition["type"] == "DisruptionTarget" and condition["status"] == "True":
            # `EvictionByEvictionAPI`, `DeletionByTaintManager`, `PreemptionByScheduler`, `TerminationByKubelet`
            return "Evicted", f"{condition.get('reason', '')}: {condition.get('message', '')}"
    return None


def _blocked(status: Object) -> tuple[str, str] | None:
    """Why a pod that should run does not."""
    for container in _containers(status):
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in _BLOCKED:
            last = next(_terminations(status, "lastState"), None)
            if waiting["reason"] == "CrashLoopBackOff" and last and last[0] == "OOMKilled":
                return last
            return waiting["reason"], _explained(waiting.get("message", ""), last)
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable":
            return "Unschedulable", condition.get("message", "")
    return None


def _explained(message: str, last: tuple[str, str] | None) -> str:
    return f"{message}; last end: {last[1]}" if last else message


def _terminations(status: Object, part: str = "state") -> Iterator[tuple[str, str]]:
    for container in _containers(status):
        ended = (container.get(part) or {}).get("terminated")
        if ended and ended.get("exitCode") != 0:
            said = (ended.get("message") or "").strip()[-512:]
            if ended.get("reason") == "OOMKilled":
                yield "OOMKilled", f"container {container['name']} used more memory than its limit"
            else:
                yield (
                    "WorkerFailed",
                    f"container {container['name']} ended with exit code {ended['exitCode']}: {said}",
                )


def _containers(status: Object) -> list[Object]:
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


def _end(status: Object) -> datetime | None:
    ends = [
        _moment(ended.get("finishedAt"))
        for container in _containers(status)
        if (ended := (container.get("state") or {}).get("terminated"))
    ]
    return max((end for end in ends if end), default=None)


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
