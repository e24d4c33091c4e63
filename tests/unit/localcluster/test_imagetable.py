"""Folders of the machine that go into an image."""

from __future__ import annotations

import pytest

from hack.localcluster.imagetable import MachineFolder
from hack.localcluster.layout import ClusterError


def test_a_folder_is_copied_with_what_its_links_lead_to_and_without_what_is_left_out(tmp_path):
    (tmp_path / "shared" / "lib" / "data").mkdir(parents=True)
    (tmp_path / "shared" / "lib" / "lib.js").write_text("1")
    (tmp_path / "shared" / "lib" / "data" / "large").write_text("2")
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "index.html").write_text("3")
    (tmp_path / "web" / "lib").symlink_to(tmp_path / "shared" / "lib")
    folder = MachineFolder(str(tmp_path / "web"), "pages", without=("data",))
    before = folder.key()
    (tmp_path / "context").mkdir()
    folder.fill(tmp_path / "context")
    copied = tmp_path / "context" / "pages"
    assert {str(path.relative_to(copied)) for path in copied.rglob("*")} == {"index.html", "lib", "lib/lib.js"}
    assert not any(path.is_symlink() for path in copied.rglob("*"))
    (tmp_path / "web" / "index.html").write_text("4")
    assert folder.key() != before


def test_a_folder_that_is_not_there_says_how_to_get_it(tmp_path):
    with pytest.raises(ClusterError, match="hack/setup apt"):
        MachineFolder(str(tmp_path / "none"), "pages").fill(tmp_path)
