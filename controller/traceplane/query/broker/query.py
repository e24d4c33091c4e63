"""A query as the engine takes it, its answer, and how it is canceled."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from traceplane.query.attach.batch_queries import Lease
from traceplane.query.caller import Caller
from traceplane.query.files.bucket import Output
from traceplane.query.gate.statement import Admitted
from traceplane.query.relations import pins
from traceplane.query.relations.resolve import Reader
from traceplane.query.wire import Limits

FORMATS = ("json", "csv", "arrow", "parquet")


@dataclass(frozen=True, slots=True)
class Query:
    """What to run, for which caller. `seconds` is the time left; `form` is one of FORMATS."""

    admitted: Admitted
    namespace: str
    reader: Reader
    caller: Caller
    form: str
    seconds: float
    max_rows: int
    max_bytes: int
    max_export_bytes: int = 0
    """Of the Parquet file that an answer beyond the other two becomes; 0: such an answer is cut instead."""
    waited: float = 0.0
    """Seconds of its time limit that were over before it began."""
    as_of: pins.Pin | None = None
    limits: Limits | None = None
    """Of its process, where they are not the usual ones."""
    lease: Lease | None = None
    """Of a batch query: its answer becomes a file whatever its size, and counts only while the lease holds."""

    @property
    def limit(self) -> float:
        """Seconds that it may take in all."""
        return self.waited + self.seconds


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` is rendered by the cell, and the broker passes it on unread."""

    columns: list[tuple[str, str]]
    body: bytes
    rows: int
    truncated: bool
    bytes_scanned: int
    versions: list[dict[str, Any]]
    as_of: str | None = None
    output: Output | None = None


class Cancel:
    """Cancels one query from another thread, at any moment of it, without waiting for anything."""

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
            # On a thread: an end may talk to a server, and the event loop may be what cancels.
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
