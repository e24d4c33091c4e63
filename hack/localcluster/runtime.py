"""Images of the node: importing archives into its containerd, and only those that are new.

The digest in an archive's index is compared with the one containerd has under the name, so loading the same archive
again costs one small read.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from . import ociarchive, packages
from .commands import run
from .layout import ClusterError
from .namespaces import Namespaces
from .nodeconfig import CONTAINERD_SOCKET
from .progress import step


def load(namespaces: Namespaces, archives: Sequence[Path]) -> list[str]:
    """Import the archives that are new to the node, bases first; returns the names of the images imported."""
    present = _present(namespaces)
    imported: list[str] = []
    for archive in archives:
        for each in _with_bases(archive):
            contents = ociarchive.read(each)
            if present.get(contents.name) == contents.digest:
                continue
            with step(f"loading {contents.name}"):
                _ctr(namespaces, "images", "import", str(each.absolute()))
            present[contents.name] = contents.digest
            imported.append(contents.name)
    return imported


def _with_bases(archive: Path) -> list[Path]:
    """An archive after those of its bases, which lie beside it in the cache as ``NAME/TAG/image.tar``."""
    base = ociarchive.read(archive).base
    if base is None:
        return [archive]
    name, _, tag = base.rpartition("/")[2].partition(":")
    below = archive.absolute().parents[2] / name / tag / "image.tar"
    if not below.exists():
        raise ClusterError(
            f"{archive} is built on {base}, whose archive {below} is missing; run: hack/images/build"
        )
    return [*_with_bases(below), archive]


def _present(namespaces: Namespaces) -> dict[str, str]:
    """Digest of each image the node has, by name."""
    lines = _ctr(namespaces, "images", "list").splitlines()[1:]
    return {fields[0]: fields[2] for fields in (line.split() for line in lines)}


def _ctr(namespaces: Namespaces, *words: str) -> str:
    ctr = [packages.require("ctr"), "-a", CONTAINERD_SOCKET, "-n", "k8s.io", *words]
    return run(namespaces.enter(ctr), timeout=300).stdout
