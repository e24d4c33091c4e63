"""The images of the project and what goes into each.

``base`` is Debian with Python, made from packages because no registry of images is at hand; elsewhere any Debian
bookworm image serves (each Dockerfile takes ``BASE_IMAGE``). Third-party wheels are a layer (an image) of their own
below the project's code, so that a change of code moves kilobytes.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from . import packages, toolchain
from .debianroot import DebianRoot
from .imagebuild import Image, hash_files
from .layout import CHECKOUT, ClusterError
from .pythonlayers import LockedWheels, ProjectWheel


@dataclass(frozen=True)
class Tool:
    """A program of the tool cache."""

    program: str

    def key(self) -> str:
        """The key of the tool set: what pins its sources."""
        return toolchain.directory_of(toolchain.set_of(self.program)).name

    def fill(self, context: Path) -> None:
        """Copy the program, building it first when needed."""
        shutil.copy(toolchain.program(self.program), context / self.program)


@dataclass(frozen=True)
class Sources:
    """A folder of the checkout, put at the same path below ``source`` in the context; bytecode is left out."""

    folder: str

    def key(self) -> str:
        """Hash of the files."""
        return hash_files(CHECKOUT / self.folder)

    def fill(self, context: Path) -> None:
        """Copy the folder."""
        if not (CHECKOUT / self.folder).is_dir():
            raise ClusterError(f"the folder {self.folder}, which goes into this image, is not in the checkout")
        ignored = shutil.ignore_patterns("__pycache__", "tests")
        shutil.copytree(CHECKOUT / self.folder, context / "source" / self.folder, ignore=ignored)


@dataclass(frozen=True)
class MachineProgram:
    """A program of the machine that needs no library, or none but those of the image's base."""

    program: str

    def key(self) -> str:
        """Hash of the program itself."""
        return hashlib.sha256(packages.require(self.program).read_bytes()).hexdigest()

    def fill(self, context: Path) -> None:
        """Copy the program."""
        shutil.copy(packages.require(self.program), context / self.program)


@dataclass(frozen=True)
class MachineFolder:
    """A folder of the machine, with what its links lead to; files and folders named in `without` are left out."""

    folder: str
    name: str
    without: tuple[str, ...] = ()

    def key(self) -> str:
        """Hash of the folder's own files; what is linked comes with the same release of the distribution."""
        return hash_files(Path(self.folder))

    def fill(self, context: Path) -> None:
        """Copy the folder under its name."""
        if not Path(self.folder).is_dir():
            raise ClusterError(f"the folder {self.folder} is missing; run: hack/setup apt")
        shutil.copytree(self.folder, context / self.name, ignore=shutil.ignore_patterns(*self.without))


# The pages of Prometheus. Sources of its time zones are twenty times the rest, and no page reads them.
_PROMETHEUS_PAGES = MachineFolder("/usr/share/prometheus/web", "web", without=("data",))

_BASE = DebianRoot("base", include=("ca-certificates", "tini", "python3"))

# Short statements gain nothing from just-in-time compilation, and its compiler is larger than all of Postgres.
_POSTGRES = DebianRoot(
    "postgres",
    include=("tini", "postgresql-15"),
    before=(
        "mkdir -p $1/etc/postgresql-common",
        "echo create_main_cluster=false > $1/etc/postgresql-common/createcluster.conf",
    ),
    after=(
        "rm -rf $1/usr/lib/*/libLLVM* $1/usr/lib/postgresql/15/lib/bitcode $1/usr/lib/postgresql/15/lib/llvmjit*",
    ),
)

IMAGES = {
    image.name: image
    for image in (
        Image("pause", (MachineProgram("catatonit"),)),
        Image("coredns", (Tool("coredns"),)),
        Image("minio", (Tool("minio"),)),
        Image("base", (_BASE,)),
        Image("postgres", (_POSTGRES,)),
        Image("chain", (Tool("anvil"), Sources("hack/chain")), base="base"),
        Image(
            "prometheus",
            (MachineProgram("prometheus"), _PROMETHEUS_PAGES, Sources("hack/monitoring")),
            base="base",
        ),
        Image("trace-deps", (LockedWheels(),), base="base"),
        Image("trace", (ProjectWheel(),), base="trace-deps"),
    )
}

# What a cluster with Trace on it needs; the others are bases or belong to the node itself.
DEPLOYED = ("trace", "postgres", "minio", "chain")
