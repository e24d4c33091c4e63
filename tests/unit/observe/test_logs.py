"""What a log says of an exception that nobody foresaw: its text and its place, and no local variable."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

LOGGING = """
import logging, sys
from traceplane.observe import logs
from traceplane.worker import journal
import structlog
def breaks():
    key = "-".join(["canary", "of", "a", "local"])
    raise ValueError("an address that is none")
{configure}("debug")
try:
    breaks()
except ValueError as error:
    structlog.get_logger().error("ours", exc_info=error)
    structlog.get_logger().exception("ours")
    logging.getLogger("botocore.client").exception("theirs")
logging.getLogger("botocore.parsers").debug("Response body: canary-of-a-local")
"""


def said(configure: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LOGGING.format(configure=configure)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


@pytest.mark.parametrize("configure", ["logs.configure", "journal.configure"])
def test_an_exception_has_its_text_and_place_in_the_log_and_no_local(configure: str) -> None:
    done = said(configure)
    text = done.stdout + done.stderr
    assert text.count("ValueError: an address that is none") == 3
    assert text.count("in breaks") == 3
    assert "canary" not in text


def test_ours_and_theirs_are_in_the_same_form() -> None:
    lines = [json.loads(line) for line in said("logs.configure").stderr.splitlines()]
    assert [(line["event"], line["level"]) for line in lines] == [("ours", "error")] * 2 + [("theirs", "error")]
