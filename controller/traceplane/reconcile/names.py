"""Names and labels of everything the controller owns.

Names are a function of what the object stands for, never random: applying twice cannot make two. Two things
never share one: parts that are put together may contain the `-` that joins them (DAG `a` with job `b-c`, DAG `a-b`
with job `c`), so a name of a pod or a Deployment ends in a hash of its parts, and that of a projected Job joins
them by a dot, which no part contains. A hash covers the job generation as well, so that the workers of two
generations can live side by side while the older ones drain.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

DAG = "trace.dev/dag"
JOB = "trace.dev/job"
GENERATION = "trace.dev/generation"
RPC = "trace.dev/rpc"
"""On pods that use an RPC pool, whose nodes may be anywhere: network policies let them out."""
SPEC_HASH = "trace.dev/spec-hash"
"""Annotation: hash of the whole spec we asked for; differs where the platform's own template changed."""
FINALIZER = "trace.dev/drain"
_LONGEST = 63
"""Of a DNS-1123 label, which the host name of a pod is."""
_STEM = _LONGEST - 17
"""Kubernetes adds a hash and a suffix to the name of a Deployment, for its pods; a slot is shorter."""
_DIGITS = 12
OWNED = f"{DAG},{JOB},app.kubernetes.io/managed-by=trace-controller"
"""Label selector of the pods and Deployments that the controller owns."""


def labels(dag: str, job: str | None = None, generation: str | None = None) -> dict[str, str]:
    """The labels of an owned object."""
    found = {
        "app.kubernetes.io/part-of": "trace",
        "app.kubernetes.io/managed-by": "trace-controller",
        DAG: dag,
        JOB: job,
        GENERATION: generation,
    }
    return {key: value for key, value in found.items() if value}


def hash8(config_hash: str) -> str:
    """The short form of a config hash that labels carry."""
    return config_hash.removeprefix("sha256:")[:8]


def workload(dag: str, job: str, config_hash: str) -> str:
    """Name of a source's Deployment, and stem of the names of worker pods."""
    return _hashed(_STEM, dag, job, config_hash)


def worker_pod(dag: str, job: str, config_hash: str, slot: int) -> str:
    """Name of the worker pod in a slot."""
    return f"{workload(dag, job, config_hash)}-w{slot}"


def slot_of(pod: str) -> int | None:
    """The slot that a pod's name says; None where it says none."""
    number = pod.rpartition("-w")[2]
    return int(number) if number.isdigit() else None


def projected_job(dag: str, job: str) -> str:
    """Name of the Job object that shows an inline job."""
    whole = f"{dag}.{job}"
    return whole if len(whole) <= _LONGEST else _hashed(_LONGEST, dag, job)


def _hashed(longest: int, *parts: str) -> str:
    """A name that begins with what a person looks for and ends with a hash of all parts; it has no dot."""
    digits = hashlib.sha256("/".join(parts).encode()).hexdigest()[:_DIGITS]
    return f"{'-'.join(parts[:2])[: longest - _DIGITS - 1].rstrip('-')}-{digits}"


def owner(obj: Mapping[str, object], kind: str) -> dict[str, object]:
    """A controller ownerReference to a trace.dev object."""
    metadata = obj["metadata"]
    assert isinstance(metadata, Mapping)
    return {
        "apiVersion": "trace.dev/v1alpha1",
        "kind": kind,
        "name": metadata["name"],
        "uid": metadata["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def controller_of(obj: Mapping[str, object]) -> Mapping[str, object] | None:
    """The ownerReference that controls an object, if any."""
    metadata = obj["metadata"]
    assert isinstance(metadata, Mapping)
    references = metadata.get("ownerReferences") or []
    return next((reference for reference in references if reference.get("controller")), None)


def owned_by(obj: Mapping[str, object], uid: str) -> bool:
    """Whether the object with that uid controls `obj`."""
    reference = controller_of(obj)
    return reference is not None and reference.get("uid") == uid


def projected(obj: Mapping[str, object]) -> bool:
    """Whether a Job or Asset is our own projection: a DAG controls it."""
    reference = controller_of(obj)
    return reference is not None and reference.get("kind") == "DAG"
