"""From nothing to a cluster with Trace on it: node, images, namespace, chart. A step does only what is missing."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hack.demo.kube import Kube, wait_for
from hack.localcluster.commands import TAIL_LINES, tail
from hack.localcluster.layout import CHECKOUT, ClusterError, Layout, cluster_dir
from hack.localcluster.lifecycle import open_cluster
from hack.localcluster.progress import say, step

RELEASE = "trace"
NAMESPACE = "trace"
CHART = CHECKOUT / "charts" / "trace"
INSTALL_SECONDS = 300.0

# Every pod of the namespace must meet the restricted standard, Trace's own and its workers'.
_NAMESPACE_LABELS = {"pod-security.kubernetes.io/enforce": "restricted"}


def cluster_up() -> None:
    """Raise the cluster, or what is missing of it. It says itself what takes time."""
    _own("hack/cluster", "up")


def forget_stopped() -> None:
    """Remove a cluster of which nothing runs any more (the machine was restarted, or everything was killed).

    Its chain lived in memory and would begin again at block 0, below the rows that were stored of the one before.
    """
    layout = Layout(cluster_dir())
    if layout.record.exists() and not any(open_cluster(layout).running().values()):
        say(f".. nothing of the cluster in {layout.root} runs any more, and its chain is gone: beginning anew")
        _own("hack/cluster", "down")


def images() -> dict[str, str]:
    """Build and load the images whose content changed; returns name to reference."""
    return dict(line.split("=", 1) for line in _own("hack/cluster", "load").splitlines())


def image(name: str) -> str:
    """Build and load one image that a cluster with Trace does not need by itself; returns its reference."""
    archive = _own("hack/images/build", name).strip()
    return dict(line.split("=", 1) for line in _own("hack/cluster", "load", archive).splitlines())[name]


def chart(kube: Kube, references: Mapping[str, str], values: Mapping[str, Any], release: str = RELEASE) -> None:
    """Install the chart, or upgrade to this checkout's, and wait until every pod is ready."""
    namespace(kube)
    merged = {"images": dict(references), **values}
    with step("installing Trace with Helm") as progress:
        kube.helm(
            *("upgrade", "--install", release, str(CHART), "--values", "-"),
            stdin=json.dumps(merged),
        )
        wait_for("every part of Trace is ready", INSTALL_SECONDS, lambda: ready(kube), progress)


def namespace(kube: Kube) -> None:
    """Make the namespace, with the restricted Pod Security standard enforced on all that runs in it."""
    document = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": kube.namespace, "labels": _NAMESPACE_LABELS},
    }
    kube.kubectl("apply", "--server-side", "--filename", "-", stdin=json.dumps(document))


def ready(kube: Kube) -> tuple[bool, str]:
    """Whether every Deployment and StatefulSet of the namespace runs as it should; and what keeps one from it."""
    waiting = []
    for workload in kube.items("deployments,statefulsets"):
        status, spec = workload.get("status", {}), workload["spec"]
        current = status.get("observedGeneration") == workload["metadata"]["generation"]
        updated = status.get("updatedReplicas", 0) >= spec["replicas"]
        available = status.get("readyReplicas", 0) >= spec["replicas"]
        if not (current and updated and available and status.get("replicas", 0) == spec["replicas"]):
            waiting.append(workload["metadata"]["name"])
    if not waiting:
        return True, "all ready"
    return False, f"waiting for {', '.join(waiting)}{_trouble(kube)}"


def _trouble(kube: Kube) -> str:
    """What keeps a container from running, where the kubelet says so."""
    for pod in kube.items("pods"):
        status = pod.get("status", {})
        for container in status.get("initContainerStatuses", []) + status.get("containerStatuses", []):
            reason = container.get("state", {}).get("waiting", {}).get("reason", "")
            if reason not in ("", "PodInitializing", "ContainerCreating"):
                return f" ({pod['metadata']['name']}/{container['name']}: {reason})"
    return ""


def _own(*argv: str) -> str:
    """Standard output of one of the project's own commands; its progress goes on to the terminal as it comes.

    The last of it is part of the error as well: in a long log of tests, "above" is nowhere.
    """
    command = [sys.executable, str(CHECKOUT / argv[0]), *argv[1:]]
    last: deque[str] = deque(maxlen=TAIL_LINES)
    with (
        tempfile.TemporaryFile("w+") as output,
        subprocess.Popen(command, stdout=output, stderr=subprocess.PIPE, text=True, errors="replace") as running,
    ):
        assert running.stderr is not None
        for line in running.stderr:
            sys.stderr.write(line)
            sys.stderr.flush()
            last.append(line)
        if code := running.wait():
            raise ClusterError(f"{' '.join(argv[:2])} failed (exit code {code})\n{tail(''.join(last))}")
        output.seek(0)
        return output.read()


def example_values() -> dict[str, Any]:
    """Values of the demo: the embedded profile with the example chain, and timers for people who wait."""
    return {
        "exampleChain": {"enabled": True, "blockSeconds": 1},
        # The proof asks for many pages in a row, faster than people do.
        "config": {"longest_query_seconds": 30, "reconcile_seconds": 5, "query_rate_per_minute": 600},
    }


def manifests() -> list[Path]:
    """The example pipeline."""
    return sorted((CHECKOUT / "dags").glob("chain*.yaml"))
