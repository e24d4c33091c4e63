"""What runs on the cluster: pods, services, names, volumes, limits, policies, tokens."""

from __future__ import annotations

import base64
import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from hack.localcluster.layout import Layout
from hack.localcluster.lifecycle import open_cluster
from tests.support.waiting import until

from .conftest import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

RESTRICTED = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
POD_SECURITY = {
    "runAsNonRoot": True,
    "runAsUser": 10001,
    "runAsGroup": 10001,
    "fsGroup": 10001,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def pod(name: str, image: str, *command: str, **container: Any) -> dict[str, Any]:
    main = {"name": "main", "image": image, "imagePullPolicy": "Never", "command": list(command), **container}
    spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "containers": [main]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec}


def create(cluster: Cluster, namespace: str, *documents: dict[str, Any]) -> None:
    listed = {"apiVersion": "v1", "kind": "List", "items": list(documents)}
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(listed))


def wait(cluster: Cluster, namespace: str, what: str, condition: str) -> None:
    cluster.kubectl("wait", what, "-n", namespace, f"--for={condition}", "--timeout=110s")


def web_server(image: str) -> dict[str, Any]:
    probe = {"tcpSocket": {"port": 8000}, "periodSeconds": 1}
    ports = [{"name": "web", "containerPort": 8000}]
    return pod("server", image, "python3", "-m", "http.server", "8000", readinessProbe=probe, ports=ports)


def fetch(cluster: Cluster, namespace: str, url: str) -> str:
    """What a GET from inside the pod `client` gives: the status, or the name of the error."""
    script = (
        "import urllib.request\n"
        f"try: print(urllib.request.urlopen({url!r}, timeout=5).status)\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    return cluster.kubectl("exec", "client", "-n", namespace, "--", "python3", "-c", script).strip()


def test_a_pod_runs_logs_and_answers_exec(cluster: Cluster, namespace: str, image: str) -> None:
    create(cluster, namespace, pod("echo", image, "sh", "-c", "echo from the pod; sleep inf"))
    wait(cluster, namespace, "pod/echo", "condition=Ready")
    assert cluster.kubectl("logs", "echo", "-n", namespace).strip() == "from the pod"
    assert cluster.kubectl("exec", "echo", "-n", namespace, "--", "sh", "-c", "echo $((6*7))").strip() == "42"


def test_a_service_answers_by_name_and_on_a_node_port(cluster: Cluster, namespace: str, image: str) -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "server"},
        "spec": {"type": "NodePort", "selector": {"app": "server"}, "ports": [{"port": 80, "targetPort": "web"}]},
    }
    create(cluster, namespace, web_server(image), pod("client", image, "sleep", "inf"), service)
    wait(cluster, namespace, "pod/server", "condition=Ready")
    wait(cluster, namespace, "pod/client", "condition=Ready")
    url = f"http://server.{namespace}.svc.cluster.local/"
    # DNS learns of a new Service in a moment, and remembers for five seconds that it knew none.
    until(lambda: fetch(cluster, namespace, url) == "200", timeout=120, every=0.5)
    assert "URLError" in fetch(cluster, namespace, "http://no-such-name.example/")
    port = cluster.kubectl("get", "service", "server", "-n", namespace, "-o", "jsonpath={.spec.ports[0].nodePort}")
    node = open_cluster(Layout(cluster.folder)).namespaces.node_address
    with urllib.request.urlopen(f"http://{node}:{port}/", timeout=5) as answer:
        assert answer.status == 200


def test_a_memory_limit_kills_and_says_so(cluster: Cluster, namespace: str, image: str) -> None:
    limits = {"limits": {"memory": "32Mi"}}
    create(cluster, namespace, pod("greedy", image, "python3", "-c", "bytearray(256 * 2**20)", resources=limits))
    wait(cluster, namespace, "pod/greedy", "jsonpath={.status.phase}=Failed")
    reason = "jsonpath={.status.containerStatuses[0].state.terminated.reason}"
    assert cluster.kubectl("get", "pod", "greedy", "-n", namespace, "-o", reason) == "OOMKilled"


def test_a_missing_image_is_reported(cluster: Cluster, namespace: str) -> None:
    create(cluster, namespace, pod("lost", "trace.local/no-such-image:1", "true"))
    wait(
        cluster,
        namespace,
        "pod/lost",
        "jsonpath={.status.containerStatuses[0].state.waiting.reason}=ErrImageNeverPull",
    )


