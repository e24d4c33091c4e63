"""Labels and annotations of worker pods that a job may not set: they would move the pod's walls."""

from __future__ import annotations

from collections.abc import Iterator

from traceplane.graph.model import Problem
from traceplane.graph.nodes import Node
from traceplane.kinds.rules import FORBIDDEN
from traceplane.kit import podkeys


def reserved(node: Node) -> Iterator[Problem]:
    """Keys of the node's `pod.labels` and `pod.annotations` that are not its own to set."""
    pod = node.template.pod
    for field, keys in (("labels", pod.labels), ("annotations", pod.annotations)) if pod else ():
        for key in keys or ():
            if why := podkeys.refused_of_job(key):
                yield node.problem(f"pod.{field}", FORBIDDEN, f"{why}; remove it")
