"""The network and mount namespaces every component of the node runs in, and the wire to them.

A holder process keeps both alive; nothing is pinned in the machine's own file system, so when the last process of
the cluster ends, the interfaces, firewall rules, conntrack entries and mounts are gone with it. ``ip netns`` is not
used: its ``exec`` remounts ``/sys`` and loses the control groups.

Inside the mount namespace ``/run``, ``/var/lib`` and ``/var/log`` are the cluster's own folders, so the components
use the paths they are built with (some cannot be configured) without meeting another tool's data. Kernel settings
that the kubelet insists on writing are files there as well, so the machine keeps its own.

The only way in is the veth pair: no default route, no masquerading. Pods reach pods, Services and the machine's
end.
"""

from __future__ import annotations

import ipaddress
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from . import packages
from .atomic import locked, write_file
from .commands import run
from .controlplane import SERVICE_CIDR
from .layout import ClusterError, Layout, cache_dir
from .processes import Process, wait_until
from .record import Record

# Documentation networks (RFC 5737): routed nowhere, so a choice among them hides no real host.
_POOLS = (ipaddress.IPv4Network("203.0.113.0/24"), ipaddress.IPv4Network("198.51.100.0/24"))

# What the namespace lays over the machine's own folders.
COVERED = ("/run", "/var/lib", "/var/log")

# Written by the kubelet at its start (pkg/kubelet/cm/container_manager_linux.go, setupKernelTunables).
_KERNEL_SETTINGS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}

_HOLDER = r"""
set -e
private="$1"; ready="$2"; holder="$3"
for path in $4; do mount --bind "$private/machine$path" "$path"; done
cd "$private/sysctl"
find . -type f | while read -r setting; do mount --bind "$setting" "/proc/sys/$setting"; done
# Volumes propagate between the kubelet and containers, and nothing propagates back to the machine.
mount --make-rshared /
ip link set lo up
touch "$ready"
exec "$holder" -P
"""


def choose_subnet(routes: Sequence[str], seed: int) -> ipaddress.IPv4Network:
    """The first free /30 for a veth pair, given the destinations of the machine's routes; ``seed`` spreads it.

    Raises ``ClusterError`` when every candidate overlaps a route.
    """
    taken = [ipaddress.IPv4Network(route, strict=False) for route in routes]
    candidates = [subnet for pool in _POOLS for subnet in pool.subnets(new_prefix=30)]
    first = seed % len(candidates)
    for subnet in candidates[first:] + candidates[:first]:
        if not any(subnet.overlaps(route) for route in taken):
            return subnet
    raise ClusterError("no free /30 in 203.0.113.0/24 or 198.51.100.0/24; take down clusters that are not needed")


def remove_interface(name: str) -> None:
    """Remove an interface of the machine, and with it the other end of its pair; none of that name is fine."""
    known = Path("/sys/class/net") / name
    if not known.exists():
        return
    # The kernel may be removing it at the same moment, since its namespace ended.
    run([packages.require("ip"), "link", "delete", name], check=False)
    if not wait_until(lambda: not known.exists(), 10.0):
        raise ClusterError(f"the interface {name} cannot be removed; try: ip link delete {name}")


