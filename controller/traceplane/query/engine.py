"""One query from admitted statement to rendered rows: the broker's whole part, in one thread.

The order is the design: open the data snapshot, read the catalogue, hand the cell its shapes, link the files its
plan needs, serve its hot scans, take the answer. Whatever fails, the cell is dead and its folder gone when `run`
returns. A client that goes away or a time limit kills the cell; everything else follows from that.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import msgspec

from traceplane.errors import Refused, TraceError, Unavailable
from traceplane.query import hot, wire
from traceplane.query.attach import Databases
from traceplane.query.cache import Cache
from traceplane.query.cells import Cell, Cells
from traceplane.query.gate import Admitted
from traceplane.query.resolve import Relation

MAX_SCANS = 64
"""Hot scans of one query; each is a connection while it runs."""


FORMATS = ("json", "csv", "arrow", "parquet")


class QueryFailed(Refused):
    """The statement was admitted and did not succeed; `code` says how."""

    code = "QueryFailed"


@dataclass(frozen=True, slots=True)
class Job:
    """What to run, for whom. `seconds` is the time left; `form` is one of FORMATS."""

    admitted: Admitted
    namespace: str
    roles: frozenset[str]
    form: str
    seconds: float
    max_rows: int
    max_bytes: int


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` is rendered by the cell and not looked into here."""

    columns: list[tuple[str, str]]
    body: bytes
    rows: int
    truncated: bool
    bytes_scanned: int
    versions: list[dict[str, Any]]


