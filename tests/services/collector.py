"""A receiver of OTLP over HTTP, decoded by OpenTelemetry's own definitions; it may misbehave.

A test has one on loopback. As a program it is a pod's, and writes each span as a line of JSON.
"""

from __future__ import annotations

import gzip
import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Proto
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from tests.support.waiting import until


@dataclass(frozen=True)
class Received:
    """A span as it came in; ids in hex, `parent` empty where it has none, `links` the traces that it names."""

    service: str
    name: str
    kind: str
    trace: str
    id: str
    parent: str
    start: int
    end: int
    failed: str | None
    attributes: dict[str, Any]
    events: tuple[str, ...]
    links: tuple[str, ...]


class Collector:
    """What came in, and what is answered: `ok`, a status, or nothing (`hang`)."""

    def __init__(
        self, host: str = "127.0.0.1", port: int = 0, heard: Callable[[list[Received]], None] = lambda spans: None
    ) -> None:
        self.spans: list[Received] = []
        self.headers: list[dict[str, str]] = []
        self.mode: str | int = "ok"
        self.asked = 0
        self._free = threading.Event()
        self._lock = threading.Lock()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                collector.asked += 1
                if collector.mode == "hang":
                    collector._free.wait(60)
                    return
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                status = collector.mode if isinstance(collector.mode, int) else 200
                if status == 200:
                    assert self.path == "/v1/traces"
                    with collector._lock:
                        collector.headers.append({name.lower(): value for name, value in self.headers.items()})
                        collector.spans += (came := decoded(body))
                        heard(came)
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(status)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer((host, port), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def close(self) -> None:
        """Answer nobody any more."""
        self._free.set()
        self._server.shutdown()
        self._server.server_close()

    def of(self, trace: str) -> list[Received]:
        """The spans of a trace, in the order of their starts."""
        with self._lock:
            found = [span for span in self.spans if span.trace == trace]
        return sorted(found, key=lambda span: (span.start, -span.end))

    def wait(self, trace: str, holds: Callable[[list[Received]], Any]) -> list[Received]:
        """The spans of a trace, once they are as wanted."""
        until(
            lambda: holds(self.of(trace)),
            f"the spans of {trace}",
            detail=lambda: "\n".join(map(str, self.of(trace))),
        )
        return self.of(trace)


def tree(found: list[Received]) -> dict[tuple[str, ...], Received]:
    """Spans by the names from the root down to them; `lost` stands for a parent that did not come (yet)."""
    by_id = {span.id: span for span in found}
    assert len(by_id) == len(found), "a span came twice"

    def path(span: Received) -> tuple[str, ...]:
        above = path(by_id[span.parent]) if span.parent in by_id else ("lost",) if span.parent else ()
        own = f"{span.name}/{span.attributes['trace.attempt']}" if span.name == "attempt" else span.name
        return (*above, own)

    return {path(span): span for span in found}


def decoded(body: bytes) -> list[Received]:
    """The spans of one request."""
    found = []
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        about = {entry.key: entry.value.string_value for entry in resource.resource.attributes}
        for scope in resource.scope_spans:
            found += [_received(about["service.name"], span) for span in scope.spans]
    return found


def _received(service: str, span: Any) -> Received:
    return Received(
        service=service,
        name=span.name,
        kind=Proto.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        start=span.start_time_unix_nano,
        end=span.end_time_unix_nano,
        failed=span.status.message if span.status.code == Status.STATUS_CODE_ERROR else None,
        attributes={entry.key: _value(entry.value) for entry in span.attributes},
        events=tuple(event.name for event in span.events),
        links=tuple(link.trace_id.hex() for link in span.links),
    )


def _value(value: Any) -> Any:
    return getattr(value, value.WhichOneof("value"))


@contextmanager
def collecting() -> Iterator[Collector]:
    """A running collector."""
    made = Collector()
    try:
        yield made
    finally:
        made.close()


def _show(spans: list[Received]) -> None:
    for span in spans:
        print(json.dumps(asdict(span)), flush=True)


if __name__ == "__main__":
    Collector("", int(sys.argv[1]), _show).thread.join()
