"""What Argo CD and kstatus say of a DAG and its parts through their life, by the statuses of a real controller."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from hack.generate import argocd
from tests.apiserver.reconcile.world import PROJECTED_ASSETS, PROJECTED_JOBS, ROOT, World
from tests.docs.blocks import Command, of_page
from tests.services import tool
from tests.support.argo import agreed
from traceplane.reconcile import names

pytestmark = pytest.mark.apiserver


def health(world: World, plural: str = "dags", name: str = "chain") -> str:
    """What both say of an object as the server gives it; empty where it is gone."""
    obj = world.get(plural, name)
    return agreed(obj) if obj else ""


def change(world: World, job: str, **fields: Any) -> None:
    """Apply the DAG with other fields of one job, or of all."""
    jobs = (world.get("dags", "chain") or {})["spec"]["jobs"]
    changed = [entry | fields if job in ("*", entry["name"]) else entry for entry in jobs]
    world.patch("dags", "chain", {"spec": {"jobs": changed}})


def test_a_dag_from_its_creation_to_its_end(world: World) -> None:
    world.apply(world.chain())
    assert health(world) == "Progressing"  # nobody has looked at it
    world.led(drain_seconds="120")
    world.until(lambda: world.holds("dags", "chain", "Reconciling", reason="Provisioning"), "the deployment begins")
    assert health(world) == "Progressing"
    world.until(world.deployments, "the source has a Deployment")
    world.provision()
    world.until(lambda: world.holds("dags", "chain", "Reconciling", reason="SourceStarting"), "tables are made")
    assert health(world) == "Progressing"
    world.source_up()
    world.until(lambda: health(world) == "Healthy", "the DAG is healthy")
    assert not world.condition("dags", "chain", "Reconciling")
    for plural, listed in (("jobs", PROJECTED_JOBS), ("assets", PROJECTED_ASSETS)):
        for name in listed:
            world.until(lambda p=plural, n=name: health(world, p, n) == "Healthy", f"{name} is healthy")  # type: ignore[misc]

    world.claim("source", job="follow")
    world.report("follow", healthy=False, message="HTTP 401: not authorised")
    world.until(lambda: world.holds("dags", "chain", "Stalled", reason="SourceStalled"), "the source is stalled")
    assert (health(world), health(world, "jobs", "chain.follow")) == ("Degraded", "Degraded")
    assert health(world, "jobs", "chain.compact") == "Healthy"
    world.report("follow", healthy=True, message="following")
    world.until(lambda: health(world) == "Healthy", "it is healthy by itself")
    assert not world.condition("dags", "chain", "Stalled")

    change(world, "compact", operator="none")
    world.until(lambda: world.holds("dags", "chain", "Stalled", reason="Invalid"), "the spec is wrong")
    assert health(world) == "Degraded"
    change(world, "compact", operator="parquet_compact")
    world.until(lambda: health(world) == "Healthy", "it is right again")

    change(world, "*", paused=True)
    world.until(lambda: health(world) == "Suspended", "all jobs are paused")
    assert health(world, "jobs", "chain.compact") == "Suspended"
    change(world, "*", paused=False)
    world.until(lambda: health(world) == "Healthy", "all jobs go on")

    world.delete("dags", "chain")
    world.until(lambda: world.holds("dags", "chain", "Ready", "False", "Draining"), "the drain is told")
    assert health(world) == "Progressing"
    world.sql("UPDATE tasks SET status = 'Completed', finished_at = now() WHERE status = 'Running'")
    world.until(lambda: not health(world), "it is gone")


def test_what_the_controller_makes_says_nothing_of_the_application_and_is_no_part_of_it(world: World) -> None:
    world.led()
    dag = world.chain()
    # Either mark by which Argo CD knows what it applied: with one of them, it would prune what is in no repository.
    dag["metadata"]["labels"] = {"app.kubernetes.io/instance": "a"}
    dag["metadata"]["annotations"] = {"argocd.argoproj.io/tracking-id": f"a:trace.dev/DAG:{world.namespace}/chain"}
    world.apply(dag)
    world.until(world.deployments, "the source has a Deployment")
    world.provision()
    world.source_up()
    world.enqueue(1)
    world.until(world.pods, "a worker")
    marks = []
    for made in (*world.deployments(), *world.pods().values()):
        assert made.metadata.annotations["argocd.argoproj.io/ignore-healthcheck"] == "true"
        marks.append({**made.metadata.labels, **made.metadata.annotations})
    for plural in ("jobs", "assets"):
        for name in world.names(plural):
            metadata = (world.get(plural, name) or {})["metadata"]
            marks.append({**metadata["labels"], **metadata.get("annotations", {})})
    assert len(marks) == 2 + len(PROJECTED_JOBS) + len(PROJECTED_ASSETS)
    assert not [
        mark for mark in marks if mark.keys() & {"app.kubernetes.io/instance", "argocd.argoproj.io/tracking-id"}
    ]


def test_the_controller_writes_no_spec_and_its_writes_are_told_from_the_appliers(world: World) -> None:
    world.led()
    dag = world.running_chain()
    assert dag["metadata"]["generation"] == 1
    entries = [entry for entry in dag["metadata"]["managedFields"] if entry["manager"].startswith("trace-")]
    assert entries
    for entry in entries:
        assert "f:spec" not in entry["fieldsV1"], entry
    assert dag["metadata"]["finalizers"] == [names.FINALIZER]


@pytest.mark.parametrize("command", list(of_page(ROOT / "docs" / "howto" / "argocd.md")), ids=("snippet", "chart"))
def test_the_pages_commands_merge_the_health_checks_and_leave_the_rest(world: World, command: Command) -> None:
    meta = {"name": "argocd-cm", "labels": {"app.kubernetes.io/part-of": "argocd"}}
    world.core.create_namespaced_config_map(world.namespace, {"metadata": meta, "data": {"url": "https://argo"}})
    made = {"metadata": {"name": "trace-argocd-health"}, "data": argocd.data()}
    world.core.create_namespaced_config_map(world.namespace, made)
    text = re.sub(r"-n (argocd|trace) ", f"-n {world.namespace} ", command.text)
    path = f"{Path(tool('kubectl')).parent}:{os.environ['PATH']}"
    environment = {"PATH": path, "HOME": str(world.folder), "KUBECONFIG": str(world.kubeconfig)}
    subprocess.run(["bash", "-o", "pipefail", "-c", text], cwd=ROOT, env=environment, check=True)
    merged = world.core.read_namespaced_config_map("argocd-cm", world.namespace)
    assert isinstance(merged, client.V1ConfigMap)
    assert merged.data == {"url": "https://argo", **argocd.data()}
    assert merged.metadata.labels == meta["labels"]
