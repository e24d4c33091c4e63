"""What a real kubelet says of pods, read as the controller reads it: sidecars, scratch, missing Secrets."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.waiting import until
from traceplane.reconcile.podfacts import PodFact, fact_of
from traceplane.reconcile.podnews import explained

from .conftest import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

PROXY = ("sh", "-c", "trap 'exit 0' TERM; sleep inf & wait")


def worker(name: str, image: str, *command: str) -> dict[str, Any]:
    """A pod whose container is named as the controller's are."""
    main = {"name": "worker", "image": image, "imagePullPolicy": "Never", "command": list(command)}
    spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "containers": [main]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def beside(made: dict[str, Any], image: str, part: str = "containers", **more: Any) -> dict[str, Any]:
    """The pod with a sidecar that never ends by itself."""
    proxy = {"name": "proxy", "image": image, "imagePullPolicy": "Never", "command": list(PROXY), **more}
    made["spec"][part] = [proxy, *made["spec"].get(part, [])]
    return made


def test_the_words_of_a_real_kubelet_are_understood(cluster: Cluster, namespace: str, image: str) -> None:
    full = worker("full", image, "sh", "-c", "head -c 20000000 /dev/zero > /scratch/file; sleep inf")
    full["spec"]["containers"][0]["volumeMounts"] = [{"name": "scratch", "mountPath": "/scratch"}]
    full["spec"]["volumes"] = [{"name": "scratch", "emptyDir": {"sizeLimit": "1Mi"}}]
    waits = worker("waits", image, "sleep", "inf")
    items = [{"key": "urls", "path": "urls"}]
    waits["spec"]["containers"][0]["volumeMounts"] = [{"name": "rpc-0", "mountPath": "/etc/trace/rpc/lokal"}]
    waits["spec"]["volumes"] = [{"name": "rpc-0", "secret": {"secretName": "rpcpool-lokal", "items": items}}]
    native = beside(worker("native", image, "true"), image, "initContainers", restartPolicy="Always")
    ordinary = beside(worker("ordinary", image, "true"), image)
    failing = beside(worker("failing", image, "sh", "-c", "exit 3"), image)
    pods = {"apiVersion": "v1", "kind": "List", "items": [full, waits, native, ordinary, failing]}
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(pods))

    def fact(name: str) -> PodFact:
        found = json.loads(cluster.kubectl("get", "pod", name, "-n", namespace, "-o", "json"))
        about = f"involvedObject.uid={found['metadata']['uid']},type=Warning"
        events = json.loads(
            cluster.kubectl("get", "events", "-n", namespace, "--field-selector", about, "-o", "json")
        )
        return explained(found, fact_of(found), events["items"], datetime.now(UTC))

    expected = {
        "native": ("FINISHED", ""),
        "ordinary": ("FINISHED", ""),
        "failing": ("FAILED", "WorkerFailed"),
        "waits": ("PENDING", "FailedMount"),
        "full": ("FAILED", "ScratchFull"),
    }
    for name, outcome in expected.items():
        until(
            lambda name=name, outcome=outcome: (seen := fact(name)) and (seen.life.name, seen.reason) == outcome,  # type: ignore[misc]
            f"{name} is {outcome}",
            timeout=110,
            every=1,
            detail=lambda name=name: fact(name),  # type: ignore[misc]
        )
    assert "rpcPool lokal is Secret rpcpool-lokal with key urls" in fact("waits").message
    assert cluster.kubectl("get", "pod", "ordinary", "-n", namespace, "-o", "jsonpath={.status.phase}") == "Running"
