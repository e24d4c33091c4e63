"""Command lines of etcd and kube-apiserver, shared by the fast API server and the whole cluster.

Pure: paths and addresses in, words out. The clusters are throw-away, so etcd does not wait for the disk
(``--unsafe-no-fsync``): a power cut loses the cluster, a killed process does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .certificates import Authority, Pair, Subject, service_account_keys

SERVICE_CIDR = "10.96.0.0/16"
SERVICE_OF_API = "10.96.0.1"
CLUSTER_ISSUER = "https://kubernetes.default.svc.cluster.local"

# The names pods and the machine call the API server by.
_API_NAMES = (
    "DNS:kubernetes",
    "DNS:kubernetes.default",
    "DNS:kubernetes.default.svc",
    "DNS:kubernetes.default.svc.cluster.local",
    "DNS:localhost",
    "IP:127.0.0.1",
    f"IP:{SERVICE_OF_API}",
)


@dataclass(frozen=True)
class Credentials:
    """Every certificate the control plane and the administrator need."""

    authority: Pair
    front_proxy_authority: Pair
    server: Pair
    kubelet_client: Pair
    front_proxy_client: Pair
    administrator: Pair
    service_accounts: Pair


def make_credentials(folder: Path, addresses: tuple[str, ...] = ()) -> Credentials:
    """Make the control plane's certificates in ``folder`` unless there; ``addresses`` are the API server's own."""
    authority, front = Authority(folder, "ca"), Authority(folder, "front-proxy-ca")
    authority.create()
    front.create()
    names = _API_NAMES + tuple(f"IP:{address}" for address in addresses)
    return Credentials(
        authority=authority.pair,
        front_proxy_authority=front.pair,
        server=authority.issue("apiserver", Subject("kube-apiserver", alternative_names=names)),
        kubelet_client=authority.issue("apiserver-kubelet-client", Subject("kube-apiserver", "system:masters")),
        front_proxy_client=front.issue("front-proxy-client", Subject("front-proxy-client")),
        administrator=authority.issue("admin", Subject("admin", "system:masters")),
        service_accounts=service_account_keys(folder),
    )


def etcd_argv(program: Path, data: Path, client_port: int, peer_port: int) -> list[str]:
    """etcd on loopback with a small quota of its own; it keeps its data in ``data``."""
    client, peer = f"http://127.0.0.1:{client_port}", f"http://127.0.0.1:{peer_port}"
    return [
        str(program),
        "--name=local",
        f"--data-dir={data}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=local={peer}",
        "--unsafe-no-fsync",
        "--auto-compaction-mode=periodic",
        "--auto-compaction-retention=10m",
        "--log-level=warn",
    ]


def apiserver_argv(
    program: Path,
    credentials: Credentials,
    *,
    etcd_port: int,
    bind: str,
    port: int,
    advertise: str,
    issuer: str,
    extra: tuple[str, ...] = (),
) -> list[str]:
    """kube-apiserver with RBAC, aggregation and projected service-account tokens.

    ``issuer`` is the URL tokens carry and discovery is served at; its key set is published below the same URL, so
    that a client that reaches the issuer reaches the keys.
    """
    return [
        str(program),
        f"--etcd-servers=http://127.0.0.1:{etcd_port}",
        f"--bind-address={bind}",
        f"--secure-port={port}",
        f"--advertise-address={advertise}",
        f"--service-cluster-ip-range={SERVICE_CIDR}",
        "--authorization-mode=Node,RBAC",
        "--allow-privileged=true",
        f"--client-ca-file={credentials.authority.certificate}",
        f"--tls-cert-file={credentials.server.certificate}",
        f"--tls-private-key-file={credentials.server.key}",
        f"--kubelet-client-certificate={credentials.kubelet_client.certificate}",
        f"--kubelet-client-key={credentials.kubelet_client.key}",
        f"--kubelet-certificate-authority={credentials.authority.certificate}",
        # The node's name is in no DNS.
        "--kubelet-preferred-address-types=InternalIP",
        f"--service-account-issuer={issuer}",
        f"--service-account-jwks-uri={issuer}/openid/v1/jwks",
        f"--service-account-key-file={credentials.service_accounts.certificate}",
        f"--service-account-signing-key-file={credentials.service_accounts.key}",
        # Without aggregation the controller manager and the scheduler miss their client CA.
        f"--requestheader-client-ca-file={credentials.front_proxy_authority.certificate}",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-username-headers=X-Remote-User",
        f"--proxy-client-cert-file={credentials.front_proxy_client.certificate}",
        f"--proxy-client-key-file={credentials.front_proxy_client.key}",
        "--profiling=false",
        *extra,
    ]
