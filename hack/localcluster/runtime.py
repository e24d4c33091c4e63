"""Images of the node: importing archives into its containerd, and only those that are new.

An archive is an ``oci-archive`` (a tar with ``index.json``) whose index names its image. The digest in that index is
compared with the one containerd has under the name, so loading the same archive again costs one small read. Layers
that are there already are skipped by containerd itself.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Sequence
from pathlib import Path

from . import packages
from .commands import run
from .layout import ClusterError
from .namespaces import Namespaces
from .nodeconfig import CONTAINERD_SOCKET
from .progress import step

_NAME = "org.opencontainers.image.ref.name"
_FULL_NAME = "io.containerd.image.name"


def load(namespaces: Namespaces, archives: Sequence[Path]) -> list[str]:
    """Import the archives that are new to the node; returns the names of the images imported."""
    present = _present(namespaces)
    imported: list[str] = []
    for archive in archives:
        name, digest = identify(archive)
        if present.get(name) == digest:
            continue
        with step(f"loading {name}"):
            _ctr(namespaces, "images", "import", str(archive.absolute()))
        imported.append(name)
    return imported


def identify(archive: Path) -> tuple[str, str]:
    """Name and digest of the one image in an archive."""
    try:
        with tarfile.open(archive) as tar:
            member = tar.extractfile("index.json")
            assert member is not None
            index = json.load(member)
    except (OSError, KeyError, tarfile.TarError) as broken:
        raise ClusterError(f"{archive} is no OCI archive ({broken}); make one with hack/images/build") from broken
    manifests = index["manifests"]
    annotations = manifests[0].get("annotations", {})
    name = annotations.get(_FULL_NAME) or annotations.get(_NAME)
    if len(manifests) != 1 or not name:
        raise ClusterError(f"{archive} must hold exactly one image and its name; make one with hack/images/build")
    return name, manifests[0]["digest"]


def _present(namespaces: Namespaces) -> dict[str, str]:
    """Digest of each image the node has, by name."""
    lines = _ctr(namespaces, "images", "list").splitlines()[1:]
    return {fields[0]: fields[2] for fields in (line.split() for line in lines)}


def _ctr(namespaces: Namespaces, *words: str) -> str:
    ctr = [packages.require("ctr"), "-a", CONTAINERD_SOCKET, "-n", "k8s.io", *words]
    return run(namespaces.enter(ctr), timeout=300).stdout
