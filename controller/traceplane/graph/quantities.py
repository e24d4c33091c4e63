"""Kubernetes resource quantities, compared: a pod that asks for more than its limit is never admitted.

The suffixes are those of `k8s.io/apimachinery/pkg/api/resource` that our schema takes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal

from traceplane.graph.model import Problem
from traceplane.graph.nodes import Node
from traceplane.kinds.rules import INVALID

REQUESTS: Mapping[str, str] = {"cpu": "100m", "memory": "256Mi"}
LIMITS: Mapping[str, str] = {"cpu": "1", "memory": "2Gi"}
"""What a worker container gets where its job says nothing."""

_DECIMAL = {"m": Decimal("0.001"), "": Decimal(1)} | {s: Decimal(1000) ** n for n, s in enumerate("kMGT", 1)}
_BINARY = {f"{s}i": Decimal(1024) ** n for n, s in enumerate("KMGT", 1)}
_FACTORS = _DECIMAL | _BINARY


def amount(quantity: str) -> Decimal:
    """The number that a valid quantity means, such as 0.5 for `500m`."""
    number, suffix = re.fullmatch(r"([0-9.]+)([a-zA-Z]*)", quantity).groups()  # type: ignore[union-attr]
    return Decimal(number) * _FACTORS[suffix]


def effective(node: Node) -> tuple[dict[str, str], dict[str, str]]:
    """Requests and limits of the node's worker container, the platform's where it gives none."""
    given = node.template.resources
    requests = {k: str(v) for k, v in ((given.requests if given else None) or {}).items()}
    limits = {k: str(v) for k, v in ((given.limits if given else None) or {}).items()}
    return {**REQUESTS, **requests}, {**LIMITS, **limits}


def excesses(node: Node) -> Iterator[Problem]:
    """Requests above their limit, at the side that the job wrote."""
    requests, limits = effective(node)
    given = node.template.resources
    for name in sorted(requests.keys() & limits.keys()):
        if amount(requests[name]) > amount(limits[name]):
            side = "requests" if given and name in (given.requests or {}) else "limits"
            message = f"{name} request {requests[name]} is above its limit {limits[name]}; set both"
            yield node.problem(f"resources.{side}.{name}", INVALID, message)
