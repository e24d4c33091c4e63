"""Taking the cluster down so that nothing is left: no process, mount, namespace, interface, control group or file.

Processes are found through the control group, not through records, so it works after any crash. The namespaces end
with the last process, and with them mounts, firewall rules and the far end of the wire.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from . import cgroups, packages
from .atomic import locked
from .commands import run
from .layout import ClusterError, Layout
from .lifecycle import check_folder
from .processes import wait_until
from .progress import step


def down(layout: Layout) -> None:
    """End and remove the cluster of a folder; nothing to do is fine."""
    check_folder(layout.root)
    with locked(layout.lock, f"cluster in {layout.root}", remove=True), step("taking the cluster down"):
        cgroups.kill(layout)
        cgroups.remove(layout)
        _remove_interface(layout)
        _remove_files(layout.root)


def _remove_interface(layout: Layout) -> None:
    interface = Path("/sys/class/net") / layout.host_interface
    if not interface.exists():
        return
    # The kernel removes the pair a moment after the namespace; asking for it makes that moment now.
    run([packages.require("ip"), "link", "delete", layout.host_interface], check=False)
    if not wait_until(lambda: not interface.exists(), 10.0):
        raise ClusterError(f"the interface {layout.host_interface} cannot be removed")


def _remove_files(root: Path) -> None:
    if not root.exists():
        return
    # The record goes last: without it a later `down` would not know the folder as a cluster's.
    for entry in sorted(root.iterdir(), key=lambda path: path.name == "cluster.json"):
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    root.rmdir()
