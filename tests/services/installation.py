"""Trace on a whole cluster, for tests: raised once for a run, with timers for tests, and with a chain beside it.

The chain is no part of the release here, so that a test may remove and install Trace again and find the chain
where it was. A run has a cluster of its own, apart from a demo's, and removes it at the end; TRACE_CLUSTER_DIR
names another one, which is then left as it is. What a killed run left of its cluster is removed first: brought up
again it would have that run's rows, and a chain that begins anew at block 0.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import httpx
import yaml

from hack.demo import chain, install, monitoring, pipeline, prove
from hack.demo.ask import ADMIN, QUERY_PORT, Truncated, User
from hack.demo.kube import Kube
from hack.localcluster.atomic import locked
from hack.localcluster.layout import CHECKOUT, ClusterError, cache_dir
from tests.support.waiting import until

DAG = pipeline.DAG
TEAM = "team"
"""A second namespace that the release serves, beside its own."""
BLOCK_SECONDS = 0.25
# Ports of the node at which tests reach Services: a port-forward would end with the pod that a drill takes away.
_NODE_PORTS = {"query": (30082, QUERY_PORT, "dispatcher"), "chain": (30545, 8545, "example-chain")}

_ANSWERING = "app.kubernetes.io/component in (dispatcher,query)"

# Takeover within seconds. Times that a test waits for are short, times that a test must not run into are not.
CONFIG = {
    "lease_seconds": 10,
    "heartbeat_seconds": 2,
    "retry_base_seconds": 1,
    "retry_max_seconds": 5,
    "poll_seconds": 1,
    "claim_wait_seconds": 5,
    "longest_query_seconds": 20,
    "reconcile_seconds": 3,
    "leader_lease_seconds": 6,
    "leader_renew_seconds": 2,
    "worker_grace_seconds": 10,
    "drain_seconds": 30,
    "outbox_base_seconds": 0.5,
    "query_rate_per_minute": 6000,
    "user_rate_per_minute": 6000,
}
VALUES = {
    "config": CONFIG,
    "watchNamespaces": [install.NAMESPACE, TEAM],
    "admission": {"enabled": True},
    "networkPolicies": {"metricsFrom": [monitoring.METRICS_FROM]},
}
# Fields of the example that decide nothing about its output, changed on the running DAG.
_FAST = {"heartbeatTimeoutSeconds": 10}
_IDLE = "3s"
# A look is a command to the API server or a query; more often would take from what is waited for.
_LOOK_SECONDS = 0.5


class HttpUser(User):
    """The same user in this process: starting `tracectl` for each question would be most of the time of a run."""

    def answer(self, sql: str) -> dict[str, Any]:
        """The whole answer of a statement. ClusterError with what the service said where it fails."""
        try:
            said = httpx.post(
                f"{self.url}/v1/query",
                json={"sql": sql, "namespace": self.namespace},
                headers={"Authorization": f"Bearer {self.token}"},
                timeout=120,
            )
        except httpx.HTTPError as error:
            raise ClusterError(f"the query service cannot be reached: {error!r}") from error
        if said.status_code != 200:
            raise ClusterError(f"{said.status_code}: {said.text}")
        found: dict[str, Any] = said.json()
        return found


@dataclass(frozen=True)
class Installation:
    """Trace on a cluster, its user, and the chain that it follows."""

    kube: Kube
    images: dict[str, str]
    admin: User
    rpc: str

    @cached_property
    def manifest(self) -> list[dict[str, Any]]:
        """The documents of dags/chain.yaml."""
        return list(yaml.safe_load_all((CHECKOUT / "dags" / "chain.yaml").read_text()))

    def install(self, values: Mapping[str, Any] | None = None) -> None:
        """Install or upgrade the release, wait until it is ready, and until queries are led to it.

        The wait has two parts. A pod of before still answers while it ends, and what it said last says nothing of
        the one to come; and a pod is ready a moment before the node leads anything to it.
        """
        values = {} if values is None else values
        install.chart(self.kube, self.images, {**VALUES, **values})
        component = "query" if values.get("query", {}).get("mode") == "Deployment" else "dispatcher"
        selector = {"spec": {"selector": {"app.kubernetes.io/component": component}}}
        self.kube.kubectl("patch", "service", "test-query", "--patch", json.dumps(selector))
        self.wait("the pods before are gone", lambda: not self.terminating(_ANSWERING))
        self.wait("queries are led to the pods of now", lambda: self.admin.rows("SELECT 1") == [[1]])

    def within(self, namespace: str) -> Installation:
        """The same installation, for who works in another namespace that it serves."""
        own = Kube(namespace, self.kube.layout)
        return replace(self, kube=own, admin=replace(self.admin, namespace=namespace))

    def apply(self, *documents: dict[str, Any]) -> str:
        """Apply documents; returns what kubectl says."""
        return self.kube.kubectl("apply", "--filename", "-", stdin=yaml.safe_dump_all(documents))

    def pods(self, *labels: str) -> list[dict[str, Any]]:
        """Pods with all of these labels that are not being deleted."""
        found = self.kube.items("pods", "--selector", ",".join(labels))
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def terminating(self, *labels: str) -> list[str]:
        """Names of pods with all of these labels that are being deleted."""
        found = self.kube.items("pods", "--selector", ",".join(labels))
        return [pod["metadata"]["name"] for pod in found if "deletionTimestamp" in pod["metadata"]]

    def running(self, *labels: str) -> list[dict[str, Any]]:
        """Those of them whose containers are all ready."""
        return [
            pod
            for pod in self.pods(*labels)
            if pod["status"].get("containerStatuses")
            and all(container["ready"] for container in pod["status"]["containerStatuses"])
        ]

    def one(self, *labels: str) -> dict[str, Any]:
        """The one pod with all of these labels, once it is ready: any of them may be started again at any time."""
        found: list[dict[str, Any]] = []

        def look() -> tuple[bool, str]:
            found[:] = self.running(*labels)
            return len(found) == 1, f"{len(found)} pods are ready"

        self.wait(f"one pod of {','.join(labels)} is ready", look)
        return found[0]

    def delete_pod(self, pod: dict[str, Any]) -> None:
        """Take a pod away without any grace, if it is still there."""
        away = ("--grace-period=0", "--force", "--wait=false", "--ignore-not-found")
        self.kube.kubectl("delete", "pod", pod["metadata"]["name"], *away)

    def process(self, pod: dict[str, Any]) -> int | None:
        """Process id, on this machine, of the first container of a pod; None once it has ended."""
        container = pod["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
        listed = subprocess.run(
            [
                sys.executable,
                str(CHECKOUT / "hack" / "cluster"),
                "node",
                "--",
                "ctr",
                "-n",
                "k8s.io",
                "tasks",
                "ls",
            ],
            capture_output=True,
            text=True,
            check=True,
            env=self.kube.environment,
        ).stdout
        # A task that has ended is listed until it is taken away: only a running one has a process to signal.
        tasks = [line.split() for line in listed.splitlines() if line.startswith(container)]
        return next((int(process) for _, process, status in tasks if status == "RUNNING"), None)

    def psql(self, database: str, sql: str) -> str:
        """What the embedded server answers, unaligned and without headings."""
        pod = self.one("app.kubernetes.io/component=postgres")
        argv = ("psql", "--host", "/tmp", "--username", "postgres", "--dbname", database, "-At", "-c", sql)
        said = self.kube.kubectl("exec", pod["metadata"]["name"], "--container", "postgres", "--", *argv)
        return said.strip()

    def hot_blocks(self, what: str) -> str:
        """An expression over the follower's own table, cold rows left out."""
        location = self.psql(
            "trace_state",
            f"""SELECT v.location FROM dataset_versions v JOIN datasets d ON d.id = v.dataset_id
                 WHERE d.namespace = '{self.kube.namespace}' AND d.dag = '{DAG}' AND d.job = 'follow'
                   AND d.output = 'blocks'""",
        )
        return self.psql("trace_data", f"SELECT {what} FROM {location}")

    def head(self) -> int:
        """The node's newest block."""
        return chain.head(self.rpc)

    def count(self, table: str) -> int:
        """Rows of a table."""
        return int(str(self.admin.rows(f"SELECT count(*) FROM {table}")[0][0]))

    def rows(self, sql: str) -> list[list[Any]]:
        """Rows of a statement, asked again while the service does not answer: what is meant is what it answers."""
        found: list[list[list[Any]] | Truncated] = []

        def look() -> bool:
            try:
                found.append(self.admin.rows(sql))
            except Truncated as cut:  # an answer, too
                found.append(cut)
            return True

        self.wait("a query is answered", look)
        if isinstance(found[0], Truncated):
            raise found[0]
        return found[0]

    def wait(self, what: str, look: Any, seconds: float = 120) -> None:
        """Look until it holds; `look` may return a bool, or a bool and what it saw."""
        last = ""

        def holds() -> bool:
            nonlocal last
            try:
                seen = look()
            except (
                ClusterError
            ) as error:  # what a test waits for may be away for a while: that is most drills' subject
                seen = False, str(error)
            done, last = seen if isinstance(seen, tuple) else (bool(seen), str(seen))
            return done

        until(holds, what, timeout=seconds, every=_LOOK_SECONDS, detail=lambda: f"last seen: {last}")

    def prove(self, seconds: float = 180, *, first: int = 0) -> prove.Proof:
        """Compare every row from block `first` with the node; AssertionError with every difference."""
        proof = prove.prove(self.rows, self.rpc, first=first, seconds=seconds)
        assert proof.holds, str(proof)
        return proof

    def prove_new_ranges(self, seconds: float = 180, *, first: int = 0) -> prove.Proof:
        """The proof, after another range was compacted: the whole path works, not only the follower."""
        counts: list[int] = []

        def look() -> tuple[bool, str]:
            # A pod is ready a moment before its Service leads to it: the first look may come too early, too.
            counts.append(self.count(pipeline.COLD_TABLE))
            return counts[-1] > counts[0], f"{counts[-1]} cold blocks"

        self.wait("another range is compacted", look, seconds)
        return self.prove(seconds, first=first)


