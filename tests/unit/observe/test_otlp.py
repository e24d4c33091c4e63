"""The export of spans to a collector that is well, away, broken or silent: work notices none of it."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence

import pytest
from structlog.testing import capture_logs

from tests.services.collector import Collector, collecting
from tests.support.waiting import until
from traceplane.kit import spans
from traceplane.kit.spans import Span
from traceplane.observe import otlp
from traceplane.observe.registry import SPANS_DROPPED, SPANS_EXPORTED
from traceplane.settings import Settings

TRACING = Settings(tracing=True)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp, "DELAY_SECONDS", 0.01)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running


@pytest.fixture
def pointed(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> Collector:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.2")
    return collector


def dropped(reason: str) -> float:
    return SPANS_DROPPED.labels(reason)._value.get()


def a_span(name: str = "query") -> Span:
    with spans.spanned(name, None) as made:
        pass
    return made


class Exporter:
    """Says what is wrong with each batch; waits with it until `free`."""

    def __init__(self, why: str | Exception | None = None) -> None:
        self.why = why
        self.batches: list[int] = []
        self.free = threading.Event()
        self.given_up = False

    def send(self, batch: Sequence[Span]) -> str | None:
        self.batches.append(len(batch))
        assert self.free.wait(60)
        if isinstance(self.why, Exception):
            raise self.why
        return self.why

    def shutdown(self) -> None:
        self.given_up = True


def test_a_span_comes_out_as_it_went_in(pointed: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20canary")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    before = SPANS_EXPORTED._value.get()
    link = spans.started()
    with otlp.exporting("worker", TRACING, "worker-1"):
        parent = spans.started()
        with contextlib.suppress(KeyError), spans.spanned("run", parent, kind=spans.CLIENT) as span:
            span.attributes |= {"trace.attempt": 2, "trace.job": "compact"}
            span.links.append(link)
            span.event("heartbeat missed")
            raise KeyError
    (found,) = pointed.of(parent.trace_id)
    assert (found.service, found.name, found.kind) == ("trace-worker", "run", "CLIENT")
    assert (found.id, found.parent) == (span.context.span_id, parent.span_id)
    assert (found.start, found.end) == (span.start, span.end)
    assert found.attributes == {"trace.attempt": 2, "trace.job": "compact", "error.type": "KeyError"}
    assert (found.failed, found.events, found.links) == ("KeyError", ("heartbeat missed",), (link.trace_id,))
    assert pointed.headers[0]["authorization"] == "Bearer canary"
    assert SPANS_EXPORTED._value.get() == before + 1
    assert not spans.enabled()


@pytest.mark.parametrize("mode", ["away", 500, 400, "hang"])
def test_a_collector_that_takes_nothing_costs_spans_and_one_line(
    mode: str | int, pointed: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    pointed.mode = mode
    if mode == "away":
        with socket.create_server(("127.0.0.1", 0)) as closed:
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{closed.getsockname()[1]}")
    before = dropped("export_failed")
    with capture_logs() as lines, otlp.exporting("worker", TRACING, "worker-1"):
        for batch in (1, 2):
            a_span()
            until(lambda batch=batch: dropped("export_failed") == before + batch)
    (line,) = lines
    assert line["event"] == "spans were not exported; work goes on without"
    assert line["error"]
    assert pointed.spans == []


def test_a_batch_that_could_not_be_made_leaves_nothing_behind(pointed: Collector) -> None:
    exporter = otlp._Otlp("worker", "worker-1")
    wrong = Span("wrong", spans.started()._replace(span_id="no id"), None)
    with pytest.raises(ValueError):
        exporter.send([a_span(), wrong])
    assert exporter.send([a_span("last")]) is None
    exporter.shutdown()
    assert [span.name for span in pointed.spans] == ["last"]


def test_a_full_queue_drops_what_comes_and_counts_it() -> None:
    exporter = Exporter()
    queue = otlp.Queue(exporter)
    before = dropped("queue_full")
    span = a_span()
    queue.put(span)
    until(lambda: exporter.batches)
    for _ in range(otlp.QUEUE + 7):
        queue.put(span)
    assert dropped("queue_full") == before + 7
    exporter.free.set()
    queue.close(60)
    assert sum(exporter.batches) == 1 + otlp.QUEUE
    assert max(exporter.batches) == otlp.BATCH
    queue.put(span)
    assert dropped("queue_full") == before + 8


def test_the_end_of_the_process_does_not_wait_for_the_collector() -> None:
    exporter = Exporter()
    queue = otlp.Queue(exporter)
    before = dropped("shutdown")
    queue.put(a_span())
    until(lambda: exporter.batches)
    queue.put(a_span())
    queue.close(0.01)
    assert exporter.given_up
    assert dropped("shutdown") == before + 1
    exporter.free.set()


def test_failures_are_said_once_a_minute_and_an_unforeseen_one_ends_nothing() -> None:
    exporter, now = Exporter(RuntimeError("canary")), [0.0]
    exporter.free.set()
    with capture_logs() as lines:
        queue = otlp.Queue(exporter, clock=lambda: now[0])
        for minute, said in ((0.0, 1), (59.0, 1), (60.0, 2)):
            now[0] = minute
            sent = len(exporter.batches)
            before = dropped("export_failed")
            queue.put(a_span())
            until(lambda before=before: dropped("export_failed") > before)
            assert (len(exporter.batches), len(lines)) == (sent + 1, said)
        queue.close(60)
    assert {line["error"] for line in lines} == {"RuntimeError"}


def test_variables_that_make_no_sense_cost_the_traces_and_not_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "a while")
    with capture_logs() as lines, otlp.exporting("worker", TRACING):
        assert spans.enabled(), "the exporter has a default"
    assert [(line["log_level"], "a while" in line["error"]) for line in lines] == [("warning", True)]
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "many")
    with capture_logs() as lines, otlp.exporting("worker", TRACING):
        assert not spans.enabled()
    assert [line["log_level"] for line in lines] == ["warning", "error"]


@pytest.mark.parametrize("variable", otlp.HEADERS)
@pytest.mark.parametrize(
    "given",
    [
        "authorization: Bearer canary",
        "Bearer canary",
        "authorization=Bearer canary;canary",
        "tenant=1,authorization:canary",
        "authorization=Bearer%0Acanary",
        "authorization=1%0Dcan%61ry",
        "authorization=Bearer%20%FFcanary%0Acanary",
        "authorization%3A%20CANARY%20=1",
        "authorization%0A=canary%0A%22",
    ],
)
def test_headers_that_are_wrong_are_named_and_not_quoted(
    variable: str, given: str, pointed: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, given)
    with capture_logs() as lines, otlp.exporting("worker", TRACING):
        a_span()
        until(lambda: lines, "a line about it")
    assert [(line["log_level"], variable in line["error"]) for line in lines] == [("warning", True)]
    assert "name=value,..." in lines[0]["error"]
    assert "canary" not in repr(lines).lower()


def test_a_process_that_exports_nothing_does_not_import_the_library() -> None:
    script = """
import sys
from traceplane.observe import otlp
from traceplane.settings import Settings
with otlp.exporting("worker", Settings()):
    assert not [name for name in sys.modules if name.startswith("opentelemetry")]
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
