"""The programs that come from the distribution, and their installation on Debian.

What counts is the program, not the package: a machine of another distribution passes when its programs are there.
Only what is missing is installed, so a second run asks the package manager nothing.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from .commands import run
from .layout import ClusterError
from .progress import step

SEARCH_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"))
CNI_FOLDERS = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))


@dataclass(frozen=True)
class Program:
    """A program we run, and the Debian package that brings it."""

    name: str
    package: str


# What the node is made of.
NODE = (
    Program("containerd", "containerd"),
    Program("ctr", "containerd"),
    Program("runc", "runc"),
    Program("cni:bridge", "containernetworking-plugins"),
    Program("catatonit", "catatonit"),
    Program("iptables", "iptables"),
    Program("nft", "nftables"),
    Program("conntrack", "conntrack"),
    Program("ip", "iproute2"),
    Program("sysctl", "procps"),
    Program("openssl", "openssl"),
    Program("nsenter", "util-linux"),
    Program("unshare", "util-linux"),
    Program("mount", "mount"),
)

# What the images are built with.
IMAGES = (Program("buildah", "buildah"), Program("mmdebstrap", "mmdebstrap"))

# What the tests run as plain processes: Postgres 15 and a pooler before it, and Prometheus.
SERVICES = (
    Program("/usr/lib/postgresql/15/bin/postgres", "postgresql-15"),
    Program("pgbouncer", "pgbouncer"),
    Program("prometheus", "prometheus"),
    Program("promtool", "prometheus"),
    Program("openssl", "openssl"),
)

# What the first tool, uv, is fetched with.
PIP = (Program("pip3", "python3-pip"),)

GROUPS = {"node": NODE, "images": IMAGES, "services": SERVICES}


def find(program: str) -> Path | None:
    """Where a program is; ``cni:NAME`` means a CNI plugin."""
    if program.startswith("cni:"):
        folders = (folder / program.removeprefix("cni:") for folder in CNI_FOLDERS)
        return next((path for path in folders if path.exists()), None)
    found = shutil.which(program, path=SEARCH_PATH)
    return Path(found) if found else None


def require(program: str) -> Path:
    """Where a program is, or an error that says how to get it."""
    path = find(program)
    if path is None:
        raise ClusterError(f"the program {program} is missing; run: hack/setup apt")
    return path


def missing(programs: tuple[Program, ...]) -> list[Program]:
    """Those of the programs that this machine lacks."""
    return [program for program in programs if find(program.name) is None]


def install(programs: tuple[Program, ...]) -> list[str]:
    """Install the Debian packages of the missing programs; returns the names of the packages installed."""
    packages = sorted({program.package for program in missing(programs)})
    if not packages:
        return []
    remedy = f"install {' '.join(packages)} by hand"
    if shutil.which("apt-get") is None:
        raise ClusterError(f"this machine has no apt-get to install what is missing with; {remedy}")
    if os.geteuid() != 0:
        raise ClusterError(f"installing packages needs root; run: sudo apt-get install {' '.join(packages)}")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with step(f"installing {' '.join(packages)}"):
        # Another apt may be running on the machine: wait for its lock for a bounded time instead of failing.
        options = ("-o", "DPkg::Lock::Timeout=300", "-q")
        run(["apt-get", *options, "update"], env=env)
        run(["apt-get", *options, "install", "-y", "--no-install-recommends", *packages], env=env)
    still = missing(programs)
    if still:
        raise ClusterError(f"packages were installed, yet {', '.join(p.name for p in still)} is missing; {remedy}")
    return packages
