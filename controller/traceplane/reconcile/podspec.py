"""What a pod of Trace looks like: a pure function of a job generation and the installation's settings.

The walls are those of the Restricted Pod Security Standard, and two more: no service account token, since a
worker needs no Kubernetes API, and a read-only root with scratch space of its own. An installation and a job add
to a pod (`WorkerPods`, the job's `pod`); neither has a field that would open a wall. A worker gets its identity by
the downward API (pod name and uid), so that no two starts ever share one, and its secrets as files, which the
kubelet refreshes. It gets no object-store credentials: the dispatcher mints them per task.

Outside source: kubernetes.io "Pod Security Standards" (restricted), and the defaults of the operations page.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from traceplane.drivers.kube import Object
from traceplane.kit import podkeys
from traceplane.reconcile import names
from traceplane.settings.workerpods import WorkerPods

TOKEN_FILE = "/etc/trace/worker/token"  # noqa: S105  (a path)
DSN_FILE = "/etc/trace/data/dsn"
RPC_DIR = "/etc/trace/rpc"
SCRATCH_DIR = "/scratch"
METRICS_PORT = 9090
_UNJUDGED = {"argocd.argoproj.io/ignore-healthcheck": "true"}
"""Argo CD: a finished worker or a source's change of pods is no news of an application; its DAG says how it is."""
DEFAULT_RESOURCES: Mapping[str, Mapping[str, str]] = {
    "requests": {"cpu": "100m", "memory": "256Mi"},
    "limits": {"cpu": "1", "memory": "2Gi"},
}


@dataclass(frozen=True, slots=True)
class Platform:
    """What this installation gives to every worker pod."""

    image: str
    pull_policy: str
    dispatcher_url: str
    query_url: str
    secret: str
    """Secret with keys `token`, `dsn` and perhaps `ca.crt`."""
    rpc_secret_prefix: str
    grace_seconds: int
    s3_endpoint_url: str | None
    s3_region: str
    heartbeat_seconds: float
    pods: WorkerPods = field(default_factory=WorkerPods)


@dataclass(frozen=True, slots=True)
class Worker:
    """The job generation that a pod serves."""

    dag: str
    job: str
    job_id: str
    config_hash: str
    rpc_pools: tuple[str, ...]
    placement: Mapping[str, Any]
    """The job's `resources`, `nodeSelector`, `tolerations`, `serviceAccountName`, `pod`, where it has them."""

    @property
    def extra(self) -> Mapping[str, Any]:
        """The job's `pod`."""
        return self.placement.get("pod") or {}

    idle_timeout_seconds: float | None
    """None: the worker stays."""


def pod(worker: Worker, platform: Platform, slot: int, owner: Object) -> Object:
    """A warm worker in `slot`. It is never restarted in place: its end is a fact to look at."""
    template = _template(worker, platform)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": names.worker_pod(worker.dag, worker.job, worker.config_hash, slot),
            "labels": template["metadata"]["labels"],
            "ownerReferences": [owner],
            "annotations": {**template["metadata"]["annotations"], names.SPEC_HASH: digest(template), **_UNJUDGED},
        },
        "spec": template["spec"] | {"restartPolicy": "Never"},
    }


def deployment(worker: Worker, platform: Platform, owner: Object) -> Object:
    """An AlwaysOn source: one replica, and the old one gone before the new one starts."""
    template = _template(worker, platform)
    selector = names.labels(worker.dag, worker.job, names.hash8(worker.config_hash))
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": names.workload(worker.dag, worker.job, worker.config_hash),
            "labels": template["metadata"]["labels"],
            "ownerReferences": [owner],
            "annotations": {names.SPEC_HASH: digest(template), **_UNJUDGED},
        },
        "spec": {
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "revisionHistoryLimit": 1,
            "progressDeadlineSeconds": 600,
            "selector": {"matchLabels": selector},
            "template": template,
        },
    }


def digest(template: Mapping[str, Any]) -> str:
    """Hash of a pod as we asked for it, labels and all, whatever the server adds to it later."""
    return hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:16]


