"""What the controller takes: from apply to Ready, from an edit to its status, and a scrape at 1,000 jobs.

A real API server and Postgres, a controller and a dispatcher as processes. There is no kubelet and no work: the
bench plays whoever makes tables and starts the source's pod, at once, so what is left is Trace's own time.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
from kubernetes import client, config, watch
from urllib3.exceptions import ProtocolError

from tests import services
from tests.apiserver.reconcile.world import ROOT, Controller, World
from tests.bench.versions import manifest
from tests.integration.dispatch.callers import settings_of
from tests.services import tool
from tests.support import dispatcher
from tests.support.waiting import until

JOBS, DAGS = 20, 50
EDITS, EDITS_PER_SECOND = 200, 5
SCRAPES = 20
TIMERS = {"reconcile_seconds": "15", "leader_lease_seconds": "15", "leader_renew_seconds": "5"}
"""As installed: tests of behaviour look at every object again each second."""
READY_AIM_SECONDS = 1.0


def dag(number: int) -> dict[str, Any]:
    """A DAG of `JOBS` jobs: a source, its ranges, and statements over each range; every statement publishes."""
    written = manifest(JOBS - 2, "a")
    for job in written["spec"]["jobs"][2:]:
        job["config"]["sql"] = job["config"]["sql"].replace("hot_blocks", f"hot_blocks_{number}")
    for published in written["spec"]["publish"]:
        published["asset"] += f"-{number}"
    return {**written, "metadata": {"name": f"chain-{number}"}}


def installed(stack: ExitStack) -> tuple[World, Controller, dispatcher.Process]:
    """A controller that leads, and a dispatcher that serves, until `stack` is closed."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    postgres = stack.enter_context(services.postgres())
    store = stack.enter_context(services.object_store())
    server = stack.enter_context(services.api_server())
    api = stack.enter_context(config.new_client_from_config(str(server.kubeconfig)))
    kubectl = [tool("kubectl"), "--kubeconfig", str(server.kubeconfig)]
    subprocess.run([*kubectl, "apply", "--server-side", "-f", str(ROOT / "crds")], check=True, capture_output=True)
    subprocess.run(
        [*kubectl, "wait", "crd", "--all", "--for=condition=Established"], check=True, capture_output=True
    )
    client.CoreV1Api(api).create_namespace({"metadata": {"name": "bench"}})
    databases = postgres.databases()
    settings = settings_of(databases, store, store.bucket(), folder)
    process = stack.enter_context(dispatcher.running(settings, folder))
    process.wait_ready()
    world = World(api, server.kubeconfig, databases.state_dsn, "bench", folder)
    stack.callback(world.end)
    return world, world.led(**TIMERS), process


def ready(world: World, number: int) -> float:
    """Seconds from the apply of a DAG until it is Ready."""
    name, document = f"chain-{number}", dag(number)
    started = time.perf_counter()
    world.apply(document)

    def is_ready() -> bool:
        world.provision()
        up(world, name)
        return world.holds("dags", name, "Ready")

    until(is_ready, f"{name} is ready", every=0.01)
    return time.perf_counter() - started


def up(world: World, name: str) -> None:
    """Play the Deployment controller for the source of a DAG."""
    status = {"replicas": 1, "readyReplicas": 1, "availableReplicas": 1, "observedGeneration": 1}
    found = world.apps.list_namespaced_deployment(world.namespace, label_selector=f"trace.dev/dag={name}").items
    for deployment in found:
        if not deployment.status.available_replicas:
            world.apps.patch_namespaced_deployment_status(
                deployment.metadata.name, world.namespace, {"status": status}
            )


