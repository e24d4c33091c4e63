"""A query as the engine takes it, its answer, and how it is ended from outside."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from traceplane.errors import Refused
from traceplane.query.attach import audit
from traceplane.query.attach.batch import Lease
from traceplane.query.cell.child import Limits
from traceplane.query.gate.statement import Admitted
from traceplane.query.relations import pins
from traceplane.query.relations.resolve import Reader

FORMATS = ("json", "csv", "arrow", "parquet")


class QueryFailed(Refused):
    """The statement was admitted and did not succeed; `code` says how."""

    code = "QueryFailed"


@dataclass(frozen=True, slots=True)
class Job:
    """What to run, for whom. `seconds` is the time left; `form` is one of FORMATS."""

    admitted: Admitted
    namespace: str
    reader: Reader
    caller: audit.Caller
    form: str
    seconds: float
    max_rows: int
    max_bytes: int
    max_export_bytes: int = 0
    """Of a Parquet file in the bucket, for an answer beyond the other two; 0: such an answer is cut."""
    waited: float = 0.0
    """Seconds of its time limit that were over before it began."""
    as_of: pins.Pin | None = None
    limits: Limits | None = None
    """Of its process, where they are not those of every other."""
    lease: Lease | None = None
    """Of a query that was left to be run: its answer becomes a file whatever its size, and counts only while the
    lease holds."""

    @property
    def limit(self) -> float:
        """Seconds that it may take in all."""
        return self.waited + self.seconds


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` is rendered by the cell and not looked into here."""

    columns: list[tuple[str, str]]
    body: bytes
    rows: int
    truncated: bool
    bytes_scanned: int
    versions: list[dict[str, Any]]
    as_of: str | None = None
    output: audit.Output | None = None


class Cancel:
    """Ends one query from another thread, at any moment of it, without waiting for anything."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self._ends: list[Callable[[], None]] = []
        self._lock = threading.Lock()

    def __call__(self) -> None:
        """Cancel. The query then raises `QueryFailed` of code `QueryCanceled`."""
        with self._lock:
            self.event.set()
            ends, self._ends = self._ends, []
        for end in ends:
            # One may talk to a server, and whoever cancels may be the event loop.
            threading.Thread(target=end, name="query-cancel", daemon=True).start()

    def covers(self, end: Callable[[], None]) -> None:
        """From now on, canceling calls `end`, on a thread of its own; at once where it has happened already."""
        with self._lock:
            canceled = self.event.is_set()
            if not canceled:
                self._ends.append(end)
        if canceled:
            end()

    def over(self) -> None:
        """The query has ended: from now on there is nothing to cancel."""
        with self._lock:
            self._ends = []


def canceled() -> QueryFailed:
    """The client went away, or the service stops."""
    return QueryFailed("the query was canceled", code="QueryCanceled")


def out_of_time(limit: float) -> QueryFailed:
    """The time limit was reached; waiting for a turn and being judged count."""
    return QueryFailed(f"the query took longer than {round(limit, 1):g} seconds", code="QueryTimeout")
