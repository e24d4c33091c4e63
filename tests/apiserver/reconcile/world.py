"""A world for the controller: a namespace on a real API server, real databases, controllers as real processes.

There is no kubelet and no dispatcher here, so the test plays both: it sets the statuses of pods and Deployments,
marks tables as provisioned, and puts tasks into the queue. It acts on the API as other clients do, with the
official client and its own field manager. Waiting is always for something that can be seen, within a bound.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psycopg
import yaml
from kubernetes import client
from psycopg.rows import dict_row

from tests.services import free_port, tool
from tests.support.fork_server import Forked, tracectl
from tests.support.waiting import until

T = TypeVar("T")
Object = dict[str, Any]

ROOT = Path(__file__).resolve().parents[3]
WAIT_SECONDS = 45.0
"""Bound of every wait: starting a controller on a busy machine takes several seconds."""
_GROUP = ("trace.dev", "v1alpha1")


@dataclass
class Controller:
    """One controller process."""

    process: Forked
    port: int
    log: Path

    def ended(self) -> int | None:
        """Its exit code, or None while it runs."""
        return self.process.poll()

    def get(self, path: str) -> httpx.Response:
        """A page of its own server."""
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=30)

    def readiness(self) -> str:
        """`synced` where it leads and has listed everything, before `standing by` and where; empty at the start."""
        try:
            return self.get("/readyz").text
        except httpx.HTTPError:
            return ""

    def leads(self) -> bool:
        """Whether it holds the Lease and has listed everything."""
        return self.readiness() == "synced"

    def metric(self, name: str) -> float:
        """The value of a sample by its whole name with labels; 0 where there is none yet."""
        for line in self.get("/metrics").text.splitlines():
            if line.startswith(f"{name} "):
                return float(line.rpartition(" ")[2])
        return 0.0

    def stop(self) -> int:
        """SIGTERM, and its exit code."""
        self.process.terminate()
        return self.process.wait(60)

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait(10)


@dataclass
class World:
    """A namespace, its databases, and the controllers started in it."""

    api: client.ApiClient
    kubeconfig: Path
    state_dsn: str
    namespace: str
    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    controllers: list[Controller] = field(default_factory=list)

    def beside(self, namespace: str) -> World:
        """Another namespace of the same installation, which is made where it is not there."""
        if namespace not in {item.metadata.name for item in self.core.list_namespace().items}:
            self.core.create_namespace({"metadata": {"name": namespace}})
        return replace(self, namespace=namespace)

    # Controllers

    def start(self, **settings: str) -> Controller:
        """Start a controller with short timers; `settings` without their TRACE_ prefix win."""
        port = free_port()
        timers = {
            "RECONCILE_SECONDS": "1",
            "LEADER_LEASE_SECONDS": "60",
            "LEADER_RENEW_SECONDS": "1",
            "DRAIN_SECONDS": "20",
        }
        fixed = {
            "NAMESPACE": self.namespace,
            "STATE_DSN": self.state_dsn,
            "WORKER_IMAGE": "trace.local/trace:test",
            "LISTEN_HOST": "127.0.0.1",
            "METRICS_PORT": str(port),
        }
        chosen = timers | self.settings | settings | fixed
        environment = {f"TRACE_{name.upper()}": value for name, value in chosen.items()}
        inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        log = self.folder / f"controller-{len(self.controllers)}.log"
        with log.open("wb") as output:
            process = tracectl(
                "run",
                "controller",
                environment=inherited | environment | {"KUBECONFIG": str(self.kubeconfig)},
                folder=self.folder,
                output=output.fileno(),
            )
        controller = Controller(process, port, log)
        self.controllers.append(controller)
        return controller

    def led(self, **settings: str) -> Controller:
        """Start a controller and wait until it leads."""
        controller = self.start(**settings)
        self.until(controller.leads, "the controller leads")
        return controller

    def end(self) -> None:
        """End every controller that was started."""
        for controller in self.controllers:
            if controller.ended() is None:
                controller.kill()

    def until(self, check: Callable[[], T], what: str, seconds: float = WAIT_SECONDS) -> T:
        """What `check` returns once it is true. Fails with the end of the controllers' logs."""

        def logs() -> str:
            return "\n".join(f"{c.log.name}: {c.log.read_text()[-3000:]}" for c in self.controllers[-2:])

        # Each look asks the API server or the database that the controller works on.
        return until(check, what, timeout=seconds, every=0.05, detail=logs)

    # What users do

    def kubectl(self, *arguments: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        """kubectl in the world's namespace."""
        argv = [tool("kubectl"), "--kubeconfig", str(self.kubeconfig), "--namespace", self.namespace, *arguments]
        return subprocess.run(
            argv, input=stdin, capture_output=True, text=True, timeout=90, env={**os.environ, **environment}
        )

    @property
    def objects(self) -> client.CustomObjectsApi:
        return client.CustomObjectsApi(self.api)

    def apply(self, document: Object) -> Object:
        """Create an object of ours."""
        plural = document["kind"].lower() + "s"
        return self.objects.create_namespaced_custom_object(*_GROUP, self.namespace, plural, document)

    def patch(self, plural: str, name: str, change: Object) -> Object:
        """A merge patch, as `kubectl patch --type merge` makes it."""
        return self.objects.patch_namespaced_custom_object(*_GROUP, self.namespace, plural, name, change)

    def delete(self, plural: str, name: str) -> None:
        """Delete an object of ours."""
        self.objects.delete_namespaced_custom_object(*_GROUP, self.namespace, plural, name)

    def get(self, plural: str, name: str) -> Object | None:
        """One object of ours, or None."""
        try:
            return self.objects.get_namespaced_custom_object(*_GROUP, self.namespace, plural, name)
        except client.ApiException as error:
            if error.status == 404:
                return None
            raise

    def items(self, plural: str) -> list[Object]:
        """All objects of a kind of ours."""
        found: list[Object] = self.objects.list_namespaced_custom_object(*_GROUP, self.namespace, plural)["items"]
        return found

    def names(self, plural: str) -> list[str]:
        """Their names."""
        return sorted(item["metadata"]["name"] for item in self.items(plural))

    def condition(self, plural: str, name: str, kind: str) -> Object:
        """A condition of an object; empty where it is not there."""
        obj = self.get(plural, name) or {}
        entries = (obj.get("status") or {}).get("conditions") or []
        return next((entry for entry in entries if entry["type"] == kind), {})

    def holds(self, plural: str, name: str, kind: str, status: str = "True", reason: str | None = None) -> bool:
        """Whether a condition has a status (and a reason)."""
        found = self.condition(plural, name, kind)
        return found.get("status") == status and reason in (None, found.get("reason"))

    def events(self) -> list[str]:
        """Reasons of all Kubernetes Events of the namespace."""
        return sorted(
            event.reason for event in client.EventsV1Api(self.api).list_namespaced_event(self.namespace).items
        )

    # What the cluster does

    @property
    def core(self) -> client.CoreV1Api:
        return client.CoreV1Api(self.api)

    @property
    def apps(self) -> client.AppsV1Api:
        return client.AppsV1Api(self.api)

    def pods(self) -> dict[str, Any]:
        """Pods by the last part of their name (`w0`), those that are ending left out."""
        items = self.core.list_namespaced_pod(self.namespace).items
        return {p.metadata.name.rpartition("-")[2]: p for p in items if not p.metadata.deletion_timestamp}

    def deployments(self) -> list[Any]:
        """All Deployments."""
        return self.apps.list_namespaced_deployment(self.namespace).items

    def collect(self) -> list[Any]:
        """Play the garbage collector: a Deployment that waits for its pods goes. Those that are left."""
        for deployment in self.deployments():
            if deployment.metadata.finalizers == ["foregroundDeletion"]:
                self.apps.patch_namespaced_deployment(
                    deployment.metadata.name, self.namespace, {"metadata": {"finalizers": None}}
                )
        return self.deployments()

    def collected(self) -> list[str]:
        """Play the garbage collector of foreground deletions: what waits for nothing else goes. What is left."""
        self.collect()
        for plural in ("jobs", "assets", "dags"):
            for obj in self.items(plural):
                made = plural == "dags" and [*self.names("jobs"), *self.pods(), *self.deployments()]
                if not made and obj["metadata"].get("finalizers") == ["foregroundDeletion"]:
                    self.patch(plural, obj["metadata"]["name"], {"metadata": {"finalizers": None}})
        left = [name for plural in ("dags", "jobs", "assets") for name in self.names(plural)]
        return [*left, *self.pods(), *(deployment.metadata.name for deployment in self.deployments())]

    def set_pod(self, slot: str, status: Object) -> Any:
        """Play the kubelet: the status of the pod in a slot."""
        pod = self.pods()[slot]
        return self.core.patch_namespaced_pod_status(pod.metadata.name, self.namespace, {"status": status})

    def source_up(self) -> None:
        """Play the Deployment controller: the source's pod is available."""
        for deployment in self.deployments():
            status = {"replicas": 1, "readyReplicas": 1, "availableReplicas": 1, "observedGeneration": 1}
            self.apps.patch_namespaced_deployment_status(
                deployment.metadata.name, self.namespace, {"status": status}
            )

    # What state says

    def sql(self, statement: str, *values: object) -> list[Object]:
        """Rows of the state database."""
        with psycopg.connect(self.state_dsn, row_factory=dict_row, autocommit=True) as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def provision(self) -> None:
        """Play the dispatcher: all tables are made."""
        self.sql("UPDATE dataset_versions SET provisioned_at = now() WHERE provisioned_at IS NULL")
        self.sql("UPDATE jobs SET provisioned_at = now() WHERE provisioned_at IS NULL")
        self.sql("SELECT pg_notify('trace_deploy', '')")

    def enqueue(self, count: int, job: str = "compact") -> None:
        """Play the dispatcher: tasks wait."""
        self.sql(
            """INSERT INTO tasks (org_id, namespace, job_id, dedupe_key, cause, scope, max_attempts)
               SELECT org_id, namespace, id, gen_random_uuid(), 'Event', '{"kind": "source"}', 3
                 FROM jobs, generate_series(1, %s) WHERE name = %s AND namespace = %s
                  AND id IN (SELECT d.job_id FROM dag_version_jobs d
                               JOIN dag_current_versions c ON c.active_version_id = d.dag_version_id)""",
            count,
            job,
            self.namespace,
        )
        self.sql("SELECT pg_notify('trace_wake', id::text) FROM jobs WHERE name = %s", job)

    def claim(self, worker_id: str, job: str = "compact") -> None:
        """Play the dispatcher: the oldest waiting task is leased to a worker."""
        self.sql(
            """UPDATE tasks SET status = 'Running', attempt = attempt + 1, worker_id = %s,
                      claim_id = gen_random_uuid(), lease_token = gen_random_uuid(),
                      lease_epoch = nextval('lease_epochs'), started_at = now(),
                      heartbeat_at = now(), lease_expires_at = now() + interval '2 minutes'
                WHERE id = (SELECT t.id FROM tasks t JOIN jobs j ON j.id = t.job_id
                             WHERE j.name = %s AND t.status = 'Queued' ORDER BY queued_at LIMIT 1)""",
            worker_id,
            job,
        )

    def report(self, job: str, *, healthy: bool, message: str) -> None:
        """Play the dispatcher: a running source reports, and that is news."""
        said = {"healthy": healthy, "message": message, "position": 7, "head": 9}
        self.sql(
            "UPDATE tasks t SET report = %s::jsonb FROM jobs j"
            " WHERE j.id = t.job_id AND j.name = %s AND t.status = 'Running'",
            json.dumps(said),
            job,
        )
        self.sql("SELECT pg_notify('trace_wake', id::text) FROM jobs WHERE name = %s", job)

    # The example, step by step

    def chain(self) -> Object:
        """The example DAG."""
        documents = yaml.safe_load_all((ROOT / "dags" / "chain.yaml").read_text())
        return next(document for document in documents if document["kind"] == "DAG")

    def federated(self, name: str = "blocks") -> Object:
        """One of the example's Assets over hot and cold."""
        documents = yaml.safe_load_all((ROOT / "dags" / "chain.yaml").read_text())
        found = (document for document in documents if document["kind"] == "Asset")
        return next(document for document in found if document["metadata"]["name"] == name)

    def running_chain(self) -> Object:
        """Apply the example and bring it to Ready."""
        self.apply(self.chain())
        self.until(self.deployments, "the source has a Deployment")
        self.provision()
        self.source_up()
        self.until(lambda: self.holds("dags", "chain", "Ready"), "the DAG is ready")
        return self.get("dags", "chain") or {}


PROJECTED_JOBS = ["chain.compact", "chain.follow", "chain.ranges"]
PROJECTED_ASSETS = sorted(f"{end}-{what}" for end in ("cold", "hot") for what in ("blocks", "logs", "transactions"))
