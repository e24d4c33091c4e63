"""Each change to `tasks` is written in one place, so that a new column or cause is one edit."""

from __future__ import annotations

from pathlib import Path

import pytest

from traceplane.store import statements

MODULES = sorted(Path(statements.__file__).parent.glob("*.py"))


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("INSERT INTO tasks", {"enqueue"}),
        ("lease_token = NULL", {"transitions"}),
        ("tasks t SET status", set()),
        ("INSERT INTO task_attempts", {"transitions"}),
        ("IN (c.active_version_id, c.staged_version_id)\n        ORDER BY", {"runnable"}),
    ],
)
def test_it_is_written_in_one_module(text: str, where: set[str]):
    assert {module.stem for module in MODULES if text in module.read_text()} == where
