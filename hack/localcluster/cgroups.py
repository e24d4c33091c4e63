"""The control group of a cluster: every process the cluster ever started is in it, and so can be found and ended.

Components are put there before they start and children inherit it; the kubelet makes the groups of pods below it.
So ``down`` needs no trust in records: whatever is in the group is the cluster's, whatever is not, is not.
Version 1, version 2 and the hybrid of both are handled; under version 1 the group exists in every hierarchy (the
kubelet asks for that) and the ``pids`` hierarchy is the one that counts members.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

from .layout import ClusterError, Layout
from .processes import wait_until

_ROOT = Path("/sys/fs/cgroup")
_KILL_SECONDS = 30.0
_WEIGHTS = {"cpu.shares": "8192", "cpu.weight": "800"}
"""Eight times the default, by the file of either version: probes and leases must be answered in time, also beside
other work of the machine. Every session of that work is a group beside this one (sched(7), autogroup)."""


def _hierarchies() -> list[Path]:
    """Mount points of the control group hierarchies, the one that counts members first."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    found = [
        Path(fields[1])
        for fields in mounts
        if fields[2] in ("cgroup", "cgroup2") and fields[1].startswith(str(_ROOT))
    ]
    if not found:
        raise ClusterError("no control groups are mounted below /sys/fs/cgroup; a node cannot run without them")
    return sorted(dict.fromkeys(found), key=lambda path: (path.name != "pids", str(path)))


def create(layout: Layout) -> list[Path]:
    """Make the cluster's group; returns the folders a component must join before it starts."""
    hierarchies = _hierarchies()
    for hierarchy in hierarchies:
        (hierarchy / layout.name).mkdir(exist_ok=True)
        for name, weight in _WEIGHTS.items():
            if (file := hierarchy / layout.name / name).exists():
                file.write_text(weight)
    components = hierarchies[0] / layout.name / "components"
    components.mkdir(exist_ok=True)
    return [components]


def members(layout: Layout) -> set[int]:
    """Ids of all living processes of the cluster, those in pods included."""
    found: set[int] = set()
    for folder in _folders(_hierarchies()[0] / layout.name):
        try:
            found.update(int(pid) for pid in (folder / "cgroup.procs").read_text().split())
        except (FileNotFoundError, OSError):
            continue  # the group ended while we looked
    return found


def kill(layout: Layout) -> int:
    """Kill every process of the cluster, however often new ones appear; returns how many there were."""
    killed: set[int] = set()

    def emptied() -> bool:
        living = members(layout)
        for pid in living:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        killed.update(living)
        return not living

    if not wait_until(emptied, _KILL_SECONDS):
        raise ClusterError(
            f"processes {sorted(members(layout))} of the cluster do not end; see `ps` and /proc/PID/stack"
        )
    return len(killed)


def remove(layout: Layout) -> None:
    """Remove the cluster's groups from every hierarchy; they must be empty of processes."""
    for hierarchy in _hierarchies():
        top = hierarchy / layout.name

        def removed(top: Path = top) -> bool:
            for folder in reversed(_folders(top)):
                try:
                    folder.rmdir()
                except OSError:
                    continue  # the kernel lets go of a group a moment after its last process
            return not top.exists()

        if not wait_until(removed, 10.0):
            raise ClusterError(f"the control group {top} cannot be removed")


def _folders(top: Path) -> list[Path]:
    """A group and all groups below it, parents first."""
    return [Path(folder) for folder, _, _ in os.walk(top)]
