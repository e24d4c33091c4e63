"""What `tracectl get` prints of a source's report."""

from __future__ import annotations

from typing import Any

import pytest

from traceplane.cli import get


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (None, None),
        ({"healthy": True, "message": "follows chain 1", "position": 7, "head": 9}, "follows chain 1: at 7 of 9"),
        ({"healthy": True, "message": "follows chain 1", "position": None, "head": 9}, "follows chain 1"),
        ({"healthy": False, "message": "provider 0: HTTP 401", "position": 7, "head": 9}, "provider 0: HTTP 401"),
    ],
)
def test_a_report_is_one_line_with_where_the_source_is(report: dict[str, Any] | None, words: str | None) -> None:
    assert get._in_words(report) == words
