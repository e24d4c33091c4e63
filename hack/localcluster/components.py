"""The processes of the node: how each is called, and in which order they start.

``hack/cluster stop NAME`` and ``start NAME`` work on one of them, which is how failure drills take a part away.
All components can be stopped and started on the same data: pods keep running meanwhile.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from . import kubeconfigs, nodeconfig, packages, toolchain
from .api import Api
from .atomic import write_file
from .certificates import Authority, Subject
from .commands import run
from .controlplane import CLUSTER_ISSUER, SERVICE_CIDR, apiserver_argv, etcd_argv, make_credentials
from .layout import ClusterError, Layout
from .namespaces import Namespaces
from .processes import Process, wait_until

API_PORT = 6443
_ETCD_PORTS = (2379, 2380)
_READY_SECONDS = 90.0
_CLIENTS = {
    "kube-controller-manager": Subject("system:kube-controller-manager"),
    "kube-scheduler": Subject("system:kube-scheduler"),
    "kube-proxy": Subject("system:kube-proxy"),
}

# In the order of their start; the reverse is a safe order to stop them in.
NAMES = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "containerd",
    "kubelet",
    "kube-proxy",
    "agent",
)


@dataclass(frozen=True)
class Components:
    """The components of one cluster; start and stop take a name of ``NAMES``."""

    layout: Layout
    namespaces: Namespaces

    def process(self, name: str) -> Process:
        """The process record of a component."""
        if name not in NAMES:
            raise ClusterError(f"no component {name!r}; there are: {', '.join(NAMES)}")
        return Process(name, self.layout.processes / name, self.layout.logs / f"{name}.log")

    def running(self) -> dict[str, int | None]:
        """Process id of each component, ``None`` for those that do not run."""
        return {name: self.process(name).pid() for name in NAMES}

    def configure(self, pause_image: str) -> None:
        """Write certificates, kubeconfigs and configuration files; equal files are left alone."""
        layout, node = self.layout, self.namespaces.node_address
        credentials = make_credentials(layout.certificates, (node, self.namespaces.host_address))
        authority = Authority(layout.certificates, "ca")
        server = f"https://{node}:{API_PORT}"

        def kubeconfig(path: Path, client: str, subject: Subject) -> None:
            pair = authority.issue(client, subject)
            kubeconfigs.write(path, server=server, authority=authority.pair.certificate, client=pair)

        for name, subject in _CLIENTS.items():
            kubeconfig(layout.config / f"{name}.kubeconfig", name, subject)
        kubelet = Subject(f"system:node:{layout.name}", "system:nodes", (f"DNS:{layout.name}", f"IP:{node}"))
        kubeconfig(layout.config / "kubelet.kubeconfig", "kubelet", kubelet)
        for path in (layout.own_kubeconfig, layout.kubeconfig):
            kubeconfigs.write(
                path,
                server=server,
                authority=credentials.authority.certificate,
                client=credentials.administrator,
            )
        plugin = packages.require("cni:bridge").parent
        cni = layout.config / "cni"
        files = {
            cni / "10-trace.conflist": nodeconfig.cni_conflist(),
            layout.config
            / "resolv.conf": "# Pods that bypass the cluster's DNS have no resolver: there is no uplink.\n",
            layout.config / "containerd.toml": nodeconfig.containerd_toml(
                pause_image=pause_image, cni_programs=plugin, cni_config=cni
            ),
            layout.config / "kubelet.json": nodeconfig.kubelet_config(
                cgroup_root=layout.name, pki=layout.certificates, resolv_conf=layout.config / "resolv.conf"
            ),
        }
        for path, text in files.items():
            write_file(path, text)

    def start(self, name: str, groups: list[Path]) -> None:
        """Start a component unless it runs, and wait until it does its work."""
        process = self.process(name)
        if process.pid() is None:
            process.start(self.namespaces.enter(self._argv(name)), groups=groups)
        ready = self._probes().get(name, lambda: True)
        if not wait_until(lambda: process.pid() is None or ready(), _READY_SECONDS, every=0.1):
            raise process.failure(f"not ready within {_READY_SECONDS:.0f} s")
        if process.pid() is None:
            raise process.failure("ended while starting")

    def node_ready(self) -> bool:
        """Whether the node is ready, in the word of the kubelet that runs now and not of one that ran before."""
        try:
            api, started = Api(self.layout.own_kubeconfig), self.process("kubelet").record.stat().st_mtime
            node = api.get(f"/api/v1/nodes/{self.layout.name}")
            lease = api.get(f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{self.layout.name}")
        except (ClusterError, FileNotFoundError):
            return False
        conditions = {each["type"]: each["status"] for each in node["status"].get("conditions", [])}
        renewed = datetime.fromisoformat(lease["spec"]["renewTime"]).timestamp()
        return conditions.get("Ready") == "True" and renewed > started

    def _probes(self) -> dict[str, Callable[[], bool]]:
        """How to tell that a started component works; one without a probe works once it runs."""
        return {
            "kube-apiserver": lambda: Api(self.layout.own_kubeconfig).ready(),
            "containerd": self._containerd_answers,
        }

    def _containerd_answers(self) -> bool:
        ctr = self.namespaces.enter([packages.require("ctr"), "-a", nodeconfig.CONTAINERD_SOCKET, "version"])
        return run(ctr, check=False, timeout=10).returncode == 0

    def _argv(self, name: str) -> list[str]:
        layout, config, pki = self.layout, self.layout.config, self.layout.certificates
        node = self.namespaces.node_address
        if name == "etcd":
            return etcd_argv(toolchain.built_program("etcd"), layout.root / "etcd", *_ETCD_PORTS)
        if name == "kube-apiserver":
            return apiserver_argv(
                toolchain.built_program(name),
                make_credentials(pki),
                etcd_port=_ETCD_PORTS[0],
                bind="0.0.0.0",
                port=API_PORT,
                advertise=node,
                issuer=CLUSTER_ISSUER,
                extra=("--enable-admission-plugins=NodeRestriction",),
            )
        if name == "containerd":
            return [str(packages.require(name)), f"--config={config / 'containerd.toml'}"]
        if name == "agent":
            path = f"PYTHONPATH={Path(__file__).resolve().parents[1]}"
            return ["/usr/bin/env", path, sys.executable, "-m", "localcluster.agent", str(layout.own_kubeconfig)]
        own = f"--kubeconfig={config / f'{name}.kubeconfig'}"
        flags = {
            "kube-controller-manager": (
                own,
                f"--authentication-kubeconfig={config / 'kube-controller-manager.kubeconfig'}",
                f"--authorization-kubeconfig={config / 'kube-controller-manager.kubeconfig'}",
                "--bind-address=127.0.0.1",
                "--leader-elect=false",
                "--use-service-account-credentials=true",
                f"--root-ca-file={pki / 'ca.crt'}",
                f"--service-account-private-key-file={pki / 'service-account.key'}",
                f"--cluster-signing-cert-file={pki / 'ca.crt'}",
                f"--cluster-signing-key-file={pki / 'ca.key'}",
                "--allocate-node-cidrs=true",
                "--cluster-cidr=10.244.0.0/16",
                f"--service-cluster-ip-range={SERVICE_CIDR}",
                # Drills take the node away: notice it in seconds, not in the default 50.
                "--node-monitor-grace-period=20s",
                "--node-monitor-period=2s",
            ),
            "kube-scheduler": (
                own,
                f"--authentication-kubeconfig={config / 'kube-scheduler.kubeconfig'}",
                f"--authorization-kubeconfig={config / 'kube-scheduler.kubeconfig'}",
                "--bind-address=127.0.0.1",
                "--leader-elect=false",
            ),
            "kubelet": (
                own,
                f"--config={config / 'kubelet.json'}",
                f"--hostname-override={layout.name}",
                f"--node-ip={node}",
                "--root-dir=/var/lib/kubelet",
            ),
            "kube-proxy": (
                own,
                "--proxy-mode=nftables",
                f"--hostname-override={layout.name}",
                "--cluster-cidr=10.244.0.0/16",
                # The size of the connection table belongs to the machine and cannot be set in a namespace.
                "--conntrack-max-per-core=0",
                "--oom-score-adj=0",
            ),
        }
        return [str(toolchain.built_program(name)), *flags[name]]
