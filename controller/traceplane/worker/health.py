"""Liveness and metrics of a worker: `/healthz`, `/readyz` and `/metrics` on one small port.

Alive means that the main thread still beats. It does so several times a minute whatever the operator does, since
runs and heartbeats have threads of their own.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType

from prometheus_client import Counter, Gauge, generate_latest

from traceplane.kit.listen import listener
from traceplane.observe.registry import registry

STALE_SECONDS = 120.0
MAX_MEASURES = 64
"""Distinct names that operators may measure under; more are dropped."""
MAX_LABELS = 4
"""Labels that one name may have."""
MAX_SERIES = 64
"""Distinct combinations of label values that one name may have; more are dropped."""


_UNLABELED: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class _Measured:
    """One name that an operator measures under, and the combinations of label values seen so far."""

    labels: frozenset[str]
    gauge: Gauge
    series: set[tuple[str, ...]] = field(default_factory=set)


class Health:
    """What the probes and the scraper read. Thread-safe."""

    def __init__(self) -> None:
        self.registry = registry("worker")
        self.tasks = Counter(
            "trace_worker_tasks", "Attempts this worker ended, by result.", ["result"], registry=self.registry
        )
        self.running = Gauge("trace_worker_running", "Tasks running now.", registry=self.registry)
        self._measures: dict[str, _Measured] = {}
        self._last_beat = time.monotonic()

    def beat(self) -> None:
        """The main thread is at work."""
        self._last_beat = time.monotonic()

    def alive(self) -> bool:
        """Whether the main thread was at work lately."""
        return time.monotonic() - self._last_beat < STALE_SECONDS

    def measure(self, name: str, value: float | None, labels: Mapping[str, str] = _UNLABELED) -> None:
        """Take what an operator measures as gauge `trace_{name}`, with the labels it first came with.

        None takes it away: a gauge would show its last value for ever.
        """
        measured = self._measures.get(name)
        # Names and values come from operators: one with a block number in it must not fill the memory.
        if (
            measured is None
            and value is not None
            and len(self._measures) < MAX_MEASURES
            and len(labels) <= MAX_LABELS
        ):
            gauge = Gauge(f"trace_{name}", "Measured by the operator.", sorted(labels), registry=self.registry)
            measured = self._measures[name] = _Measured(frozenset(labels), gauge)
        if measured is None or measured.labels != labels.keys():
            return
        series = tuple(labels[label] for label in sorted(labels))
        if value is None:
            self._forget(measured, series)
        elif series in measured.series or len(measured.series) < MAX_SERIES:
            measured.series.add(series)
            (measured.gauge.labels(*series) if series else measured.gauge).set(value)

    def _forget(self, measured: _Measured, series: tuple[str, ...]) -> None:
        if not series:
            measured.gauge.set(math.nan)  # a gauge without labels is there as long as its name
        elif series in measured.series:
            measured.series.remove(series)
            measured.gauge.remove(*series)


def serve(health: Health, host: str, port: int) -> ThreadingHTTPServer:
    """Serve in a daemon thread; port 0 takes any free one. The caller shuts the server down."""

    class Handler(BaseHTTPRequestHandler):
        timeout = 5

        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, generate_latest(health.registry), "text/plain; version=0.0.4")
            elif self.path in ("/healthz", "/readyz"):
                alive = health.alive()
                self._answer(200 if alive else 503, b"ok\n" if alive else b"the worker is stuck\n", "text/plain")
            else:
                self._answer(404, b"not found\n", "text/plain")

        def _answer(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Probes are not logged: they come every few seconds."""

    server = ThreadingHTTPServer((host, port), Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = listener(host, port)
    server.server_port = server.socket.getsockname()[1]
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server
