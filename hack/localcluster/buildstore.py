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

# Where buildah writes whatever its options say (locks, and what it learned of layers): its own folders instead.
_COVERED = ("/run", "/var/lib")
_SCRIPT = f"""
private="$1"; shift
for path in {" ".join(_COVERED)}; do mount --bind "$private$path" "$path"; done
exec "$@"
"""


def folder() -> Path:
    """The folder of the storage, made on demand."""
    storage = cache_dir() / "buildah"
    hidden = next((path for path in _COVERED if storage.resolve().is_relative_to(path)), None)
    if hidden is not None:
        raise ClusterError(
            f"{storage} is below {hidden}, which image builds cover by their own; set TRACE_CACHE elsewhere"
        )
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
    private = storage / "machine"
    for path in _COVERED:
        (private / path.lstrip("/")).mkdir(parents=True, exist_ok=True)
    shell = ["/bin/sh", "-ec", _SCRIPT, "buildah", private, packages.require("buildah"), *words]
    argv = [packages.require("unshare"), "--mount", "--", *shell]
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


def keep_only(reference: str, *, others_build_on_it: bool) -> None:
    """Bound the storage: of one image only the current version, and none at all when it is no other's base."""
    name = reference.rpartition(":")[0]
    listed = buildah("images", "--format={{.Name}}:{{.Tag}}") or ""
    for each in listed.split():
        if each.rpartition(":")[0] == name and not (each == reference and others_build_on_it):
            buildah("rmi", "--force", each)
