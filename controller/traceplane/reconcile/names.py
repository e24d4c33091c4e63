"""Names and labels of everything the controller owns.

Names are a function of what the object stands for, never random: applying twice cannot make two. `hash8` are
the first eight digits of a job generation's config hash, so that the workers of two generations can live side
by side while the older ones drain.
"""

from __future__ import annotations

from collections.abc import Mapping

DAG = "trace.dev/dag"
JOB = "trace.dev/job"
GENERATION = "trace.dev/generation"
RPC = "trace.dev/rpc"
"""On pods that use an RPC pool, whose nodes may be anywhere: network policies let them out."""
SPEC_HASH = "trace.dev/spec-hash"
"""Annotation: hash of the whole spec we asked for; differs where the platform's own template changed."""
FINALIZER = "trace.dev/drain"
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
    """The short form of a config hash that names and labels carry."""
    return config_hash.removeprefix("sha256:")[:8]


def workload(dag: str, job: str, config_hash: str) -> str:
    """Name of a source's Deployment, and stem of the names of worker pods."""
    return f"{dag}-{job}-{hash8(config_hash)}"


def worker_pod(dag: str, job: str, config_hash: str, slot: int) -> str:
    """Name of the worker pod in a slot."""
    return f"{workload(dag, job, config_hash)}-w{slot}"


def slot_of(pod: str) -> int | None:
    """The slot that a pod's name says; None where it says none."""
    number = pod.rpartition("-w")[2]
    return int(number) if number.isdigit() else None


def projected_job(dag: str, job: str) -> str:
    """Name of the Job object that shows an inline job."""
    return f"{dag}-{job}"


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
