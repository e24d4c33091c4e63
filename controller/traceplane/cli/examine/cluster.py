"""What kubectl shows of an installation: the API server, the kinds, the processes, the policies, the DAGs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from traceplane.cli.examine import crds
from traceplane.cli.examine.finding import Cluster, Examination, Finding, Result
from traceplane.cli.version import own

OLDEST_MINOR = 29
"""Of Kubernetes, as the chart has it in `kubeVersion`."""
_OF_TRACE = "--selector=app.kubernetes.io/name=trace"
_COMPONENT = "app.kubernetes.io/component"
_SHOWN = 5

Object = Mapping[str, Any]


def api_server(cluster: Cluster) -> Finding:
    """Whether the API server answers and is new enough."""
    said = cluster.json("version").get("serverVersion")
    if said is None:
        message, remedy = "kubectl reaches no API server", "kubectl cluster-info says why"
        return Finding("API server", Result.FAILED, message, remedy)
    found = re.match(r"\d+", str(said["minor"]))
    if int(said["major"]) == 1 and found is not None and int(found[0]) < OLDEST_MINOR:
        remedy = f"Trace needs Kubernetes 1.{OLDEST_MINOR} or newer"
        return Finding("API server", Result.FAILED, f"it is {said['gitVersion']}", remedy)
    return Finding("API server", Result.OK, f"Kubernetes {said['gitVersion']}")


def kinds(cluster: Cluster) -> Finding:
    """Whether the kinds are served, and as this release writes them."""
    names = crds.names()
    found = cluster.json("get", "customresourcedefinitions", *names, "--ignore-not-found")
    items = {item["metadata"]["name"]: item for item in found.get("items", ())}
    wrong = [problem for name in names for problem in crds.problems(name, items.get(name))]
    if wrong:
        remedy = "upgrade the release with crds.install: true, or kubectl apply --server-side -f crds/"
        return Finding("CRDs", Result.FAILED, "; ".join(wrong[:_SHOWN]), remedy)
    return Finding("CRDs", Result.OK, f"{len(names)} kinds as release {own()} has them")


def controller(cluster: Cluster) -> Finding:
    """The controller's Deployment."""
    return _process(cluster, "controller", "controller")


def dispatcher(cluster: Cluster) -> Finding:
    """The dispatcher's Deployment."""
    return _process(cluster, "dispatcher", "dispatcher")


def query(cluster: Cluster) -> Finding:
    """The query service: a Deployment of its own, or a container beside the dispatcher."""
    return _process(cluster, "query", "query", beside="dispatcher")


def _process(cluster: Cluster, part: str, container: str, beside: str | None = None) -> Finding:
    found = cluster.get("deployments,pods", _OF_TRACE)
    by_component = {_component(item): item for item in found if item["kind"] == "Deployment"}
    component = part if part in by_component or beside is None else beside
    deployment = by_component.get(component)
    if deployment is None:
        message = f"no Deployment of Trace's {component} in namespace {cluster.namespace}"
        return Finding(part, Result.FAILED, message, "name Trace's namespace with --release-namespace")
    pods = [item for item in found if item["kind"] == "Pod" and _component(item) == component]
    wanted = deployment["spec"].get("replicas", 1)
    ready = sum(_container_ready(pod, container) for pod in pods)
    if ready < wanted:
        why = next((reason for pod in pods for reason in _waiting(pod)), "no pod says why")
        logs = f"kubectl -n {cluster.namespace} logs deployment/{deployment['metadata']['name']} -c {container}"
        return Finding(part, Result.FAILED, f"{ready} of {wanted} ready: {why}", f"see {logs}")
    version = deployment["metadata"]["labels"].get("app.kubernetes.io/version", "unknown")
    if version != own():
        remedy = "upgrade the release, or install tracectl of its version"
        return Finding(part, Result.WARNING, f"{ready} ready, of version {version}; tracectl is {own()}", remedy)
    return Finding(part, Result.OK, f"{ready} of {wanted} ready, version {version}")


def network_policies(cluster: Cluster) -> Finding:
    """Whether the walls around the processes and the workers are there."""
    there = {_component(item) for item in cluster.get("networkpolicies", _OF_TRACE)}
    if lacking := sorted({"controller", "dispatcher", "worker"} - there):
        message = f"none for: {', '.join(lacking)}"
        return Finding(
            "network policies", Result.WARNING, message, "set networkPolicies.enabled in the chart's values"
        )
    return Finding("network policies", Result.OK, f"for {', '.join(sorted(there))}")


def dags(cluster: Cluster) -> Finding:
    """Whether the controller has looked at every DAG, and holds it for valid, ready and well."""
    found = cluster.get("dags.trace.dev")
    wrong = [problem for dag in found for problem in _of_dag(dag)]
    if wrong:
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        remedy = f"kubectl -n {cluster.namespace} describe dag NAME"
        return Finding("DAGs", Result.FAILED, "; ".join(wrong[:_SHOWN]) + more, remedy)
    return Finding("DAGs", Result.OK, f"{len(found)} are ready")


def _of_dag(dag: Object) -> Iterator[str]:
    name, status = dag["metadata"]["name"], dag.get("status", {})
    if status.get("observedGeneration", 0) < dag["metadata"]["generation"]:
        yield f"{name}: the controller has not seen its last change"
    by_type = {entry["type"]: entry for entry in status.get("conditions", ())}
    for kind, bad in (("Valid", "False"), ("Ready", "False"), ("Degraded", "True")):
        entry = by_type.get(kind, {})
        if entry.get("status") == bad:
            yield f"{name}: {kind} is {bad}, {entry['reason']}: {entry.get('message', '')[:200]}"
            return


EXAMINATIONS: Mapping[str, Examination] = {
    "API server": api_server,
    "CRDs": kinds,
    "controller": controller,
    "dispatcher": dispatcher,
    "query": query,
    "network policies": network_policies,
    "DAGs": dags,
}


def _component(item: Object) -> str:
    return str(item["metadata"].get("labels", {}).get(_COMPONENT, ""))


def _container_ready(pod: Object, container: str) -> bool:
    statuses = pod.get("status", {}).get("containerStatuses", ())
    return any(status["name"] == container and status["ready"] for status in statuses)


def _waiting(pod: Object) -> Iterator[str]:
    """Why containers of a pod do not run, in the kubelet's words."""
    status, name = pod.get("status", {}), pod["metadata"]["name"]
    for entry in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
        waiting = entry.get("state", {}).get("waiting", {})
        if waiting.get("reason", "PodInitializing") != "PodInitializing":
            yield f"{name}/{entry['name']}: {waiting['reason']}: {waiting.get('message', '')[:200]}"
    for condition in status.get("conditions", ()):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            yield f"{name}: {condition.get('reason', '')}: {condition.get('message', '')[:200]}"