@contextmanager
def installation() -> Iterator[Installation]:
    """A cluster with Trace, a chain, and the example pipeline applied."""
    if "TRACE_CLUSTER_DIR" in os.environ:
        yield from _installed()
        return
    with locked(cache_dir() / "locks" / "test-cluster.lock", "the cluster of a test run"):
        os.environ["TRACE_CLUSTER_DIR"] = str(cache_dir() / "test-cluster")
        try:
            _down()
            yield from _installed()
        finally:
            _down()
            del os.environ["TRACE_CLUSTER_DIR"]


def _down() -> None:
    subprocess.run([sys.executable, str(CHECKOUT / "hack" / "cluster"), "down"], check=True)


def _installed() -> Iterator[Installation]:
    install.cluster_up()
    images = install.images()
    kube = Kube(install.NAMESPACE)
    for namespace in (install.NAMESPACE, TEAM):
        install.namespace(Kube(namespace))
    _chain(kube, images)
    install.chart(kube, images, VALUES)
    query, rpc = _addresses(kube)
    yield Installation(kube, images, HttpUser(query, kube.token(ADMIN), kube.namespace), rpc)


def start_pipeline(trace: Installation) -> None:
    """Apply the example as it is, and then shorten its times, as a user changes a running DAG."""
    trace.apply(*trace.manifest)
    pipeline.wait_ready(trace.kube)
    dag = json.loads(json.dumps(trace.manifest[0]))
    dag["spec"]["defaults"] |= _FAST
    for job in dag["spec"]["jobs"]:
        if job["name"] == "compact":
            job["idleTimeout"] = _IDLE
    trace.apply(dag)
    pipeline.wait_ready(trace.kube)
    trace.wait("the follower stores blocks", lambda: trace.count("blocks") > 0)


