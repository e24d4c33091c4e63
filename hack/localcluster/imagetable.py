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
from .imagebuild import Image


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
class MachineProgram:
    """A statically linked program of the machine."""

    program: str

    def key(self) -> str:
        """Hash of the program itself."""
        return hashlib.sha256(packages.require(self.program).read_bytes()).hexdigest()

    def fill(self, context: Path) -> None:
        """Copy the program."""
        shutil.copy(packages.require(self.program), context / self.program)


IMAGES = {
    image.name: image
    for image in (
        Image("pause", (MachineProgram("catatonit"),)),
        Image("coredns", (Tool("coredns"),)),
        Image("minio", (Tool("minio"),)),
    )
}