class Cancel:
    """Ends one query from another thread, at any moment of it, without waiting for anything."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self._covered: tuple[Cell, hot.HotReader] | None = None
        self._lock = threading.Lock()

    def __call__(self) -> None:
        """Cancel. The query then raises `QueryFailed` of code `QueryCanceled`."""
        with self._lock:
            self.event.set()
            self._end()

    def covers(self, cell: Cell, reader: hot.HotReader) -> None:
        """From now on, canceling kills `cell` and ends the scans of `reader`."""
        with self._lock:
            self._covered = cell, reader
            if self.event.is_set():
                self._end()

    def over(self) -> None:
        """The query has ended: from now on there is nothing to cancel."""
        with self._lock:
            self._covered = None

    def _end(self) -> None:
        if self._covered is not None:
            cell, reader = self._covered
            cell.kill()
            # It talks to the server, and whoever cancels may be the event loop.
            threading.Thread(target=reader.cancel, name="hot-cancel", daemon=True).start()


class Engine:
    """Runs queries; safe to call from several threads."""

    def __init__(self, databases: Databases, cache: Cache, cells: Cells) -> None:
        self._databases = databases
        self._cache = cache
        self._cells = cells

    def run(self, job: Job, cancel: Cancel) -> Answer:
        """The answer. Raises Refusal, QueryFailed, Overloaded or Unavailable."""
        deadline = time.monotonic() + job.seconds
        with ExitStack() as open_parts:
            snapshot, relations = "", []
            if job.admitted.relations:
                snapshot = open_parts.enter_context(self._databases.snapshot(job.seconds))
                relations = self._databases.resolve(job.admitted.relations, job.namespace, job.roles)
            cell = open_parts.enter_context(self._cells.one())
            reader = hot.HotReader(self._databases.data_dsn, snapshot, deadline)
            run = _Run(job, relations, cell, reader, cancel, deadline)
            open_parts.callback(reader.close)
            open_parts.callback(cell.kill)  # before the scans are waited for: only its end frees a full pipe
            cancel.covers(cell, reader)
            open_parts.callback(cancel.over)
            try:
                run.plan()
                files = [file for relation in relations for file in relation.files]
                paths = open_parts.enter_context(self._cache.held(files, cancel.event, deadline))
                run.link([str(path) for path in paths])
                return run.answer()
            except TimeoutError:
                raise QueryFailed(
                    f"the query ran longer than {job.seconds:g} seconds", code="QueryTimeout"
                ) from None
            except wire.Closed:
                raise run.ended() from None


class _Run:
    """The conversation with one cell."""

    def __init__(
        self,
        job: Job,
        relations: list[Relation],
        cell: Cell,
        reader: hot.HotReader,
        cancel: Cancel,
        deadline: float,
    ) -> None:
        self._job = job
        self._relations = relations
        self._cell = cell
        self._reader = reader
        self._cancel = cancel
        self._deadline = deadline
        self._scans = 0

    def plan(self) -> None:
        """Tell the cell its relations; choose files by what its plan scans."""
        self._send(
            wire.Prepare(
                sql=self._job.admitted.sql,
                relations=[relation.spec() for relation in self._relations],
                format=self._job.form,
                max_rows=self._job.max_rows,
                max_bytes=self._job.max_bytes,
            )
        )
        message = self._receive(wire.Scans | wire.Failed)
        if isinstance(message, wire.Failed):
            raise _failed(message)
        for index, relation in enumerate(self._relations):
            relation.prune([filters for number, filters in message.scans if number == index])

    def link(self, paths: Sequence[str]) -> None:
        """Put the chosen files into the cell's folder and let it run."""
        remaining = iter(paths)
        for index, relation in enumerate(self._relations):
            for group, (_, parts) in enumerate(relation.chosen):
                for number, _ in enumerate(parts):
                    self._left()
                    os.link(next(remaining), self._cell.folder / f"{index}-{group}-{number}.parquet")
        pinned = [
            {key: version[key] for key in ("relation", "dataset", "version")}
            for relation in self._relations
            for version in relation.versions()
        ]
        groups = [relation.cell_groups() for relation in self._relations]
        self._send(wire.Run(groups, msgspec.json.encode(pinned).decode()))

    def answer(self) -> Answer:
        """Serve hot scans until the result comes."""
        while True:
            message = self._receive(wire.HotScan | wire.Result | wire.Failed)
            if isinstance(message, wire.Failed):
                if message.kind == "HotRows":
                    self._left()  # Postgres keeps the time, too, and may be the first to end the scan
                raise _failed(message)
            if isinstance(message, wire.Result):
                return self._result(message)
            self._hot(message)

    def ended(self) -> TraceError:
        """Why the cell is gone."""
        if self._cancel.event.is_set():
            return QueryFailed("the query was canceled", code="QueryCanceled")
        if time.monotonic() >= self._deadline:
            return QueryFailed(f"the query ran longer than {self._job.seconds:g} seconds", code="QueryTimeout")
        code = self._cell.wait_ended()
        how = signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"
        return QueryFailed(
            f"the query ended its process ({how}): it needed too much, or hit a defect", code="QueryCrashed"
        )

    def _hot(self, wanted: wire.HotScan) -> None:
        relation = self._relations[wanted.relation] if 0 <= wanted.relation < len(self._relations) else None
        self._scans += 1
        if relation is None or relation.hot is None or self._scans > MAX_SCANS:
            self._send(wire.HotRows(f"no such relation, or more than {MAX_SCANS} scans"))
            return
        try:
            sql = hot.statement(relation.hot, wanted.columns, wanted.filter)
        except hot.BadScan as error:
            raise wire.Closed(str(error)) from error

        def count(rows: int) -> None:
            relation.hot_rows += rows

        try:
            pipe = self._reader.scan(sql, count)
        except Unavailable:
            self._left()  # canceled, or out of time: that is why there are no rows
            raise
        try:
            self._send(wire.HotRows(), (pipe,))
        finally:
            os.close(pipe)

    def _result(self, message: wire.Result) -> Answer:
        if message.size > self._job.max_bytes + 1024 or message.rows > self._job.max_rows:
            raise wire.Closed("the answer is larger than was asked for")
        self._cell.channel.settimeout(self._left())
        body = wire.exactly(self._cell.channel, message.size)
        return Answer(
            columns=message.columns,
            body=body,
            rows=message.rows,
            truncated=message.truncated,
            bytes_scanned=sum(f.bytes for relation in self._relations for f in relation.files) + self._reader.bytes,
            versions=[version for relation in self._relations for version in relation.versions()],
        )

    def _send(self, message: Any, descriptors: tuple[int, ...] = ()) -> None:
        self._cell.channel.settimeout(self._left())
        wire.send(self._cell.channel, message, descriptors)

    def _receive(self, kind: Any) -> Any:
        self._cell.channel.settimeout(self._left())
        return wire.receive(self._cell.channel, kind)[0]

    def _left(self) -> float:
        """Seconds left. Raises TimeoutError when there are none, Closed when the query was canceled."""
        if self._cancel.event.is_set():
            raise wire.Closed("canceled")
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


def _failed(message: wire.Failed) -> TraceError:
    if message.kind == "HotRows":
        return Unavailable("hot rows could not be read to their end")
    if message.kind == "OutOfMemory":
        return QueryFailed("the query needs more memory than one query may use", code="QueryOutOfMemory")
    if message.kind in ("BinderException", "CatalogException", "ParserException", "SyntaxException"):
        return Refused(message.message[:1000], code="InvalidQuery")
    return QueryFailed(message.message[:1000] or f"the query failed ({message.kind[:64]})")
