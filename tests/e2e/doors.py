"""What a pod can open a connection to."""

from __future__ import annotations

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


SECURITY = {
    "runAsNonRoot": True,
    "runAsUser": 10001,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""Of a container, as the restricted standard wants it."""


def reachable(trace, name, labels):
    """Doors that a pod with these labels can open."""
    container = {
        "name": "knock",
        "image": trace.images["trace"],
        "command": ["python3", "-c", _KNOCK, *DOORS.values()],
        "securityContext": SECURITY,
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
