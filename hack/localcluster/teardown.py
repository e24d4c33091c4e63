"""Taking the cluster down so that nothing is left: no process, mount, namespace, interface, control group or file.

Processes are found through the control group, not through records, so it works after any crash. The namespaces end
with the last process, and with them mounts, firewall rules and the far end of the wire.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from . import cgroups
from .atomic import locked
from .layout import Layout
from .lifecycle import check_folder
from .namespaces import remove_interface
from .progress import step


def down(layout: Layout) -> None:
    """End and remove the cluster of a folder; nothing to do is fine."""
    check_folder(layout.root)
    with locked(layout.lock, f"cluster in {layout.root}", remove=True), step("taking the cluster down"):
        cgroups.kill(layout)
        cgroups.remove(layout)
        remove_interface(layout.host_interface)
        _remove_files(layout.root)


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
