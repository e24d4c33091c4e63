"""Objects that show what a DAG holds: a Job for each inline job, an Asset for each publication.

They are views. Their content follows from the DAG alone, they belong to it (so they go with it), and what people
do to them is undone. What people wrote under the same name is never touched: a hand-written Job or an Asset
with a policy wins, and the projection steps aside.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from traceplane.drivers.kube import Object
from traceplane.graph.model import Graph, GraphJob, Publication
from traceplane.reconcile import names


def job(dag: Mapping[str, Any], node: GraphJob) -> Object:
    """The Job that shows an inline job."""
    name = dag["metadata"]["name"]
    return {
        "apiVersion": "trace.dev/v1alpha1",
        "kind": "Job",
        "metadata": {
            "name": names.projected_job(name, node.name),
            "labels": names.labels(name, node.name),
            "ownerReferences": [names.owner(dag, "DAG")],
        },
        "spec": {**node.manifest, "dag": name, "name": node.name},
    }


def asset(dag: Mapping[str, Any], graph: Graph, publication: Publication) -> Object:
    """The Asset of a publication for which nobody wrote one: any reader, storage as the output has it."""
    output = next(o for o in graph.job(publication.job).outputs if o.name == publication.output)
    return {
        "apiVersion": "trace.dev/v1alpha1",
        "kind": "Asset",
        "metadata": {
            "name": publication.asset,
            "labels": names.labels(graph.dag),
            "ownerReferences": [names.owner(dag, "DAG")],
        },
        "spec": {
            "description": f"Output {publication.output} of job {publication.job} of DAG {graph.dag}.",
            "storage": output.schema.storage.value,
        },
    }


def deviates(wanted: Any, live: Any) -> bool:
    """Whether `live` differs in anything that `wanted` says. What the server added beside it does not count."""
    if isinstance(wanted, Mapping):
        return not isinstance(live, Mapping) or any(
            key not in live or deviates(value, live[key]) for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        return (
            not isinstance(live, list)
            or len(wanted) != len(live)
            or any(deviates(*pair) for pair in zip(wanted, live, strict=True))
        )
    return bool(wanted != live) and not _same_quantity(wanted, live)


def _same_quantity(wanted: Any, live: Any) -> bool:
    """Whether both are one Kubernetes quantity: the server writes `1000m` as `1`."""
    if not (isinstance(wanted, str) and isinstance(live, str)):
        return False
    values = (_quantity(wanted), _quantity(live))
    return None not in values and values[0] == values[1]


def _quantity(text: str) -> Decimal | None:
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(m|k|M|G|T|Ki|Mi|Gi|Ti)?", text)
    return Decimal(found[1]) * _SUFFIXES[found[2] or ""] if found else None


RESTARTED = "kubectl.kubernetes.io/restartedAt"
"""Annotation of a pod template: `kubectl rollout restart` sets it."""
_RESTART_ALONE: Mapping[str, Any] = {"f:template": {"f:metadata": {"f:annotations": {f"f:{RESTARTED}": {}}}}}

_SUFFIXES = {"": Decimal(1), "m": Decimal("0.001")}
_SUFFIXES |= {suffix: Decimal(10 ** (3 * n)) for n, suffix in enumerate("kMGT", 1)}
_SUFFIXES |= {f"{suffix}i": Decimal(2 ** (10 * n)) for n, suffix in enumerate("KMGT", 1)}


def restarted_as(live: Mapping[str, Any] | None, wanted: dict[str, Any]) -> dict[str, Any]:
    """A Deployment as wanted, with the mark of the last `kubectl rollout restart`: to restart it is a person's."""
    annotations = {} if live is None else live["spec"]["template"]["metadata"].get("annotations") or {}
    if RESTARTED not in annotations:
        return wanted
    template = wanted["spec"]["template"]
    marked = {**template["metadata"]["annotations"], RESTARTED: annotations[RESTARTED]}
    template = {**template, "metadata": {**template["metadata"], "annotations": marked}}
    return {**wanted, "spec": {**wanted["spec"], "template": template}}


def foreign_fields(live: Mapping[str, Any], manager: str) -> tuple[str, ...]:
    """Top-level fields of `spec` that another field manager owns, so that an apply would not undo its changes. The
    mark of a restart is nobody's change of what the controller wants.

    Outside source: `metadata.managedFields`, kubernetes.io "Server-Side Apply".
    """
    found: set[str] = set()
    for entry in live["metadata"].get("managedFields") or []:
        if entry.get("manager") != manager and entry.get("subresource") is None:
            spec = (entry.get("fieldsV1") or {}).get("f:spec") or {}
            if spec != _RESTART_ALONE:
                found |= {key[2:] for key in spec if key.startswith("f:")}
    return tuple(sorted(found))
