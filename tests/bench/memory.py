"""Resident memory of each of Trace's processes, as they stand in a running installation.

Read from /proc on the machine that runs the local cluster (`make demo` raises one), since a process's memory in
real use (watches open, pools filled, tasks going through) is the figure that pod limits must hold. The ratio is
against the aim, so below 1 is good. Without a running installation there is nothing to read, and no figure.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

AIMS_MIB = {"controller": 150, "dispatcher": 192, "query": 384, "worker": 256}
"""Bound of each process; the controller's is a promise, the others are what their pods request."""


def processes() -> Iterator[tuple[str, Path]]:
    """(process name, /proc folder) of every `tracectl run NAME` on this machine."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = folder.joinpath("cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue  # it ended while we looked
        if any(word.endswith("tracectl") for word in words[:3]) and "run" in words:
            name = words[words.index("run") + 1]
            if name in AIMS_MIB:
                yield name, folder


def resident_mib(folder: Path) -> float:
    """VmRSS of a process, in MiB (proc(5))."""
    for line in folder.joinpath("status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"{folder} has no VmRSS: a kernel thread")


def main() -> None:
    """Print the largest resident memory of each process that runs."""
    largest: dict[str, float] = {}
    for name, folder in processes():
        largest[name] = max(largest.get(name, 0.0), resident_mib(folder))
    if not largest:
        sys.stderr.write(
            "memory: nothing is measured, since no installation runs on this machine; `make demo` first\n"
        )
    for name, mib in sorted(largest.items()):
        measure = {
            "bench": "memory",
            "measure": f"resident memory, {name}",
            "ratio": mib / AIMS_MIB[name],
            "aim": 1.0,
            "ours": mib,
            "raw": AIMS_MIB[name],
            "unit": "MiB",
            "note": "against its bound; below 1 is good",
        }
        print(json.dumps(measure))


if __name__ == "__main__":
    main()