class Seen:
    """When a watch saw each generation of each DAG: as it was written, and as the controller's status names it."""

    def __init__(self, world: World) -> None:
        self.written: dict[tuple[str, int], float] = {}
        self.observed: dict[tuple[str, int], float] = {}
        self._world = world
        self._watch = watch.Watch()
        threading.Thread(target=self._run, daemon=True).start()

    def close(self) -> None:
        self._watch.stop()

    def status_of(self, name: str, generation: int) -> float:
        """When a status first named the generation or a later one; 0 before that."""
        return min(
            (at for (of, g), at in list(self.observed.items()) if of == name and g >= generation), default=0.0
        )

    def _run(self) -> None:
        given = ("trace.dev", "v1alpha1", self._world.namespace, "dags")
        with contextlib.suppress(ProtocolError):  # the server ends with the bench, in the middle of the watch
            self._read(given)

    def _read(self, given: tuple[str, str, str, str]) -> None:
        for event in self._watch.stream(self._world.objects.list_namespaced_custom_object, *given):
            now, obj = time.perf_counter(), event["object"]
            name, generation = obj["metadata"]["name"], obj["metadata"]["generation"]
            self.written.setdefault((name, generation), now)
            for condition in obj.get("status", {}).get("conditions", []):
                if condition["type"] == "Valid":
                    self.observed.setdefault((name, condition["observedGeneration"]), now)


def edits(world: World) -> tuple[list[float], list[float]]:
    """Seconds from each edit until a watch has it, and until it has a status that names it."""
    seen, sent = Seen(world), {}
    until(lambda: len({name for name, _ in seen.observed}) == DAGS, "the watch has listed every DAG")
    begun = time.perf_counter()
    for number in range(EDITS):
        name = f"chain-{number % DAGS}"
        time.sleep(max(0.0, begun + number / EDITS_PER_SECOND - time.perf_counter()))
        now = time.perf_counter()
        change = {"spec": {"defaults": {"maxAttempts": 4 + number // DAGS % 2}}}
        sent[name, world.patch("dags", name, change)["metadata"]["generation"]] = now
    until(lambda: all(seen.status_of(*edit) for edit in sent), "every edit has its status")
    seen.close()
    return (
        [seen.written[edit] - at for edit, at in sent.items()],
        [seen.status_of(*edit) - at for edit, at in sent.items()],
    )


def scrape(url: str) -> tuple[float, int]:
    """The median of the milliseconds of a scrape, and its bytes."""
    taken, size = [], 0
    with httpx.Client(timeout=60) as http:
        for _ in range(SCRAPES):
            started = time.perf_counter()
            size = len(http.get(f"{url}/metrics").raise_for_status().content)
            taken.append(1000 * (time.perf_counter() - started))
    return statistics.median(taken), size


def show(name: str, ours: float, raw: float, note: str, aim: float | None = None) -> None:
    """A measure in milliseconds."""
    line = {"bench": "reconcile", "measure": name, "ratio": raw / ours, "ours": ours, "raw": raw, "unit": "ms"}
    print(json.dumps(line | {"note": note} | ({"aim": aim} if aim else {})))


def percentile(values: Sequence[float], percent: int) -> float:
    """In milliseconds, of seconds."""
    return 1000 * statistics.quantiles(values, n=100)[percent - 1]


def main() -> None:
    """Run the bench."""
    with ExitStack() as stack:
        world, controller, process = installed(stack)
        urls = {"controller": f"http://127.0.0.1:{controller.port}", "dispatcher": process.url}
        empty = {name: scrape(url) for name, url in urls.items()}
        took = [ready(world, number) for number in range(DAGS)]
        first = 1000 * statistics.median(took[:5])
        show(
            f"apply to Ready, {JOBS} jobs", first, 1000 * READY_AIM_SECONDS, "against its bound; above 1 is good", 1
        )
        sys.stderr.write(f"{DAGS} DAGs are ready; the last took {took[-1]:.2f} s\n")
        bare, ours = edits(world)
        for percent in (50, 99):
            show(
                f"an edit to its status, {DAGS} DAGs, {EDITS_PER_SECOND} edits a second, p{percent}",
                percentile(ours, percent),
                percentile(bare, percent),
                "bare: the same edit to its event in a watch",
            )
        for name, url in urls.items():
            milliseconds, size = scrape(url)
            note = f"bare: without a job; {size // 1024} KiB"
            show(f"a scrape of the {name}, {JOBS * DAGS} jobs", milliseconds, empty[name][0], note)


if __name__ == "__main__":
    main()
