"""Who reaches whom in the namespace of an installation, with the policies enforced."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

DOORS = {
    "postgres": "trace-postgres:5432",
    "objects": "trace-minio:9000",
    "tasks": "trace-dispatcher:8080",
    "users": "trace-dispatcher:8081",
    "query": "trace-query:8082",
    "nodes": "trace-chain:8545",
}
# Again and again for a while, and what counts is the end: policies reach a new pod a moment after it starts, those
# that let it in somewhere and those that keep it.
_KNOCK = """
import socket, sys, time
until = time.monotonic() + 8
while time.monotonic() < until:
    opened = []
    for door in sys.argv[1:]:
        host, _, port = door.partition(":")
        try:
            socket.create_connection((host, int(port)), timeout=2).close()
        except OSError:
            continue
        opened.append(door)
    time.sleep(0.2)
print(*opened)
"""


def reachable(trace, name, labels):
    """Doors that a pod with these labels can open."""
    security = {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container = {
        "name": "knock",
        "image": trace.images["trace"],
        "command": ["python3", "-c", _KNOCK, *DOORS.values()],
        "securityContext": security,
    }
    spec = {"restartPolicy": "Never", "automountServiceAccountToken": False, "containers": [container]}
    trace.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec})
    try:
        trace.wait(
            "it has knocked", lambda: trace.kube.get("pod", name)["status"]["phase"] in ("Succeeded", "Failed")
        )
        opened = trace.kube.kubectl("logs", name).split()
    finally:
        trace.kube.kubectl("delete", "pod", name, "--wait=false")
    return {door for door, address in DOORS.items() if address in opened}


def test_a_stranger_reaches_only_what_users_reach(trace):
    assert reachable(trace, "stranger", {"app": "stranger"}) == {"users", "query", "nodes"}


def test_a_worker_reaches_tasks_data_and_queries_and_nothing_else(trace):
    reached = reachable(trace, "like-a-worker", {"trace.dev/job": "knock"})
    assert reached == {"postgres", "objects", "tasks", "query"}


def test_a_follower_reaches_the_nodes_of_its_pool_as_well_and_not_what_only_users_ask(trace):
    """The labels are the follower's own, but for the one by which its Deployment would adopt this pod."""
    follower = trace.one("trace.dev/job=follow")
    labels = {name: text for name, text in follower["metadata"]["labels"].items() if "hash" not in name}
    reached = reachable(trace, "like-a-follower", labels | {"trace.dev/generation": "knock"})
    assert reached == {"postgres", "objects", "tasks", "query", "nodes"}
