"""buildah and its storage, kept in the cache.

buildah runs in a mount namespace of its own: it neither sees nor leaves anything on the machine. What it keeps is a
cache only: when the storage is deleted, bases are built again.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from . import packages
from .atomic import write_file
from .commands import run
from .layout import ClusterError, cache_dir


def folder() -> Path:
    """The folder of the storage, made on demand."""
    storage = cache_dir() / "buildah"
    storage.mkdir(parents=True, exist_ok=True)
    return storage


def buildah(*words: str, check: bool = True) -> str | None:
    """Run buildah; returns what it printed, or ``None`` when it failed and ``check`` is off."""
    storage = folder()
    configuration = storage / "storage.conf"
    write_file(
        configuration, f'[storage]\ndriver = "overlay"\ngraphroot = "{storage}/graph"\nrunroot = "{storage}/run"\n'
    )
    env = {
        **os.environ,
        "BUILDAH_ISOLATION": "chroot",
        "STORAGE_DRIVER": "overlay",
        "CONTAINERS_STORAGE_CONF": str(configuration),
        "TMPDIR": str(storage),
    }
    argv = [packages.require("unshare"), "--mount", "--", packages.require("buildah"), *words]
    done = run(argv, env=env, check=check)
    return done.stdout if done.returncode == 0 else None


def knows(reference: str) -> bool:
    """Whether the storage has an image."""
    return buildah("inspect", "--type=image", "--format={{.FromImageID}}", reference, check=False) is not None


def top_layers(reference: str, below: int) -> tuple[dict[str, Any], list[Path]]:
    """The OCI configuration of an image and the folders of its layers after the first ``below``."""
    inspected = buildah("inspect", "--type=image", reference)
    assert inspected is not None
    config: dict[str, Any] = json.loads(json.loads(inspected)["Config"])
    graph = folder() / "graph"
    known = json.loads((graph / "overlay-layers" / "layers.json").read_text())
    folders = {layer.get("diff-digest"): graph / "overlay" / layer["id"] / "diff" for layer in known}
    wanted = config["rootfs"]["diff_ids"][below:]
    missing = [digest for digest in wanted if digest not in folders]
    if missing:
        raise ClusterError(
            f"buildah's storage does not know layers {missing} of {reference}; delete {graph.parent}"
        )
    return config, [folders[digest] for digest in wanted]
