"""What a log says of an exception that nobody foresaw: its text and its place, and no local variable."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from traceplane.kit import spans
from traceplane.observe import logs
from traceplane_sdk import tracing

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


TASK = "018f0f6e-7c1a-7b3c-8d4e-5f6a7b8c9d0e"
QUERY = "018f0f6e-0000-7b3c-8d4e-5f6a7b8c9d0e"


@pytest.mark.parametrize(
    ("fields", "trace"),
    [
        ({"task_id": TASK}, TASK.replace("-", "")),
        ({"query_id": QUERY}, QUERY.replace("-", "")),
        ({"task_id": TASK, "query_id": QUERY}, TASK.replace("-", "")),
        ({"task_id": "whatever an operator says"}, None),
        ({"task_id": TASK, "trace_id": "given"}, "given"),
        ({}, None),
    ],
)
def test_a_line_of_a_task_or_a_query_has_its_trace(fields: dict[str, str], trace: str | None) -> None:
    assert logs.add_trace_id(None, "info", dict(fields)).get("trace_id") == trace


def test_a_line_of_a_request_has_the_trace_of_the_request_unless_it_names_a_task() -> None:
    request = spans.started()
    with tracing.entered(request):
        assert logs.add_trace_id(None, "info", {})["trace_id"] == request.trace_id
        assert logs.add_trace_id(None, "info", {"query_id": QUERY})["trace_id"] == request.trace_id
        assert logs.add_trace_id(None, "info", {"task_id": TASK})["trace_id"] == TASK.replace("-", "")


@pytest.mark.parametrize("configure", ["logs.configure", "journal.configure"])
def test_both_formats_of_lines_have_it(configure: str) -> None:
    script = f"""
import structlog
from traceplane.observe import logs
from traceplane.worker import journal
{configure}("info")
structlog.get_logger().info("claimed", task_id="{TASK}")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout + done.stderr)["trace_id"] == TASK.replace("-", "")
