"""Exports spans by OTLP over HTTP, from a thread with a bounded queue.

Where the collector is comes from OpenTelemetry's own variables (OTEL_EXPORTER_OTLP_ENDPOINT, ..._HEADERS and so
on), which its exporter reads. Work never waits for it: a span that finds the queue full is dropped and counted, a
batch that the collector did not take within the exporter's time is dropped and counted, and a log line says so once
a minute at most. OpenTelemetry's library is imported in processes that export, and in no other: it costs 18 MB.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote

import structlog

from traceplane.kit import spans
from traceplane.kit.spans import Span
from traceplane.observe.registry import SPANS_DROPPED, SPANS_EXPORTED
from traceplane.settings.parts import Tracing

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

QUEUE = 4096
"""Spans that wait, at most."""
BATCH = 512
DELAY_SECONDS = 2.0
"""How long a span may wait for others to go with."""
CLOSE_SECONDS = 1.5
"""How long what is left may take to go out when the process ends."""
LOG_SECONDS = 60.0
HEADERS = ("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS")
_WORD = re.compile(r"[^\s,:;=\"'\\\x00-\x1f\x7f-\U0010ffff]{4,}")
"""A part of a header that is the same in a repr, which is how libraries quote, and long enough to tell."""

log = structlog.get_logger()


class Exporter(Protocol):
    """What takes a batch: OpenTelemetry's exporter."""

    def send(self, batch: Sequence[Span]) -> str | None:
        """Why the batch was not taken; None where it was."""

    def shutdown(self) -> None:
        """Give up what is under way."""


class Queue:
    """The spans that wait, and the thread that sends them."""

    def __init__(self, exporter: Exporter, clock: Callable[[], float] = time.monotonic) -> None:
        self._exporter = exporter
        self._clock = clock
        self._spans: deque[Span] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._logged: float | None = None
        self._thread = threading.Thread(target=self._work, name="otlp", daemon=True)
        self._thread.start()

    def put(self, span: Span) -> None:
        """Take a span, or drop it where there is no room."""
        with self._changed:
            if self._closing or len(self._spans) >= QUEUE:
                SPANS_DROPPED.labels("queue_full").inc()
                return
            self._spans.append(span)
            if len(self._spans) in (1, BATCH):
                self._changed.notify()

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Send what is left, for so long; what then remains is dropped."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(seconds)
        with self._changed:
            SPANS_DROPPED.labels("shutdown").inc(len(self._spans))
            self._spans.clear()
        self._exporter.shutdown()

    def _work(self) -> None:
        while batch := self._batch():
            try:
                why = self._exporter.send(batch)
            except Exception as error:  # whatever the library raises is no reason to lose the spans to come
                why = type(error).__name__
            if why is None:
                SPANS_EXPORTED.inc(len(batch))
            else:
                SPANS_DROPPED.labels("export_failed").inc(len(batch))
                self._complain(why)

    def _batch(self) -> list[Span]:
        """Wait for the next batch; it is empty when the queue is closed and nothing is left."""
        with self._changed:
            self._changed.wait_for(lambda: self._spans or self._closing)
            self._changed.wait_for(lambda: len(self._spans) >= BATCH or self._closing, DELAY_SECONDS)
            return [self._spans.popleft() for _ in range(min(BATCH, len(self._spans)))]

    def _complain(self, why: str) -> None:
        now = self._clock()
        if self._logged is None or now - self._logged >= LOG_SECONDS:
            self._logged = now
            log.warning("spans were not exported; work goes on without", error=why)


