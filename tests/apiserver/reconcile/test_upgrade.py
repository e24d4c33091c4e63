"""Upgrade from the chart of before, the way back, and removal, by helm on a real API server, during work."""

from __future__ import annotations

import copy
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import config

from tests.apiserver.reconcile.world import ROOT, World
from tests.services import Databases, tool
from tests.services.api_server import api_server as started_api_server
from tests.support import previous

pytestmark = [pytest.mark.apiserver, pytest.mark.services]

RELEASE = "release"
Helm = Callable[..., str]


@pytest.fixture
def world(databases: Databases, tmp_path: Path) -> Iterator[World]:
    """A world on an API server of its own, whose definitions belong to a release in a namespace beside it."""
    with started_api_server() as server, config.new_client_from_config(str(server.kubeconfig)) as api:
        made = World(api, server.kubeconfig, databases.state_dsn, "work", tmp_path)
        for name in ("work", RELEASE):
            made.core.create_namespace({"metadata": {"name": name}})
        try:
            yield made
        finally:
            made.end()


@pytest.fixture
def helm(world: World) -> Helm:
    def run(*words: str) -> str:
        argv = [tool("helm"), "--kubeconfig", str(world.kubeconfig), "--namespace", RELEASE, *words]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def known(world: World) -> bool:
    """Whether the definitions have the newer field, whose default the server fills in."""
    return previous.NEW_FIELD in (world.get("dags", "chain") or {})["spec"]


def work(world: World) -> dict[str, Any]:
    """What must outlive a change of the release: the DAG as it was applied, its parts, and the task that runs."""
    dag = (world.get("dags", "chain") or {})["metadata"]
    return {
        "dag": (dag["uid"], dag["generation"]),
        "jobs": {one["metadata"]["name"]: one["metadata"]["uid"] for one in world.items("jobs")},
        "pods": {slot: pod.metadata.uid for slot, pod in world.pods().items()},
        "sources": [one.metadata.uid for one in world.deployments()],
        "tasks": world.sql("SELECT id, status, attempt FROM tasks ORDER BY id"),
    }


def secrets(world: World) -> dict[str, Any]:
    found = world.core.list_namespaced_secret(RELEASE).items
    return {one.metadata.name: one.data for one in found if one.type == "Opaque"}


def test_work_in_flight_goes_on_through_upgrade_rollback_and_removal(
    world: World, helm: Helm, tmp_path: Path
) -> None:
    now = str(ROOT / "charts" / "trace")
    helm("upgrade", "--install", "trace", str(previous.chart(tmp_path)))
    controller = world.led()
    world.running_chain()
    world.enqueue(1)
    pod = world.until(lambda: world.pods().get("w0"), "a worker")
    world.claim(f"{pod.metadata.name}.{pod.metadata.uid}")
    world.until(lambda: world.get("jobs", "chain.compact") or {}, "its job")
    assert not known(world)
    before, made = work(world), secrets(world)
    assert len(made) > 5

    helm("upgrade", "trace", now)
    world.until(lambda: known(world), "the newer definitions are served")
    world.until(lambda: world.holds("dags", "chain", "Ready"), "the DAG runs on")
    assert (work(world), secrets(world)) == (before, made)
    brought_about(world, 3)
    before = work(world)

    helm("rollback", "trace")
    world.until(lambda: not known(world), "the older definitions are served")
    assert (work(world), secrets(world)) == (before, made)
    brought_about(world, 4)
    before = work(world)

    helm("uninstall", "trace")
    assert (work(world), secrets(world)) == (before, made), "removal keeps definitions, DAGs and Secrets"
    helm("upgrade", "--install", "trace", now)
    world.until(lambda: known(world), "the newer definitions are served")
    assert (work(world), secrets(world)) == (before, made), "and an installation after it takes them over"
    assert controller.ended() is None


def brought_about(world: World, workers: int) -> None:
    """An edit reaches the controller: its watches and lists outlived the change of the definitions."""
    dag = copy.deepcopy(world.get("dags", "chain") or {})
    for job in dag["spec"]["jobs"]:
        if job["name"] == "compact":
            job["scaling"]["maxWorkers"] = workers
    world.patch("dags", "chain", {"spec": {"jobs": dag["spec"]["jobs"]}})

    def seen() -> bool:
        status = (world.get("dags", "chain") or {})["status"]
        generation = (world.get("dags", "chain") or {})["metadata"]["generation"]
        shown = (world.get("jobs", "chain.compact") or {})["spec"]["scaling"]["maxWorkers"]
        return bool(status["observedGeneration"] == generation and shown == workers)

    world.until(seen, f"{workers} workers are allowed")
