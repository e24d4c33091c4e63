"""Objects for tables of decisions: the graph of the example DAG, and pods in every state that a kubelet reports."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

import yaml

from traceplane import graph, operator_registry
from traceplane.graph import Graph
from traceplane.reconcile import names, podspec, projection, workers
from traceplane.reconcile.actions import Input
from traceplane.store.statements.controller_facts import DagFacts, JobFacts
from traceplane.store.statements.rollouts import Standing
from traceplane.versions.readiness import assess

Object = dict[str, Any]

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
VERSION = UUID("01a20000-0000-7000-8000-000000000001")
PLATFORM = podspec.Platform(
    image="trace.local/trace:1",
    pull_policy="IfNotPresent",
    dispatcher_url="http://trace-dispatcher:8080",
    query_url="http://trace-query:8082",
    secret="trace-worker",
    rpc_secret_prefix="rpcpool-",
    grace_seconds=60,
    s3_endpoint_url="http://minio:9000",
    s3_region="us-east-1",
    heartbeat_seconds=30,
)
_CHAIN = Path(__file__).resolve().parents[3] / "dags" / "chain.yaml"


def dag(uid: str = "dag-uid", generation: int = 1, **spec: Any) -> Object:
    """The example DAG as the API server shows it."""
    document = next(d for d in yaml.safe_load_all(_CHAIN.read_text()) if d["kind"] == "DAG")
    document["metadata"] |= {"namespace": "default", "uid": uid, "generation": generation}
    document["spec"] |= spec
    return document


@cache
def chain() -> Graph:
    """The graph of the example DAG."""
    parsed = graph.parse("DAG", dag())
    assert not isinstance(parsed, list), parsed
    built = graph.assemble(parsed, [], [], operator_registry.load())
    assert isinstance(built, Graph), built
    return built


def job(name: str = "compact", **values: Any) -> JobFacts:
    """A job of the example as state tells of it: idle, provisioned."""
    node = chain().job(name)
    facts = JobFacts(
        job_id=UUID(int=abs(hash(name)) % 2**64),
        name=name,
        config_hash=node.config_hash,
        operator=node.operator,
        activation=node.activation,
        runtime=node.runtime,
        execution_strategy=node.execution_strategy,
        config=node.config,
        paused=False,
        provisioned=True,
        min_workers=node.min_workers,
        max_workers=node.max_workers,
        max_concurrency=node.max_concurrency,
        idle_timeout_seconds=node.idle_timeout_seconds,
        placement=node.placement.json(),
        queued=0,
        running=0,
        retrying=0,
        dead=0,
        oldest_queued_seconds=None,
        last_failure=None,
        report=None,
    )
    return replace(facts, **values)


def facts(*jobs: JobFacts, busy: tuple[str, ...] = (), **values: Any) -> DagFacts:
    """The running version of the example, with `jobs` instead of its own where given."""
    known = {"follow": job("follow"), "ranges": job("ranges"), "compact": job("compact")}
    known |= {changed.name: changed for changed in jobs}
    found = DagFacts(
        active_version_id=VERSION,
        staged_version_id=None,
        active_spec_hash=chain().spec_hash,
        resource_uid="dag-uid",
        resource_generation=1,
        deleted_at=None,
        jobs=tuple(known.values()),
        busy_workers=frozenset(busy),
    )
    return replace(found, **values)


NEW_HASH = "b" * 64


def staged(*jobs: JobFacts, **standing: Any) -> dict[str, Any]:
    """The changes of an input in which a version with another `compact` is built beside the running one."""
    built = jobs or (job("compact", job_id=UUID(int=9), config_hash=NEW_HASH, staged=True),)
    one = {
        "job_id": built[0].job_id,
        "name": built[0].name,
        "activation": built[0].activation,
        "paused": False,
        "provisioned": True,
        "unfinished": 3,
        "oldest_seconds": 99.0,
        "dead": 0,
        "error": {"code": "Broken", "message": "no such column"},
        "tasks": 8,
        "position": None,
        "replaces": True,
        "usual_seconds": None,
        "goal": None,
        "report": None,
    }
    return {
        "facts": facts(
            active_spec_hash="older",
            active_name="v1-0lder",
            staged_version_id=UUID(int=2),
            staged_spec_hash=chain().spec_hash,
            staged_name="v2-newer",
            staged_jobs=tuple(built),
        ),
        "rollout": assess([Standing(**one | standing)]),
    }


def observed(**values: Any) -> Input:
    """An input in which all that should be there is there, but for `values`."""
    complete = Input(
        now=NOW,
        dag=dag(),
        graph=chain(),
        facts=facts(),
        jobs=projected_jobs(),
        assets=projected_assets(),
        deployments=(source(),),
        platform=PLATFORM,
        rpc_pools={"follow": ("local",)},
    )
    return replace(complete, **values)


def live(obj: Object, uid: str = "", **metadata: Any) -> Object:
    """An object of ours as the API server shows it."""
    known = {"uid": uid or f"uid-{obj['metadata']['name']}", "resourceVersion": "7", "generation": 1}
    return {**obj, "metadata": {**obj["metadata"], "namespace": "default", **known, **metadata}}


def projected_jobs() -> dict[str, Object]:
    """The Job objects of the example."""
    found = [live(projection.job(dag(), node)) for node in chain().jobs]
    return {obj["metadata"]["name"]: obj for obj in found}


def projected_assets() -> dict[str, Object]:
    """The Assets of the example's publications."""
    found = [live(projection.asset(dag(), chain(), p)) for p in chain().publications]
    return {obj["metadata"]["name"]: obj for obj in found}