def refusal(worker: Worker, platform: Platform) -> str | None:
    """Why the installation does not let the job's pods be as it asks; None where it does."""
    pods = platform.pods
    asked = (
        (
            "serviceAccountName",
            worker.placement.get("serviceAccountName"),
            pods.job_service_accounts,
            "ServiceAccounts",
        ),
        (
            "pod.priorityClassName",
            worker.extra.get("priorityClassName"),
            pods.job_priority_classes,
            "PriorityClasses",
        ),
    )
    for where, name, allowed, value in asked:
        if name and name not in allowed:
            return f"{where}: jobs may not use {name}; add it to workers.job{value} of the chart, or name another"
    for part in ("labels", "annotations"):
        for key in worker.extra.get(part) or ():
            if why := podkeys.refused_of_job(key):
                return f"pod.{part}: {why}; remove it"
            if podkeys.needs_allowance(key, pods.job_keys):
                return (
                    f"pod.{part}: jobs may not set {key}; add it, or what stands before its slash, to "
                    "workers.jobKeys of the chart, or remove it"
                )
    return None


def _template(worker: Worker, platform: Platform) -> Object:
    pods, extra = platform.pods, worker.extra
    account = worker.placement.get("serviceAccountName") or pods.service_account_name
    spec: Object = {
        "automountServiceAccountToken": False,
        # Always said: a name that is left out would stay what it was, by the older field `serviceAccount`.
        "serviceAccountName": account,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": platform.grace_seconds,
        "securityContext": {
            **pods.security_context.manifest(),
            **{key: extra[key] for key in ("runAsUser", "runAsGroup", "fsGroup") if key in extra},
            "runAsNonRoot": True,
        },
        "containers": [_container(worker, platform)],
        "volumes": _volumes(worker, platform),
    }
    labels = names.labels(worker.dag, worker.job, names.hash8(worker.config_hash))
    labels |= {"app.kubernetes.io/component": "worker"} | ({names.RPC: "true"} if worker.rpc_pools else {})
    pull_secrets = dict.fromkeys([*pods.image_pull_secrets, *extra.get("imagePullSecrets", ())])
    optional: Object = {
        "imagePullSecrets": [{"name": name} for name in pull_secrets],
        "priorityClassName": extra.get("priorityClassName") or pods.priority_class_name,
        "runtimeClassName": pods.runtime_class_name,
        "nodeSelector": {**pods.node_selector, **(worker.placement.get("nodeSelector") or {})},
        "tolerations": [*pods.tolerations, *(worker.placement.get("tolerations") or ())],
        "affinity": pods.affinity,
        "topologySpreadConstraints": _spread(worker, platform),
    }
    return {
        "metadata": {
            # The platform's own last: policies let pods out by them.
            "labels": {**pods.labels, **extra.get("labels", {}), **labels},
            "annotations": {
                "kubectl.kubernetes.io/default-container": "worker",
                **pods.annotations,
                **extra.get("annotations", {}),
            },
        },
        "spec": spec | {key: value for key, value in optional.items() if value},
    }


def _spread(worker: Worker, platform: Platform) -> list[Object]:
    """How pods are spread, the job's own wish first: each constraint counts the pods of the job."""
    mine = {"labelSelector": {"matchLabels": {names.DAG: worker.dag, names.JOB: worker.job}}}
    return [mine | dict(c) for c in worker.extra.get("topologySpread") or platform.pods.topology_spread_constraints]


def _container(worker: Worker, platform: Platform) -> Object:
    return {
        "name": "worker",
        "image": platform.image,
        "imagePullPolicy": platform.pull_policy,
        "command": ["tracectl", "run", "worker"],
        "env": _environment(worker, platform),
        "resources": _resources(worker.placement.get("resources") or {}),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "worker", "mountPath": "/etc/trace/worker", "readOnly": True},
            {"name": "data", "mountPath": "/etc/trace/data", "readOnly": True},
            *(
                {"name": f"rpc-{n}", "mountPath": f"{RPC_DIR}/{pool}", "readOnly": True}
                for n, pool in _pools(worker)
            ),
            {"name": "scratch", "mountPath": SCRATCH_DIR},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  (the pod's own)
        ],
        "ports": [{"name": "metrics", "containerPort": METRICS_PORT, "protocol": "TCP"}],
        # Forgiving: a worker whose event loop hangs for two minutes is lost, one that is merely busy is not.
        "livenessProbe": {
            "httpGet": {"path": "/healthz", "port": "metrics", "scheme": "HTTP"},
            "initialDelaySeconds": 15,
            "periodSeconds": 20,
            "timeoutSeconds": 10,
            "failureThreshold": 6,
        },
        # What a dying worker last said is what a person wants to see in `kubectl describe`.
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def _resources(asked: Mapping[str, Mapping[str, str]]) -> Object:
    return {part: dict(DEFAULT_RESOURCES[part]) | dict(asked.get(part) or {}) for part in ("requests", "limits")}