class Namespaces:
    """The namespaces of one cluster: made on demand, entered by command, gone with their last process."""

    def __init__(self, layout: Layout, record: Record) -> None:
        self._layout = layout
        self._record = record
        self.holder = Process("namespaces", layout.processes / "namespaces", layout.logs / "namespaces.log")

    @property
    def host_address(self) -> str:
        """The machine's address at its end of the veth pair."""
        return str(self._subnet[1])

    @property
    def node_address(self) -> str:
        """The node's address: where the API server and NodePorts answer."""
        return str(self._subnet[2])

    @property
    def has_addresses(self) -> bool:
        """Whether the addresses were chosen already."""
        return self._record.subnet is not None

    @property
    def _subnet(self) -> ipaddress.IPv4Network:
        if self._record.subnet is None:
            raise ClusterError(f"there is no cluster in {self._layout.root}; run: hack/cluster up")
        return ipaddress.IPv4Network(self._record.subnet)

    def enter(self, argv: Sequence[object]) -> list[str]:
        """The command line that runs ``argv`` inside the namespaces."""
        pid = self.holder.pid()
        if pid is None:
            raise ClusterError(f"the cluster of {self._layout.root} is not running; run: hack/cluster up")
        nsenter = packages.require("nsenter")
        return [str(nsenter), f"--target={pid}", "--net", "--mount", "--", *(str(word) for word in argv)]

    def ensure(self, groups: Sequence[Path], survivors: Sequence[Process]) -> None:
        """Make the namespaces unless they are there.

        ``survivors`` are the other components: when one of them lives while the holder does not, a new holder joins
        its namespaces instead of making new ones.
        """
        # Clusters of other folders choose their addresses at the same time: one at a time, until the route shows.
        with locked(cache_dir() / "locks" / "subnets.lock", "choice of addresses"):
            self._choose_addresses()
            if self.holder.pid() is None:
                alive = next((pid for pid in (process.pid() for process in survivors) if pid is not None), None)
                if alive is None:
                    self._create(groups)
                else:
                    self._rejoin(alive, groups)
            self._connect()

    def _choose_addresses(self) -> None:
        """Choose the /30 once and record it, since certificates and kubeconfigs name its addresses."""
        ip = packages.require("ip")
        routes = json.loads(run([ip, "-4", "-json", "route", "show", "table", "all"]).stdout)
        others = [r["dst"] for r in routes if r["dst"] != "default" and r.get("dev") != self._layout.host_interface]
        if self._record.subnet is None:
            self._record.subnet = str(choose_subnet(others, int(self._layout.identity, 16)))
            self._record.save()
        elif any(self._subnet.overlaps(ipaddress.IPv4Network(route, strict=False)) for route in others):
            raise ClusterError(
                f"the addresses {self._subnet} of this cluster were taken by another interface since it last ran; "
                "run: hack/cluster down, then hack/cluster up"
            )

    def _create(self, groups: Sequence[Path]) -> None:
        private, ready = self._layout.private, self._layout.private / "ready"
        # Sockets, pid files and network namespaces of an earlier life mean nothing now, as after a reboot.
        shutil.rmtree(private / "machine/run", ignore_errors=True)
        shutil.rmtree(private / "machine/var/lib/cni", ignore_errors=True)
        for path in COVERED:
            (private / f"machine{path}").mkdir(parents=True, exist_ok=True)
        for setting, value in _KERNEL_SETTINGS.items():
            if (Path("/proc/sys") / setting).exists():
                write_file(private / "sysctl" / setting, value + "\n")
        ready.unlink(missing_ok=True)
        covered = " ".join(COVERED)
        holder = packages.require("catatonit")
        script = ["/bin/sh", "-c", _HOLDER, "trace-node", private, ready, holder, covered]
        argv = [packages.require("unshare"), "--net", "--mount", "--propagation=private", "--", *script]
        self.holder.start(argv, groups=groups)
        if (
            not wait_until(lambda: ready.exists() or self.holder.pid() is None, 10.0, every=0.01)
            or not ready.exists()
        ):
            raise self.holder.failure("the namespaces could not be made")

    def _rejoin(self, pid: int, groups: Sequence[Path]) -> None:
        nsenter = packages.require("nsenter")
        holder = packages.require("catatonit")
        self.holder.start([nsenter, f"--target={pid}", "--net", "--mount", "--", holder, "-P"], groups=groups)

    def _connect(self) -> None:
        """Join the two ends and set what routing needs; every command may be repeated."""
        host, node = self._layout.host_interface, self._layout.node_interface
        ip = packages.require("ip")
        if run(self.enter([ip, "link", "show", node]), check=False).returncode != 0:
            # A pair of an earlier namespace stays until the kernel has cleaned that up.
            remove_interface(host)
            pid = str(self.holder.pid())
            run([ip, "link", "add", host, "type", "veth", "peer", "name", node, "netns", pid])
        length = str(self._subnet.prefixlen)
        run([ip, "address", "replace", f"{self.host_address}/{length}", "dev", host])
        run([ip, "link", "set", host, "up"])
        inside = (
            [ip, "address", "replace", f"{self.node_address}/{length}", "dev", node],
            [ip, "link", "set", node, "up"],
            [packages.require("sysctl"), "-q", "-w", "net.ipv4.ip_forward=1"],
            # The node's own calls to a Service (webhooks) need a route before kube-proxy translates the address.
            [ip, "route", "replace", SERVICE_CIDR, "dev", "lo", "src", self.node_address],
        )
        for argv in inside:
            run(self.enter(argv))
        # Traffic between pods of one bridge must pass the firewall rules of Services too.
        if Path("/proc/sys/net/bridge").exists():
            run(self.enter([packages.require("sysctl"), "-q", "-w", "net.bridge.bridge-nf-call-iptables=1"]))
