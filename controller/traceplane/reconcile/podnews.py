"""Why a pod does not begin though its status has nothing wrong: a Secret or a ConfigMap that it mounts is missing.

Of that the status says `ContainerCreating` for ever; the kubelet tells of it by Events alone. So of a pod that
waits for long, and only of such a one, the warnings are read, and the one that says why is put into words that name
what to make. Pure.

Outside source: Kubernetes 1.34, `pkg/kubelet/events/event.go` and `pkg/volume` for the words; kubernetes.io "Pod
conditions" for `PodReadyToStartContainers`, which is True once everything is mounted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from traceplane.reconcile.podfacts import Life, Object, PodFact
from traceplane.reconcile.podreasons import IMAGE_WAITS, Fault

PATIENCE_SECONDS = 10.0
"""A pod that begins at once is not asked about."""
_NEWS_SECONDS = 900.0
"""An older warning is over. The kubelet tries again every two minutes, and after 25 Events of a pod tells of one in
five minutes (its spam filter), whichever comes then."""
_PULL_SECRET = "FailedToRetrieveImagePullSecret"  # noqa: S105  (a reason)
_MOUNTS = frozenset({"FailedMount", "FailedAttachVolume", "FailedMapVolume", "FailedCreatePodSandBox"})


def is_stuck(pod: Object, fact: PodFact, now: datetime) -> bool:
    """Whether the kubelet's Events should be read: it has the pod, and does not start it."""
    placed, made = (pod.get("spec") or {}).get("nodeName"), pod["metadata"].get("creationTimestamp")
    if fact.life is not Life.PENDING or not placed or not made or (fact.reason and fact.reason not in IMAGE_WAITS):
        return False
    return (now - datetime.fromisoformat(made)).total_seconds() >= PATIENCE_SECONDS


def explained(pod: Object, fact: PodFact, warnings: Iterable[Object], now: datetime) -> PodFact:
    """The fact with what the kubelet warned of, where that is why the pod waits."""
    said = {w.get("reason"): str(w.get("message", "")) for w in sorted(warnings, key=_seen) if _recent(w, now)}
    if fact.reason:
        secret = said.get(_PULL_SECRET)
        return replace(fact, message=f"{secret} {fact.message}") if secret else fact
    found = [reason for reason in said if reason in _MOUNTS]
    # One that has ended has nothing mounted any more, and was late with it for a moment perhaps.
    if not found or fact.life is not Life.PENDING or _mounted(pod):
        return fact
    reason = found[-1]
    message = "; ".join(part for part in (said[reason].strip().rstrip("."), _remedy(pod, said[reason])) if part)
    return replace(fact, reason=reason, message=message, fault=Fault.SETUP)


def _mounted(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(c["type"] == "PodReadyToStartContainers" and c["status"] == "True" for c in conditions)


def _remedy(pod: Object, message: str) -> str:
    """What to make, where the message is about a Secret that the platform mounts."""
    found = re.search(r'volume "([^"]+)"', message)
    name = found[1] if found else ""
    secret = next(
        (v["secret"] for v in pod["spec"].get("volumes") or [] if v["name"] == name and "secret" in v), None
    )
    if secret is None:
        return ""
    keys = ", ".join(item["key"] for item in secret.get("items") or [])
    wanted = f"Secret {secret['secretName']} with key {keys}"
    if name.startswith("rpc-"):
        return f"rpcPool {_pool(pod, name)} is {wanted}: make it, or correct rpcPool in the job's config"
    return f"the pod needs {wanted}"


def _pool(pod: Object, volume: str) -> str:
    mounts: list[Mapping[str, Any]] = pod["spec"]["containers"][0].get("volumeMounts") or []
    return next((str(m["mountPath"]).rpartition("/")[2] for m in mounts if m["name"] == volume), volume)


def _seen(warning: Object) -> str:
    """When it was last said of."""
    series = warning.get("series") or {}
    times = (series.get("lastObservedTime"), warning.get("lastTimestamp"), warning.get("eventTime"))
    return next((str(time) for time in times if time), "")


def _recent(warning: Object, now: datetime) -> bool:
    seen = _seen(warning)
    return bool(seen) and (now - datetime.fromisoformat(seen)).total_seconds() < _NEWS_SECONDS
