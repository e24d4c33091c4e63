"""Archives that hold only what an image adds to its base.

``buildah push`` writes every layer of an image, so a changed line of code would cost a quarter of a gigabyte of
compressing, storing and importing. Here an image's archive (an OCI image layout in a tar) names the layers of its
base and contains only the new one; the loader gives the node the base first. An image without a base is whole.

The layer is taken from where the overlay driver keeps it, with its deletions written the way the OCI image
specification wants them (``.wh.`` files), in a fixed order and without times, so equal content has equal digests.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import stat
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .layout import ClusterError

BASE_NAME = "org.opencontainers.image.base.name"
_NAMES = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_OPAQUE = "trusted.overlay.opaque"
_FAST = 1


@dataclass(frozen=True)
class Contents:
    """What an archive says: the image's name and digest, its manifest and layers, and the base it leaves out."""

    name: str
    digest: str
    manifest: dict[str, Any]
    diff_ids: list[str]
    base: str | None


def read(archive: Path) -> Contents:
    """Read the index and the manifest of an archive with one image."""
    try:
        with tarfile.open(archive) as tar:
            index = _member(tar, "index.json")
            if len(index["manifests"]) != 1:
                raise ClusterError(f"{archive} must hold exactly one image; make it with hack/images/build")
            entry = index["manifests"][0]
            manifest = _member(tar, _blob_path(entry["digest"]))
            config = _member(tar, _blob_path(manifest["config"]["digest"]))
        annotations = entry.get("annotations", {})
        name = next(annotations[key] for key in _NAMES if key in annotations)
    except (OSError, KeyError, StopIteration, tarfile.TarError, ValueError) as broken:
        raise ClusterError(
            f"{archive} is no OCI archive of one named image; make it with hack/images/build"
        ) from broken
    base = manifest.get("annotations", {}).get(BASE_NAME)
    return Contents(name, entry["digest"], manifest, config["rootfs"]["diff_ids"], base)


def write(archive: Path, reference: str, config: dict[str, Any], layers: list[Path], base: Path | None) -> None:
    """Write an archive of the image ``reference``: the folders ``layers`` as new layers on top of ``base``."""
    blobs: dict[str, bytes] = {}

    def add(data: bytes, media_type: str) -> dict[str, Any]:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        blobs[digest] = data
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    below: Contents | None = read(base) if base else None
    descriptors: list[dict[str, Any]] = list(below.manifest["layers"]) if below else []
    diff_ids: list[str] = list(below.diff_ids) if below else []
    for layer in layers:
        tar = _layer_tar(layer)
        diff_ids.append(f"sha256:{hashlib.sha256(tar).hexdigest()}")
        descriptors.append(add(gzip.compress(tar, _FAST, mtime=0), _LAYER))
    # The history of a build tells times and commands of the machine it ran on; the Dockerfile is its better record.
    stable = {key: value for key, value in config.items() if key not in ("history", "created")}
    stable["rootfs"] = {"type": "layers", "diff_ids": diff_ids}
    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": add(_encoded(stable), _CONFIG),
        "layers": descriptors,
    }
    if below:
        manifest["annotations"] = {BASE_NAME: below.name}
    top = add(_encoded(manifest), _MANIFEST)
    index = {"schemaVersion": 2, "manifests": [{**top, "annotations": dict.fromkeys(_NAMES, reference)}]}
    with tarfile.open(archive, "w") as out:
        _put(out, "oci-layout", _encoded({"imageLayoutVersion": "1.0.0"}))
        _put(out, "index.json", _encoded(index))
        for digest, data in blobs.items():
            _put(out, _blob_path(digest), data)


def _layer_tar(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(folder.rglob("*")):
            name = str(path.relative_to(folder))
            status = path.lstat()
            if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
                _put(tar, str(Path(name).with_name(f".wh.{path.name}")), b"")
                continue
            member = tar.gettarinfo(path, name)
            member.mtime, member.uname, member.gname = 0, "", ""
            if path.is_file() and not path.is_symlink():
                with path.open("rb") as content:
                    tar.addfile(member, content)
            else:
                tar.addfile(member)
            if stat.S_ISDIR(status.st_mode) and _is_opaque(path):
                _put(tar, f"{name}/.wh..wh..opq", b"")
    return buffer.getvalue()


def _is_opaque(folder: Path) -> bool:
    return _OPAQUE in os.listxattr(folder) and os.getxattr(folder, _OPAQUE) == b"y"


def _put(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(data), 0o644
    tar.addfile(member, io.BytesIO(data))


def _member(tar: tarfile.TarFile, name: str) -> dict[str, Any]:
    content = tar.extractfile(name)
    if content is None:
        raise KeyError(name)
    decoded: dict[str, Any] = json.load(content)
    return decoded


def _blob_path(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")


def _encoded(document: dict[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
