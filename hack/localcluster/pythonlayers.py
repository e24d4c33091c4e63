"""The two layers of the platform's image: locked third-party wheels, and the project's own wheel.

Both are unpacked outside the build with the pinned uv, for the Python and the C library of the image (CPython 3.11,
glibc 2.36), and copied in: inside a build there is no way to a registry. Wheels only: nothing is compiled, so an
image never depends on the machine that built it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from . import toolchain
from .commands import run
from .imagebuild import hash_files
from .layout import CHECKOUT, ClusterError

PYTHON = "3.11"
PLATFORM = "x86_64-manylinux_2_36"
_SOURCES = ("controller/traceplane", "operators")


@dataclass(frozen=True)
class LockedWheels:
    """The project's dependencies in the lock file, without those of development and of benchmarks."""

    def key(self) -> str:
        """Hash of the locked requirements, so that a change of development tools alone rebuilds nothing."""
        return hashlib.sha256(f"{PYTHON} {PLATFORM} {self._requirements()}".encode()).hexdigest()

    def fill(self, context: Path) -> None:
        """Unpack the wheels into ``site-packages``."""
        requirements = context / "requirements.txt"
        requirements.write_text(self._requirements())
        _install(["--require-hashes", "--requirement", str(requirements)], context / "site-packages")
        requirements.unlink()

    @staticmethod
    def _requirements() -> str:
        # No group at all, whichever are the default ones: those are what a developer's environment has.
        words = ["export", "--frozen", "--no-default-groups", "--no-emit-project", "--no-header"]
        return run([toolchain.program("uv"), *words, "--format=requirements-txt", "--quiet"], cwd=CHECKOUT).stdout


@dataclass(frozen=True)
class ProjectWheel:
    """The project's own packages, built from the checkout as it is."""

    def key(self) -> str:
        """Hash of every source file that goes into the wheel."""
        digest = hashlib.sha256((CHECKOUT / "pyproject.toml").read_bytes())
        for source in _SOURCES:
            digest.update(hash_files(CHECKOUT / source).encode())
        return digest.hexdigest()

    def fill(self, context: Path) -> None:
        """Build the wheel and unpack it into ``site-packages``.

        By the build backend of the checkout's own environment, which the lock file pins: an isolated build would
        fetch it, and all it needs, from a registry for every change of the code.
        """
        python = CHECKOUT / ".venv" / "bin" / "python"
        if not python.exists():
            raise ClusterError("the Python environment that builds the wheel is missing; run: make .venv/.stamp")
        words = ["build", "--quiet", "--offline", "--no-build-isolation", "--wheel", "--python", str(python)]
        with tempfile.TemporaryDirectory(prefix="trace-wheel-") as folder:
            run([toolchain.program("uv"), *words, "--out-dir", folder], cwd=CHECKOUT)
            (wheel,) = Path(folder).glob("*.whl")
            _install(["--no-deps", str(wheel)], context / "site-packages")


def _install(what: list[str], into: Path) -> None:
    platform = [f"--python-version={PYTHON}", f"--python-platform={PLATFORM}", "--only-binary=:all:"]
    # A link into uv's cache would be changed by a change of the copy.
    env = {**os.environ, "UV_LINK_MODE": "copy"}
    run([toolchain.program("uv"), "pip", "install", "--quiet", "--target", into, *platform, *what], env=env)
    # Console scripts name the Python that unpacked them; the image brings its own.
    shutil.rmtree(into / "bin", ignore_errors=True)
    (into / ".lock").unlink(missing_ok=True)