class _LastWords(logging.Handler):
    """Keeps what OpenTelemetry's exporter says of a failure, which it does with every single one."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: str | None = None

    def emit(self, record: logging.LogRecord) -> None:
        self.said = _without_headers(record.getMessage())


def _without_headers(text: str) -> str:
    """The text, or other words where it quotes the headers: a token is among them, and wrong ones are quoted."""
    given = " ".join(os.environ.get(name, "") for name in HEADERS)
    if any(word.lower() in text.lower() for word in _WORD.findall(f"{given} {unquote(given)}")):
        return f"{' or '.join(HEADERS)} is wrong or refused: write name=value,... with percent-encoded values"
    return text[:300]


class _Otlp:
    """OpenTelemetry's exporter: a tracer makes its spans, with the ids that they have already."""

    def __init__(self, process: str, instance: str) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
        from opentelemetry.sdk.trace.export import SpanExportResult
        from opentelemetry.sdk.trace.id_generator import IdGenerator
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON

        class Given(IdGenerator):
            """Ids of the span that is being made."""

            trace_id = span_id = 0

            def generate_span_id(self) -> int:
                return self.span_id

            def generate_trace_id(self) -> int:
                return self.trace_id

        class Collected(SpanProcessor):
            """What a batch has become so far."""

            def __init__(self) -> None:
                self.made: list[ReadableSpan] = []

            def on_end(self, span: ReadableSpan) -> None:
                self.made.append(span)

        self._words = _LastWords()
        library = logging.getLogger("opentelemetry")
        library.handlers, library.propagate = [self._words], False
        self._exporter, self._taken = OTLPSpanExporter(), SpanExportResult.SUCCESS
        self._ids, self._collected = Given(), Collected()
        resource = Resource.create(
            {
                "service.namespace": "trace",
                "service.name": f"trace-{process}",
                "service.version": version("traceplane"),
                "service.instance.id": instance,
            }
        )
        if self._words.said is not None:
            log.warning("a variable OTEL_* is not understood", error=self._words.said)
        # What is recorded at all was decided when it was.
        provider = TracerProvider(ALWAYS_ON, resource, shutdown_on_exit=False, id_generator=self._ids)
        provider.add_span_processor(self._collected)
        self._tracer = provider.get_tracer("traceplane")

    def send(self, batch: Sequence[Span]) -> str | None:
        made: list[ReadableSpan] = []
        self._collected.made = made
        for span in batch:
            self._make(span)
        if not made:
            return "OTEL_SDK_DISABLED is set"
        return None if self._exporter.export(made) is self._taken else self._words.said or "not taken"

    def shutdown(self) -> None:
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def _make(self, span: Span) -> None:
        from opentelemetry import trace
        from opentelemetry.context import Context

        def context(trace_id: str, span_id: str) -> trace.SpanContext:
            flags = trace.TraceFlags(trace.TraceFlags.SAMPLED)
            return trace.SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=flags)

        above = Context()
        if span.parent is not None:
            parent = trace.NonRecordingSpan(context(span.context.trace_id, span.parent))
            above = trace.set_span_in_context(parent, above)
        self._ids.trace_id, self._ids.span_id = int(span.context.trace_id, 16), int(span.context.span_id, 16)
        made = self._tracer.start_span(
            span.name,
            above,
            trace.SpanKind[span.kind.upper()],
            attributes=span.attributes,
            links=[trace.Link(context(link.trace_id, link.span_id)) for link in span.links],
            start_time=span.start,
        )
        for name, at, attributes in span.events:
            made.add_event(name, attributes, at)
        if span.failed is not None:
            made.set_status(trace.Status(trace.StatusCode.ERROR, span.failed))
        made.end(span.end)


@contextmanager
def exporting(process: str, settings: Tracing, instance: str | None = None) -> Iterator[None]:
    """Export the spans of this process meanwhile, where the settings say so."""
    if not settings.tracing:
        yield
        return
    try:
        queue = Queue(_Otlp(process, instance or socket.gethostname()))
    except Exception as error:  # a variable of OpenTelemetry's that says nothing it understands
        why = _without_headers(f"{type(error).__name__}: {error}")
        log.error("traces are not exported: check the variables OTEL_*", error=why)
        yield
        return
    spans.install(queue.put, settings.tracing_sample_ratio)
    try:
        yield
    finally:
        spans.install(None)
        queue.close()
