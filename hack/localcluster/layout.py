"""Where things live: the checkout, the cache shared between checkouts, and the folder of one cluster.

The cache holds what is costly to make and safe to share (compiled tools, image archives); it is keyed by content,
so deleting it only costs time. A cluster folder holds everything one cluster writes; ``hack/cluster down``
removes it. Names of kernel objects (network namespace, interfaces, control groups) are derived from the folder's
path, so that clusters of two folders never meet.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
TOOLS_SOURCE = CHECKOUT / "hack" / "tools"
IMAGES_SOURCE = CHECKOUT / "hack" / "images"


class ClusterError(Exception):
    """A failure a person can act on: the message says what is wrong and what to do."""


def cache_dir() -> Path:
    """The cache folder: ``TRACE_CACHE``, else ``trace`` below the XDG cache folder."""
    explicit = os.environ.get("TRACE_CACHE")
    if explicit:
        return Path(explicit).absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache").absolute() / "trace"


def cluster_dir() -> Path:
    """The folder of the cluster these commands speak of: ``TRACE_CLUSTER_DIR``, else ``cluster`` in the cache."""
    explicit = os.environ.get("TRACE_CLUSTER_DIR")
    return Path(explicit).absolute() if explicit else cache_dir() / "cluster"


@dataclass(frozen=True)
class Layout:
    """The paths and kernel names of one cluster, all derived from its folder."""

    root: Path

    @property
    def identity(self) -> str:
        """Eight hex digits that stand for the folder in names of kernel objects."""
        return hashlib.sha256(str(self.root).encode()).hexdigest()[:8]

    @property
    def name(self) -> str:
        """Name of the cluster, its node, its network namespace and its control group."""
        return f"trace-{self.identity}"

    @property
    def host_interface(self) -> str:
        """The machine's end of the veth pair (interface names hold 15 characters)."""
        return f"tr{self.identity}h"

    @property
    def node_interface(self) -> str:
        """The node's end of the veth pair."""
        return f"tr{self.identity}n"

    @property
    def netns(self) -> Path:
        """The bind mount that keeps the network namespace alive (made by ``ip netns add``)."""
        return Path("/run/netns") / self.name

    @property
    def record(self) -> Path:
        """JSON record of the choices made at the first ``up`` (addresses, saved kernel settings)."""
        return self.root / "cluster.json"

    @property
    def certificates(self) -> Path:
        """Certificates and keys."""
        return self.root / "pki"

    @property
    def config(self) -> Path:
        """Generated configuration of the components."""
        return self.root / "config"

    @property
    def logs(self) -> Path:
        """One log file a component."""
        return self.root / "logs"

    @property
    def processes(self) -> Path:
        """One record of the running process a component."""
        return self.root / "processes"

    @property
    def private(self) -> Path:
        """Backing folders of what the node's mount namespace lays over the machine's own paths."""
        return self.root / "private"

    @property
    def volumes(self) -> Path:
        """Folders of the pre-made local persistent volumes."""
        return self.root / "volumes"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig, for people; kubectl may rewrite it."""
        return self.root / "kubeconfig"

    @property
    def own_kubeconfig(self) -> Path:
        """The same for these commands, which read it as the JSON that they wrote."""
        return self.config / "admin.kubeconfig"

    @property
    def lock(self) -> Path:
        """Lock of the commands that change this cluster; beside the folder, since ``down`` removes the folder."""
        return cache_dir() / "locks" / f"{self.name}.lock"
