"""What the demo does before it raises its cluster."""

from __future__ import annotations

import pytest

from hack.demo import install
from hack.localcluster.components import Components
from hack.localcluster.layout import Layout


@pytest.fixture
def asked(monkeypatch, tmp_path) -> list[tuple[str, ...]]:
    """Own commands that would have been run, for a cluster's folder of this test."""
    commands: list[tuple[str, ...]] = []
    monkeypatch.setenv("TRACE_CLUSTER_DIR", str(tmp_path / "cluster"))
    monkeypatch.setattr(install, "_own", lambda *argv: commands.append(argv) or "")
    return commands


def made(tmp_path) -> None:
    record = Layout(tmp_path / "cluster").record
    record.parent.mkdir()
    record.write_text('{"subnet": 1, "complete": true}')


def test_a_cluster_of_which_nothing_runs_is_removed_before_it_is_raised_again(asked, tmp_path):
    made(tmp_path)
    install.forget_stopped()
    assert asked == [("hack/cluster", "down")]


def test_a_cluster_that_runs_is_left_alone(asked, tmp_path, monkeypatch):
    made(tmp_path)
    monkeypatch.setattr(Components, "running", lambda self: {"etcd": None, "kubelet": 4711})
    install.forget_stopped()
    assert asked == []


def test_where_no_cluster_was_made_there_is_nothing_to_remove(asked):
    install.forget_stopped()
    assert asked == []
