"""Root file systems of Debian bookworm, made from its packages: what other builders get from a public base image.

The root is a tar in the cache under the hash of its recipe. It holds the packages of the day it was made, so
deleting the cache entry is how security updates come in.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from . import packages
from .atomic import drop_unused, fresh_directory, locked, mark_used
from .commands import run
from .layout import cache_dir
from .progress import step

_SUITE = "bookworm"
_EXCLUDED = (
    "/usr/share/doc/*",
    "/usr/share/man/*",
    "/usr/share/locale/*",
    "/usr/share/info/*",
    "/usr/share/lintian/*",
)


@dataclass(frozen=True)
class DebianRoot:
    """A minimal Debian with packages; shell hooks run before configuration and at the end (``$1``: the root)."""

    name: str
    include: tuple[str, ...]
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    def key(self) -> str:
        """Hash of the recipe."""
        return hashlib.sha256(repr((_SUITE, _EXCLUDED, self)).encode()).hexdigest()[:16]

    def fill(self, context: Path) -> None:
        """Put the root into a build context as ``root.tar``."""
        run(["cp", "--reflink=auto", self._ensure(), context / "root.tar"])

    def _ensure(self) -> Path:
        target = cache_dir() / "roots" / self.name / self.key()
        if not target.exists():
            with locked(cache_dir() / "locks" / f"root-{self.name}.lock", f"Debian root {self.name}"):
                if not target.exists():
                    with step(f"making a Debian root for {self.name}"), fresh_directory(target) as making:
                        run(self._argv(making / "root.tar"))
                    drop_unused(target.parent, keep=target)
        mark_used(target)
        return target / "root.tar"

    def _argv(self, tar: Path) -> list[str]:
        options = [f"--dpkgopt=path-exclude={pattern}" for pattern in _EXCLUDED]
        options += [f"--essential-hook={hook}" for hook in self.before]
        options += [f"--customize-hook={hook}" for hook in self.after]
        program = str(packages.require("mmdebstrap"))
        include = f"--include={','.join(self.include)}"
        return ["nice", program, "--quiet", "--variant=minbase", include, *options, _SUITE, str(tar)]