def _environment(worker: Worker, platform: Platform) -> list[Object]:
    plain = {
        "TRACE_JOB_ID": worker.job_id,
        "TRACE_DISPATCHER_URL": platform.dispatcher_url,
        "TRACE_QUERY_URL": platform.query_url,
        "TRACE_HEARTBEAT_SECONDS": f"{platform.heartbeat_seconds:g}",
        "TRACE_WORKER_TOKEN_FILE": TOKEN_FILE,
        "TRACE_DATA_DSN_FILE": DSN_FILE,
        "TRACE_RPC_DIR": RPC_DIR,
        "TRACE_SCRATCH_DIR": SCRATCH_DIR,
        "TRACE_S3_REGION": platform.s3_region,
        "TRACE_METRICS_PORT": str(METRICS_PORT),
        "TRACE_WORKER_GRACE_SECONDS": str(platform.grace_seconds),
        "TRACE_IDLE_TIMEOUT_SECONDS": "never"
        if worker.idle_timeout_seconds is None
        else f"{worker.idle_timeout_seconds:g}",
        "HOME": SCRATCH_DIR,
    }
    if platform.s3_endpoint_url:
        plain["TRACE_S3_ENDPOINT_URL"] = platform.s3_endpoint_url
    if (traces := platform.pods.tracing) is not None:
        plain["TRACE_TRACING"] = "true"
        plain["TRACE_TRACING_SAMPLE_RATIO"] = f"{traces.sample_ratio:g}"
        plain["OTEL_EXPORTER_OTLP_ENDPOINT"] = traces.endpoint
    downward: list[Object] = [
        {"name": "TRACE_POD_NAME", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}},
        {"name": "TRACE_POD_UID", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.uid"}}},
        # References are resolved in order, so this one stands after the two it names.
        {"name": "TRACE_WORKER_ID", "value": "$(TRACE_POD_NAME).$(TRACE_POD_UID)"},
    ]
    named = [{"name": name, "value": value} for name, value in sorted(plain.items())]
    return [*downward, *named, *_tracing_headers(platform)]


def _tracing_headers(platform: Platform) -> list[Object]:
    traces = platform.pods.tracing
    if traces is None or traces.headers_secret is None:
        return []
    # Traces are no reason not to start.
    secret = {"name": traces.headers_secret, "key": "headers", "optional": True}
    return [{"name": "OTEL_EXPORTER_OTLP_HEADERS", "valueFrom": {"secretKeyRef": secret}}]


def worker_id(pod_name: str, pod_uid: str) -> str:
    """The worker id that a pod's leases carry: what `TRACE_WORKER_ID` resolves to in it."""
    return f"{pod_name}.{pod_uid}"


def _volumes(worker: Worker, platform: Platform) -> list[Object]:
    volumes = [_secret("worker", platform.secret, ["token"]), _dsn("data", platform.secret)]
    for number, pool in _pools(worker):
        volumes.append(_secret(f"rpc-{number}", f"{platform.rpc_secret_prefix}{pool}", ["urls"]))
    volumes.append({"name": "scratch", "emptyDir": {"sizeLimit": platform.pods.scratch_size}})
    volumes.append({"name": "tmp", "emptyDir": {"sizeLimit": "256Mi"}})
    return volumes


def _secret(volume: str, name: str, keys: Sequence[str]) -> Object:
    items = [{"key": key, "path": key} for key in keys]
    return {"name": volume, "secret": {"secretName": name, "items": items, "defaultMode": 0o440}}


def _dsn(volume: str, name: str) -> Object:
    """The DSN, and beside it the certificate of the database's CA, where the Secret has one."""
    sources: list[Object] = [
        {"secret": {"name": name, "items": [{"key": "dsn", "path": "dsn"}]}},
        {"secret": {"name": name, "items": [{"key": "ca.crt", "path": "ca.crt"}], "optional": True}},
    ]
    return {"name": volume, "projected": {"sources": sources, "defaultMode": 0o440}}


def _pools(worker: Worker) -> list[tuple[int, str]]:
    return list(enumerate(worker.rpc_pools))
