"""Archives that hold only what an image adds to its base."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from pathlib import Path

import pytest

from hack.localcluster import ociarchive
from hack.localcluster.layout import ClusterError

CONFIG = {
    "architecture": "amd64",
    "os": "linux",
    "config": {"User": "1"},
    "rootfs": {"type": "layers", "diff_ids": []},
}


def layer(folder: Path, **files: str) -> Path:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_text(content)
    return folder


def blobs(archive: Path) -> set[str]:
    with tarfile.open(archive) as tar:
        return {name.replace("blobs/sha256/", "sha256:") for name in tar.getnames() if name.startswith("blobs/")}


def test_an_image_names_the_layers_of_its_base_and_holds_only_its_own(tmp_path: Path) -> None:
    base, top = tmp_path / "base.tar", tmp_path / "top.tar"
    ociarchive.write(base, "trace.local/base:1", CONFIG, [layer(tmp_path / "a", first="1")], None)
    ociarchive.write(top, "trace.local/top:2", CONFIG, [layer(tmp_path / "b", second="2")], base)
    below, above = ociarchive.read(base), ociarchive.read(top)
    assert (above.name, above.base) == ("trace.local/top:2", "trace.local/base:1")
    assert above.manifest["layers"][:1] == below.manifest["layers"]
    assert above.diff_ids[:1] == below.diff_ids
    assert len(above.diff_ids) == 2
    shared, own = (each["digest"] for each in above.manifest["layers"])
    assert shared in blobs(base)
    assert blobs(top) >= {own, above.digest}
    assert shared not in blobs(top)


def test_equal_content_has_an_equal_digest_whatever_its_times(tmp_path: Path) -> None:
    for number, name in enumerate(("one", "two")):
        folder = layer(tmp_path / name, file="same")
        os.utime(folder / "file", (number, number))
        ociarchive.write(tmp_path / f"{name}.tar", "trace.local/x:1", {**CONFIG, "created": name}, [folder], None)
    assert ociarchive.read(tmp_path / "one.tar").digest == ociarchive.read(tmp_path / "two.tar").digest


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make the device that stands for a deletion")
def test_a_deleted_file_becomes_a_whiteout(tmp_path: Path) -> None:
    folder = layer(tmp_path / "layer")
    (folder / "etc").mkdir()
    os.mknod(folder / "etc" / "motd", 0o020000, os.makedev(0, 0))
    ociarchive.write(tmp_path / "x.tar", "trace.local/x:1", CONFIG, [folder], None)
    (described,) = ociarchive.read(tmp_path / "x.tar").manifest["layers"]
    with tarfile.open(tmp_path / "x.tar") as tar:
        blob = tar.extractfile("blobs/" + described["digest"].replace(":", "/"))
        assert blob is not None
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress(blob.read()))) as inner:
            assert inner.getnames() == ["etc", "etc/.wh.motd"]


def test_something_else_is_refused_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "notes.tar").write_text("not an archive")
    with pytest.raises(ClusterError, match="hack/images/build"):
        ociarchive.read(tmp_path / "notes.tar")
