"""The prompt's history file: its place, its owner, its bounds."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from prompt_toolkit.history import FileHistory, InMemoryHistory

from traceplane.cli.prompt import history


def entries(file: Path) -> list[str]:
    """The oldest first."""
    return list(FileHistory(file).load_history_strings())[::-1]


def test_the_newest_entries_are_kept_and_no_long_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    file = tmp_path / "trace" / "sql_history"
    first = history.opened()
    for number in range(history.KEPT + 5):
        first.store_string(f"SELECT {number}\n;")
    first.store_string("x" * (history.LONGEST + 1))
    second = history.opened()
    second.store_string("SELECT 'the newest';")
    kept = entries(file)
    assert kept[0] == "SELECT 5\n;"
    assert kept[-2:] == [f"SELECT {history.KEPT + 4}\n;", "SELECT 'the newest';"]
    assert len(kept) == history.KEPT + 1
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [each.name for each in file.parent.iterdir()] == ["sql_history"]


def test_a_relative_state_folder_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", "state")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    history.opened()
    assert not (tmp_path / "state").exists()
    assert (tmp_path / "home" / ".local" / "state" / "trace" / "sql_history").exists()


def test_without_a_place_it_lasts_for_the_session_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    assert isinstance(history.opened(), InMemoryHistory)
    assert "the history of this prompt is not kept" in capsys.readouterr().err
