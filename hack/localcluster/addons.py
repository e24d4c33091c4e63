"""What the cluster needs besides its processes: DNS, and volumes for StatefulSets.

Volumes are a pool of local persistent volumes made beforehand, with a default StorageClass ``local``: no
provisioner is to be had, and a pool is enough for a node that lives for minutes. A volume given back is emptied
and returns to the pool (see ``agent``). DNS knows the cluster only: every other name does not exist, since
there is no uplink.
"""

from __future__ import annotations

from typing import Any

from .api import Api
from .layout import ClusterError, Layout
from .nodeconfig import CLUSTER_DNS
from .processes import wait_until

VOLUMES = 24
VOLUME_SIZE = "20Gi"
STORAGE_CLASS = "local"
VOLUME_FOLDER = "/var/lib/volumes"  # inside the node's mount namespace
_DNS_SECONDS = 60.0

_COREFILE = """\
cluster.local:53 in-addr.arpa:53 ip6.arpa:53 {
    errors
    health :8080
    ready :8181
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        pods insecure
        ttl 5
    }
    cache 5
    reload
}
.:53 {
    template ANY ANY . {
        rcode NXDOMAIN
    }
}
"""


def volume_name(number: int) -> str:
    """Name of a volume of the pool, counted from 0; also the name of its folder."""
    return f"local-{number:02}"


def apply(api: Api, layout: Layout, dns_image: str) -> None:
    """Create or update every addon and wait for DNS to answer."""
    backing = layout.private / f"machine{VOLUME_FOLDER}"
    for number in range(VOLUMES):
        (backing / volume_name(number)).mkdir(parents=True, exist_ok=True)
        api.apply(f"/api/v1/persistentvolumes/{volume_name(number)}", _volume(number, layout.name))
    api.apply(f"/apis/storage.k8s.io/v1/storageclasses/{STORAGE_CLASS}", _storage_class())
    for path, document in _dns(dns_image):
        api.apply(path, document)
    if not wait_until(lambda: _dns_answers(api), _DNS_SECONDS, every=0.2):
        raise ClusterError("CoreDNS is not ready; see: hack/cluster exec -- kubectl -n kube-system describe pods")


def _dns_answers(api: Api) -> bool:
    """Whether a CoreDNS pod says itself that it is ready: after a crash the status of pods is an old one."""
    pods = api.get("/api/v1/namespaces/kube-system/pods?labelSelector=k8s-app%3Dkube-dns")["items"]
    return any(
        api.answers(f"/api/v1/namespaces/kube-system/pods/{pod['metadata']['name']}:8181/proxy/ready")
        for pod in pods
    )


def _storage_class() -> dict[str, Any]:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": STORAGE_CLASS,
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer",
        "reclaimPolicy": "Retain",
    }


def _volume(number: int, node: str) -> dict[str, Any]:
    name = volume_name(number)
    hostname = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "storageClassName": STORAGE_CLASS,
            "capacity": {"storage": VOLUME_SIZE},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "volumeMode": "Filesystem",
            "local": {"path": f"{VOLUME_FOLDER}/{name}"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [hostname]}]}},
        },
    }


def _dns(image: str) -> list[tuple[str, dict[str, Any]]]:
    system = "/namespaces/kube-system"
    labels = {"k8s-app": "kube-dns"}
    rules = [
        {
            "apiGroups": [""],
            "resources": ["endpoints", "services", "pods", "namespaces"],
            "verbs": ["list", "watch"],
        },
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    ]
    rbac, role = "rbac.authorization.k8s.io/v1", "system:coredns"
    ports = [{"name": name, "port": 53, "targetPort": 53, "protocol": name.upper()} for name in ("udp", "tcp")]

    def named(api_version: str, kind: str, name: str, **rest: Any) -> dict[str, Any]:
        return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, **rest}

    return [
        (f"/api/v1{system}/serviceaccounts/coredns", named("v1", "ServiceAccount", "coredns")),
        (f"/apis/{rbac}/clusterroles/{role}", named(rbac, "ClusterRole", role, rules=rules)),
        (
            f"/apis/{rbac}/clusterrolebindings/{role}",
            named(
                rbac,
                "ClusterRoleBinding",
                role,
                roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
                subjects=[{"kind": "ServiceAccount", "name": "coredns", "namespace": "kube-system"}],
            ),
        ),
        (
            f"/api/v1{system}/configmaps/coredns",
            named("v1", "ConfigMap", "coredns", data={"Corefile": _COREFILE}),
        ),
        (f"/apis/apps/v1{system}/deployments/coredns", _dns_deployment(image, labels)),
        (
            f"/api/v1{system}/services/kube-dns",
            named("v1", "Service", "kube-dns", spec={"clusterIP": CLUSTER_DNS, "selector": labels, "ports": ports}),
        ),
    ]


def _dns_deployment(image: str, labels: dict[str, str]) -> dict[str, Any]:
    container = {
        "name": "coredns",
        "image": image,
        "imagePullPolicy": "Never",
        "args": ["-conf", "/etc/coredns/Corefile"],
        "ports": [{"name": "dns", "containerPort": 53, "protocol": "UDP"}],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1},
        "livenessProbe": {"httpGet": {"path": "/health", "port": 8080}, "periodSeconds": 10, "failureThreshold": 6},
        "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns", "readOnly": True}],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "resources": {"requests": {"cpu": "10m", "memory": "30Mi"}, "limits": {"memory": "170Mi"}},
    }
    template = {
        "metadata": {"labels": labels},
        "spec": {
            "serviceAccountName": "coredns",
            "priorityClassName": "system-cluster-critical",
            "dnsPolicy": "Default",
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                # Port 53, so that policies read as on any cluster; not a privileged port inside this pod.
                "sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}],
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": [{"name": "config", "configMap": {"name": "coredns"}}],
        },
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "coredns"},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
    }