def _chain(kube: Kube, images: dict[str, str]) -> None:
    rendered = kube.helm(
        *("template", install.RELEASE, str(install.CHART), "--show-only", "templates/example-chain.yaml"),
        *("--kube-version", "1.34.0", "--values", "-"),
        stdin=json.dumps(
            {
                "images": images,
                "watchNamespaces": VALUES["watchNamespaces"],
                "exampleChain": {"enabled": True, "blockSeconds": BLOCK_SECONDS, "transactionsPerBlock": 2},
            }
        ),
    )
    documents = [document for document in yaml.safe_load_all(rendered) if document]
    for namespace in VALUES["watchNamespaces"]:  # each has the Secret of the pool
        own = [one for one in documents if one["metadata"].get("namespace", kube.namespace) == namespace]
        Kube(namespace, kube.layout).kubectl("apply", "--filename", "-", stdin=yaml.safe_dump_all(own))


def _addresses(kube: Kube) -> tuple[str, str]:
    """Where the query service and the chain answer, from outside of the cluster."""
    services = [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": f"test-{name}"},
            "spec": {
                "type": "NodePort",
                "selector": {"app.kubernetes.io/component": component},
                "ports": [{"port": port, "targetPort": port, "nodePort": node_port}],
            },
        }
        for name, (node_port, port, component) in _NODE_PORTS.items()
    ]
    kube.kubectl("apply", "--filename", "-", stdin=yaml.safe_dump_all(services))
    (node,) = kube.items("nodes")
    address = next(found["address"] for found in node["status"]["addresses"] if found["type"] == "InternalIP")
    return tuple(f"http://{address}:{node_port}" for node_port, _, _ in _NODE_PORTS.values())  # type: ignore[return-value]
