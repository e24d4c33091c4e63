"""What the service reports of its queries: metrics, and one audit line each.

The audit line carries the SHA-256 of the statement, never the statement: it may quote a person's data, and logs
travel further than databases. The hash still joins a complaint to its line.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import structlog
from prometheus_client import Counter, Gauge, Histogram

from traceplane.observe import dispatch_metrics
from traceplane.observe.registry import registry
from traceplane.query.caller import Caller, hash_of

_log = structlog.get_logger("trace.audit")


class Telemetry:
    """Metrics of one service, in their own registry."""

    def __init__(self) -> None:
        self.registry = registry("query")
        self.registry.register(dispatch_metrics.DENIED)
        self.seconds = Histogram(
            "trace_query_seconds",
            "Time of a query from its arrival to its answer, by result code.",
            ["code"],
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
            registry=self.registry,
        )
        self.waiting = Gauge("trace_query_waiting", "Queries that wait for a slot.", registry=self.registry)
        self.running = Gauge("trace_query_running", "Queries that run.", registry=self.registry)
        self.open_batches = Gauge(
            "trace_query_batches", "Batch queries that wait or run, in all processes.", registry=self.registry
        )
        self.rows = Counter("trace_query_rows", "Rows answered.", registry=self.registry)
        self.scanned = Counter(
            "trace_query_scanned_bytes", "Bytes of files and hot rows read.", registry=self.registry
        )
        self.cached = Gauge("trace_query_cache_bytes", "Bytes of cold files held locally.", registry=self.registry)

    def audit(
        self,
        caller: Caller,
        *,
        code: str,
        seconds: float,
        relations: Sequence[str] = (),
        rows: int = 0,
        scanned: int = 0,
    ) -> None:
        """Count a query and write its audit line. `code` is `OK` or the code of the refusal."""
        self.seconds.labels(code).observe(seconds)
        self.rows.inc(rows)
        self.scanned.inc(scanned)
        _log.info(
            "query",
            query_id=str(caller.query),
            sql_sha256=hash_of(caller.sql),
            user_id=_text(caller.user),
            task_id=_text(caller.task),
            code=code,
            relations=list(relations),
            rows=rows,
            bytes_scanned=scanned,
            duration_ms=round(seconds * 1000, 1),
        )


def _text(value: UUID | None) -> str | None:
    return None if value is None else str(value)
