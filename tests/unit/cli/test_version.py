"""Versions that differ are said, with what to do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from traceplane.cli import version
from traceplane.cli.examine import server
from traceplane.cli.examine.finding import Result


def test_a_skew_names_both_and_the_remedy() -> None:
    assert version.skew("0.1.0", "0.1.0") is None
    said = version.skew("0.1.0", "0.2.0")
    assert said == "tracectl is 0.1.0 and the server is 0.2.0: install tracectl of the server's version"


@pytest.mark.parametrize(
    ("apart", "result"), [(0, Result.OK), (-29, Result.OK), (31, Result.FAILED), (-31, Result.FAILED)]
)
def test_clocks_far_apart_are_a_failure(apart: int, result: Result) -> None:
    here = datetime(2026, 1, 1, tzinfo=UTC)
    found = server.clock(here, here + timedelta(seconds=apart))
    assert (found.result, bool(found.remedy)) == (result, result is Result.FAILED)
