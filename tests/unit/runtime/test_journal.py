"""The lines of an attempt's log: their level and their fields."""

from __future__ import annotations

from typing import Any

import pytest
import structlog

from traceplane.runtime import journal


def logged(fields: dict[str, Any]) -> Any:
    with structlog.testing.capture_logs() as lines:
        journal.log(job="follow", attempt=2)("something happened", fields)
    (line,) = lines
    return line


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error", "critical"])
def test_a_line_has_the_level_that_its_writer_gave_it(level: str) -> None:
    assert logged({"level": level, "rows": 3}) == {
        "event": "something happened",
        "log_level": level,
        "job": "follow",
        "attempt": 2,
        "rows": 3,
    }


@pytest.mark.parametrize("level", ["loud", "bind", 3, None])
def test_a_level_that_is_none_is_info(level: Any) -> None:
    assert logged({"level": level})["log_level"] == "info"


def test_a_field_named_as_the_event_does_not_end_the_run() -> None:
    line = logged({"event": "transfer"})
    assert (line["event"], line["event_"]) == ("something happened", "transfer")
