"""Which labels and annotations of a worker pod belong to whom.

Network policies let a pod out by its labels, admission and the container runtime loosen a pod's walls by its
annotations, and so does all that is installed in a cluster (meshes, vaults, plugins of networks and clouds), by
keys that nobody can list. So keys that the platform stands on are its own, and the author of a job sets plain keys
and those that the installation allows.

Outside source: kubernetes.io "Labels and Selectors" (syntax), "Well-Known Labels, Annotations and Taints".
"""

from __future__ import annotations

import re
from collections.abc import Collection

_KEY = re.compile(
    r"([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
)
_PLATFORM = re.compile(
    r"(([^/]*\.)?trace\.dev|app\.kubernetes\.io|argocd\.argoproj\.io"
    r"|container\.apparmor\.security\.beta\.kubernetes\.io|[^/]*seccomp\.security\.alpha\.kubernetes\.io)/.*"
    r"|pod-template-hash"
)
_KUBERNETES = re.compile(r"([^/]*\.)?(kubernetes|k8s)\.io/.*")
_HARMLESS = frozenset({"cluster-autoscaler.kubernetes.io/safe-to-evict"})
# Binds a cloud's identity to a pod, though it looks like anybody's key.
_IDENTITY = "aadpodidbinding"


def malformed(key: str) -> str | None:
    """Why no label may have the key; None where one may."""
    well = len(key) <= 253 and _KEY.fullmatch(key)
    return None if well else f"{key[:80]!r} is no key such as team or example.org/team"


def refused_of_installation(key: str) -> str | None:
    """Why the chart's values may not set a key; None where they may."""
    return malformed(key) or (f"{key} is set by the platform" if _PLATFORM.fullmatch(key) else None)


def refused_of_job(key: str) -> str | None:
    """Why a job may not set a key, whatever the installation allows; None where it may."""
    if _KUBERNETES.fullmatch(key) and key not in _HARMLESS:
        return f"{key} is Kubernetes' own, which a job may not set"
    return refused_of_installation(key)


def needs_allowance(key: str, allowed: Collection[str]) -> bool:
    """Whether a job may set a key only where it, or its prefix, is `allowed`, and it is not.

    Names with a dot are older forms of a prefix, on which container runtimes act.
    """
    plain = "/" not in key and "." not in key and key != _IDENTITY
    return not (plain or key in _HARMLESS or key in allowed or key.partition("/")[0] in allowed)