def test_pod_security_refuses_what_is_not_restricted(cluster: Cluster, namespace: str, image: str) -> None:
    cluster.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    refused = cluster.kubectl(
        "apply", "-n", namespace, "-f", "-", stdin=json.dumps(pod("loose", image, "true")), check=False
    )
    assert "violates PodSecurity" in refused
    tight = pod("tight", image, "true", securityContext=RESTRICTED)
    tight["spec"]["securityContext"] = POD_SECURITY
    create(cluster, namespace, tight)
    wait(cluster, namespace, "pod/tight", "jsonpath={.status.phase}=Succeeded")


def test_a_claimed_volume_is_writable_keeps_its_data_and_returns_empty(
    cluster: Cluster, namespace: str, image: str
) -> None:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }

    def user(name: str, script: str) -> dict[str, Any]:
        mounts = [{"name": "data", "mountPath": "/data"}]
        made = pod(name, image, "sh", "-ec", script, volumeMounts=mounts, securityContext=RESTRICTED)
        made["spec"]["securityContext"] = POD_SECURITY
        made["spec"]["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
        return made

    create(cluster, namespace, claim, user("writer", "echo kept > /data/file"))
    wait(cluster, namespace, "pod/writer", "jsonpath={.status.phase}=Succeeded")
    create(cluster, namespace, user("reader", "grep kept /data/file"))
    wait(cluster, namespace, "pod/reader", "jsonpath={.status.phase}=Succeeded")
    volume = cluster.kubectl("get", "pvc", "data", "-n", namespace, "-o", "jsonpath={.spec.volumeName}")
    backing = Layout(cluster.folder).private / "machine/var/lib/volumes" / volume
    assert (backing / "file").read_text() == "kept\n"
    cluster.kubectl("delete", "pod/writer", "pod/reader", "pvc/data", "-n", namespace)
    cluster.kubectl("wait", f"pv/{volume}", "--for=jsonpath={.status.phase}=Available", "--timeout=110s")
    assert list(backing.iterdir()) == []


def test_network_policies_are_enforced_in_both_directions(cluster: Cluster, namespace: str, image: str) -> None:
    client = pod("client", image, "sleep", "inf")
    create(cluster, namespace, web_server(image), client)
    wait(cluster, namespace, "pod/server", "condition=Ready")
    wait(cluster, namespace, "pod/client", "condition=Ready")
    address = cluster.kubectl("get", "pod", "server", "-n", namespace, "-o", "jsonpath={.status.podIP}")
    url = f"http://{address}:8000/"

    def policy(name: str, selected: str, **spec: Any) -> dict[str, Any]:
        body = {"podSelector": {"matchLabels": {"app": selected}}, **spec}
        return {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": name},
            "spec": body,
        }

    def settles(expected: str) -> bool:
        what = f"a fetch ends with {expected}"
        return until(lambda: expected in fetch(cluster, namespace, url), what, timeout=120, every=0.2)

    assert fetch(cluster, namespace, url) == "200"
    create(cluster, namespace, policy("inward", "server", policyTypes=["Ingress"]))
    assert settles("URLError")
    allowed = [{"from": [{"podSelector": {"matchLabels": {"app": "client"}}}], "ports": [{"port": "web"}]}]
    create(cluster, namespace, policy("inward", "server", policyTypes=["Ingress"], ingress=allowed))
    assert settles("200")
    create(cluster, namespace, policy("outward", "client", policyTypes=["Egress"]))
    assert settles("URLError")


def test_tokens_for_the_audience_are_signed_by_the_cluster_and_its_keys_are_published(
    cluster: Cluster, namespace: str
) -> None:
    cluster.kubectl("create", "serviceaccount", "somebody", "-n", namespace)
    token = cluster.kubectl("create", "token", "somebody", "-n", namespace, "--audience", "trace").strip()
    header, claims = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in token.split(".")[:2])
    issuer = json.loads(cluster.kubectl("get", "--raw", "/.well-known/openid-configuration"))
    keys = json.loads(cluster.kubectl("get", "--raw", "/openid/v1/jwks"))
    assert claims["iss"] == issuer["issuer"] == "https://kubernetes.default.svc.cluster.local"
    assert claims["aud"] == ["trace"]
    assert header["kid"] in [key["kid"] for key in keys["keys"]]


def test_loading_an_image_again_imports_nothing(cluster: Cluster, archive: Path, image: str) -> None:
    assert cluster.command("load", archive).strip() == f"base={image}"
    listed = ("node", "--", "ctr", "-n", "k8s.io", "images", "list", f"name=={image}")
    before = cluster.command(*listed)
    cluster.command("load", archive)
    assert cluster.command(*listed) == before
