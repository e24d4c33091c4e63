"""Building container images without a container engine, and only those whose content changed.

An image's tag is the hash of everything that goes into it: its folder below ``hack/images``, its base image's tag
and its prepared inputs (compiled tools, unpacked wheels, a Debian root). So a tag never means two contents, an
archive in the cache under its tag is never stale, and the chart can be installed with ``IfNotPresent``.

Nothing is fetched during a build: inputs are prepared outside and copied in, so each Dockerfile
also works with ``docker build`` on the prepared context (``hack/images/build --context NAME DIR``).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from . import buildstore, ociarchive
from .atomic import drop_unused, fresh_directory, locked, mark_used
from .layout import IMAGES_SOURCE, ClusterError, cache_dir
from .progress import step

REGISTRY = "trace.local"
_TAG_DIGITS = 12
_ATTEMPTS = 3


class Input(Protocol):
    """Something a build needs in its context: a key that changes when its content does, and how to put it there."""

    def key(self) -> str:
        """A string that differs whenever the content differs."""
        ...

    def fill(self, context: Path) -> None:
        """Put the content into a build context."""
        ...


@dataclass(frozen=True)
class Image:
    """One image: the folder of its Dockerfile, the image it is based on, and its prepared inputs."""

    name: str
    inputs: tuple[Input, ...] = ()
    base: str | None = None


@dataclass(frozen=True)
class Built:
    """An image's reference and its archive in the cache."""

    reference: str
    archive: Path


@dataclass(frozen=True)
class _Base:
    reference: str
    archive: Path
    layers: int


class Builder:
    """Builds images of a table in the order of their bases."""

    def __init__(self, images: dict[str, Image]) -> None:
        self._images = images
        self._tags: dict[str, str] = {}

    def reference(self, name: str) -> str:
        """``trace.local/NAME:TAG`` of an image as its content is now; builds nothing."""
        return f"{REGISTRY}/{name}:{self._tag(name)}"

    def build(self, name: str) -> Built:
        """Build an image, and first its base, unless the cache has its archive."""
        for _ in range(_ATTEMPTS):
            archive = self._archive(name)
            if not archive.exists():
                with locked(cache_dir() / "locks" / "images.lock", f"image {name}"):
                    if not archive.exists():
                        self._build(self._image(name), archive)
                if self._changed(name):
                    # Somebody edits while we build: what was copied is not what the tag says.
                    shutil.rmtree(archive.parent)
                    continue
            mark_used(archive.parent)
            return Built(self.reference(name), archive)
        raise ClusterError(
            f"the sources of image {name} keep changing while it is built; run it again when they rest"
        )

    def context(self, name: str, folder: Path) -> None:
        """Prepare a build context, for another builder: the Dockerfile and all it copies."""
        image = self._image(name)
        source = IMAGES_SOURCE / name
        shutil.copytree(source, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        for each in image.inputs:
            each.fill(folder)

    def _build(self, image: Image, archive: Path) -> None:
        with step(f"building image {image.name}"), fresh_directory(archive.parent) as making:
            base = self._store(image)
            reference = self.reference(image.name)
            config, layers = buildstore.top_layers(reference, 0 if base is None else base.layers)
            ociarchive.write(
                making / "image.tar", reference, config, layers, None if base is None else base.archive
            )
        drop_unused(archive.parent.parent, keep=archive.parent)
        is_base = any(other.base == image.name for other in self._images.values())
        buildstore.keep_only(reference, others_build_on_it=is_base)

    def _store(self, image: Image) -> _Base | None:
        """Build an image into buildah's storage, on its base there; returns the base."""
        base = self._stored_base(image)
        argument = [f"--build-arg=BASE_IMAGE={base.reference}"] if base else []
        options = ["-q", "--layers=false", "--pull-never", "-t", self.reference(image.name)]
        with tempfile.TemporaryDirectory(prefix="context-", dir=buildstore.folder()) as context:
            self.context(image.name, Path(context))
            buildstore.buildah("bud", *options, *argument, context)
        return base

    def _stored_base(self, image: Image) -> _Base | None:
        """The base image with its archive; in the storage it may be missing, when that was deleted meanwhile."""
        if image.base is None:
            return None
        reference, archive = self.reference(image.base), self._archive(image.base)
        if not archive.exists():
            self._build(self._image(image.base), archive)
        elif not buildstore.knows(reference):
            # The archive stays as it is: images that were built on it name its layers by digest.
            self._store(self._image(image.base))
        return _Base(reference, archive, len(ociarchive.read(archive).manifest["layers"]))

    def _image(self, name: str) -> Image:
        if name not in self._images:
            raise ClusterError(f"no image {name!r}; there are: {', '.join(self._images)}")
        return self._images[name]

    def _archive(self, name: str) -> Path:
        return cache_dir() / "images" / name / self._tag(name) / "image.tar"

    def _changed(self, name: str) -> bool:
        """Whether the sources are others than the tag was made from; forgets what is known when they are."""
        was = self._tag(name)
        self._tags.clear()
        return self._tag(name) != was

    def _tag(self, name: str) -> str:
        if name not in self._tags:
            image = self._image(name)
            digest = hashlib.sha256(hash_files(IMAGES_SOURCE / name).encode())
            digest.update((self._tag(image.base) if image.base else "").encode())
            for each in image.inputs:
                digest.update(each.key().encode())
            self._tags[name] = digest.hexdigest()[:_TAG_DIGITS]
        return self._tags[name]


def hash_files(folder: Path, wanted: Callable[[Path], bool] = lambda _: True) -> str:
    """Hash of names, modes and content of the files below a folder, in a fixed order."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and wanted(path):
            executable = os.access(path, os.X_OK)
            digest.update(f"{path.relative_to(folder)} {executable} ".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
