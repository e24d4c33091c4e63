"""Raising the whole node, and telling how it is.

``up`` is a list of steps, each of which does only what is missing. So an ``up`` that was killed half way is put
right by the next one, and on a running cluster nothing is done.
"""

from __future__ import annotations

import os
from pathlib import Path

from . import addons, cgroups, packages, runtime, toolchain
from .api import Api
from .atomic import locked
from .components import NAMES, Components
from .imagebuild import Builder
from .imagetable import IMAGES
from .layout import ClusterError, Layout, cache_dir
from .namespaces import COVERED, Namespaces
from .processes import wait_until
from .progress import say, step
from .record import Record

_PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "helm")
_NODE_SECONDS = 180.0


def open_cluster(layout: Layout) -> Components:
    """The components of the cluster in a folder, as they are."""
    return Components(layout, Namespaces(layout, Record.load(layout.record)))


def up(layout: Layout) -> None:
    """Raise the cluster, or the rest of it; a running one is left alone."""
    check_folder(layout.root)
    with locked(layout.lock, f"cluster in {layout.root}"):
        if running(layout):
            say(f"the cluster in {layout.root} is running already")
            return
        packages.install(packages.NODE + packages.IMAGES)
        for name in _PROGRAMS:
            toolchain.program(name)
        builder = Builder(IMAGES)
        images = {name: builder.build(name) for name in ("pause", "coredns")}
        layout.root.mkdir(parents=True, exist_ok=True)
        record = Record.load(layout.record)
        record.complete = False
        record.save()
        components = Components(layout, Namespaces(layout, record))
        if components.namespaces.holder.pid() is None and not any(components.running().values()):
            # As after a reboot: pods of an earlier life are cut off, and each of their groups that is left would
            # hold up the kubelet's start for three seconds.
            cgroups.kill(layout)
            cgroups.remove(layout)
        groups = cgroups.create(layout)
        components.namespaces.ensure(groups, [components.process(name) for name in NAMES])
        components.configure(images["pause"].reference)
        with step("starting the node") as progress:
            for name in NAMES:
                progress.detail(name)
                components.start(name, groups)
                if name == "containerd":
                    runtime.load(components.namespaces, [image.archive for image in images.values()])
            progress.detail("waiting until the node is ready")
            if not wait_until(components.node_ready, _NODE_SECONDS, every=0.1):
                raise components.process("kubelet").failure(f"the node is not ready within {_NODE_SECONDS:.0f} s")
        with step("installing DNS and volumes"):
            addons.apply(Api(layout.own_kubeconfig), layout, images["coredns"].reference)
        record.complete = True
        record.save()
    say(f"the cluster is ready: export KUBECONFIG={layout.kubeconfig}")


def running(layout: Layout) -> bool:
    """Whether an ``up`` came to its end, every component runs and the node is ready."""
    if not Record.load(layout.record).complete:
        return False
    components = open_cluster(layout)
    return None not in components.running().values() and components.node_ready()


def check_folder(root: Path) -> None:
    """Refuse what cannot work before anything is changed."""
    if os.geteuid() != 0:
        raise ClusterError("a node needs root: namespaces, mounts and control groups; run: sudo -E hack/cluster up")
    for folder, setting in ((root, "TRACE_CLUSTER_DIR"), (cache_dir(), "TRACE_CACHE")):
        hidden = next((path for path in COVERED if folder.resolve().is_relative_to(path)), None)
        if hidden is not None:
            raise ClusterError(
                f"{folder} is below {hidden}, which the node covers by its own; set {setting} elsewhere"
            )
    if root.exists() and any(root.iterdir()) and not (root / "cluster.json").exists():
        raise ClusterError(
            f"{root} holds files that are no cluster's; set TRACE_CLUSTER_DIR to a folder of its own"
        )


def status(layout: Layout) -> str:
    """A few lines for a person: the node, its addresses and each component."""
    components = open_cluster(layout)
    pids = components.running()
    if not layout.record.exists():
        return f"no cluster in {layout.root}"
    state = "ready" if components.node_ready() else "not ready"
    lines = [f"{'node':26}{layout.name} {state}", f"{'kubeconfig':26}{layout.kubeconfig}"]
    if components.namespaces.has_addresses:
        lines.append(f"{'node address':26}{components.namespaces.node_address} (NodePorts answer here)")
    lines += [f"{name:26}{f'pid {pid}' if pid else 'stopped'}" for name, pid in pids.items()]
    return "\n".join(lines)


def environment(layout: Layout) -> dict[str, str]:
    """The environment of a command that works with the cluster: KUBECONFIG, and kubectl and helm on PATH."""
    if not layout.kubeconfig.exists():
        raise ClusterError(f"there is no cluster in {layout.root}; run: hack/cluster up")
    folders = [str(toolchain.built_program(name).parent) for name in ("kubectl", "helm")]
    path = os.pathsep.join([*folders, os.environ.get("PATH", "")])
    return {**os.environ, "KUBECONFIG": str(layout.kubeconfig), "PATH": path}