def source(status: Object | None = None) -> Object:
    """The Deployment of the example's source; available unless `status` says otherwise."""
    built = workers.worker(observed_without_source(), job("follow"))
    obj = podspec.deployment(built, PLATFORM, names.owner(dag(), "DAG"))
    return live(obj) | {"status": {"availableReplicas": 1} if status is None else status}


def observed_without_source() -> Input:
    """What a worker's template is built from."""
    return Input(
        now=NOW, dag=dag(), graph=chain(), facts=facts(), platform=PLATFORM, rpc_pools={"follow": ("local",)}
    )


def pod(
    slot: int = 0, status: Object | None = None, of: JobFacts | None = None, owner: str = "dag-uid", **meta: Any
) -> Object:
    """A worker pod of `compact` in a slot; running unless `status` says otherwise."""
    of = of or job("compact")
    built = workers.worker(observed_without_source(), of)
    obj = podspec.pod(built, PLATFORM, slot, names.owner(dag(uid=owner), "DAG"))
    obj["metadata"]["annotations"] |= meta.pop("annotations", {})
    return live(obj, **meta) | {"status": status or {"phase": "Running", "startTime": ago(60)}}


def worker_id(slot: int = 0) -> str:
    """The worker id of the pod in a slot."""
    return workers.worker_id(pod(slot))


def ago(seconds: float) -> str:
    """A time before NOW as Kubernetes writes it."""
    return (NOW - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def failed(reason: str = "Error", code: int = 1, ended: float = 1.0, ran: float = 30.0) -> Object:
    """Status of a pod whose worker ended `ended` seconds ago after `ran` seconds."""
    over = {"reason": reason, "exitCode": code, "finishedAt": ago(ended), "message": "boom"}
    return {
        "phase": "Failed",
        "startTime": ago(ended + ran),
        "containerStatuses": [{"name": "worker", "state": {"terminated": over}}],
    }


def evicted(message: str = "The node was low on resource: memory. ", ended: float = 1.0, **status: Any) -> Object:
    """Status of a pod that its kubelet evicted; of its containers it tells nothing."""
    ready = {"type": "Ready", "status": "False", "reason": "PodFailed", "lastTransitionTime": ago(ended)}
    known = {"phase": "Failed", "reason": "Evicted", "message": message, "startTime": ago(ended + 30)}
    return known | {"conditions": [ready]} | status


def disrupted(reason: str, ended: float = 1.0, **status: Any) -> Object:
    """Status of an ended pod that was taken away, for a reason of KEP-3329."""
    target = {"type": "DisruptionTarget", "status": "True", "reason": reason, "lastTransitionTime": ago(ended)}
    return {"phase": "Failed", "startTime": ago(ended + 30), "conditions": [target]} | status


def beside(state: Object, phase: str = "Running", sidecar: Object | None = None, **status: Any) -> Object:
    """Status of a pod with a sidecar, which runs unless `sidecar` says otherwise, and the worker in `state`."""
    proxy = {"name": "istio-proxy", "state": sidecar or {"running": {"startedAt": ago(60)}}}
    known = {"phase": phase, "startTime": ago(60), "containerStatuses": [proxy, {"name": "worker", "state": state}]}
    return known | status


def terminated(code: int, reason: str = "Error", ended: float = 1.0, **more: Any) -> Object:
    """The state of a container that ended."""
    return {"terminated": {"exitCode": code, "reason": reason, "finishedAt": ago(ended), **more}}


UNSCHEDULABLE = {
    "phase": "Pending",
    "conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes: memory"}
    ],
}


def waiting(reason: str) -> Object:
    """Status of a pod whose container waits for `reason`."""
    state = {"waiting": {"reason": reason, "message": f"because of {reason}"}}
    return {"phase": "Pending", "containerStatuses": [{"name": "worker", "state": state}]}
