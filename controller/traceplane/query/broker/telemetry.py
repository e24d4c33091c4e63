"""What the service reports of its queries: metrics, and one audit line each.

The audit line carries the SHA-256 of the statement, never the statement: it may quote a person's data, and logs
travel further than databases. The hash still joins a complaint to its line.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import structlog
from prometheus_client import Counter, Gauge, Histogram

from traceplane.errors import Overloaded, Refused, TraceError
from traceplane.observe import dispatch_metrics
from traceplane.observe.registry import registry
from traceplane.query.caller import Caller, hash_of

DEFECT = TraceError("the query did not end as any query should")
"""How a query ended that nothing else is known of."""

_log = structlog.get_logger("trace.audit")


class Telemetry:
    """Metrics of one service, in their own registry."""

    def __init__(self) -> None:
        self.registry = registry("query")
        self.registry.register(dispatch_metrics.DENIED)
        self.seconds = Histogram(
            "trace_query_seconds",
            "Time of a query from its arrival to its answer, by result code, and by whose fault it failed: "
            "user, load (a queue was full), service, or none.",
            ["code", "fault"],
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
        outcome: str | TraceError,
        seconds: float,
        relations: Sequence[str] = (),
        rows: int = 0,
        scanned: int = 0,
    ) -> None:
        """Count a query and write its audit line. `outcome` is the code of its success, or what it failed by."""
        code = outcome.code if isinstance(outcome, TraceError) else outcome
        self.seconds.labels(code, _fault(outcome)).observe(seconds)
        self.rows.inc(rows)
        self.scanned.inc(scanned)
        _log.info(
            "query",
            query_id=str(caller.query),
            sql_sha256=hash_of(caller.sql),
            user_id=_text(caller.user),
            task_id=_text(caller.task),
            trace_id=caller.trace.trace_id,
            code=code,
            relations=list(relations),
            rows=rows,
            bytes_scanned=scanned,
            duration_ms=round(seconds * 1000, 1),
        )


def _fault(outcome: str | TraceError) -> str:
    """By class and not by code, so that an error of a new code is the service's until it is made a refusal."""
    match outcome:
        case str():
            return "none"
        case Refused():
            return "user"
        case Overloaded():
            return "load"
    return "service"


def _text(value: UUID | None) -> str | None:
    return None if value is None else str(value)
