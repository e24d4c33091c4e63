"""The conversation with one cell, from its relations to its answer.

The cell is not trusted: every message is bounded and checked, and a wrong one ends the cell.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from typing import Any

import msgspec

from traceplane.errors import TraceError, Unavailable
from traceplane.query import wire
from traceplane.query.attach.hot_reader import HotReader
from traceplane.query.broker import failures
from traceplane.query.broker.cell_process import CellProcess
from traceplane.query.broker.query import Answer, Cancel, Query
from traceplane.query.errors import QueryFailed, canceled, out_of_time
from traceplane.query.files.bucket import Export
from traceplane.query.relations import hot_sql
from traceplane.query.relations.relation import Relation

MAX_SCANS = 64
"""Hot scans of one query; each is a connection while it runs."""


class Conversation:
    """The conversation with one cell."""

    def __init__(
        self,
        query: Query,
        relations: list[Relation],
        catalog: wire.Catalog | None,
        cell: CellProcess,
        reader: HotReader,
        cancel: Cancel,
        deadline: float,
    ) -> None:
        self._query = query
        self._relations = relations
        self._catalog = catalog
        self._cell = cell
        self._reader = reader
        self._cancel = cancel
        self._deadline = deadline
        self._scans = 0

    def plan(self) -> None:
        """Send the cell its relations; choose files by what its plan scans."""
        self._send(
            wire.Prepare(
                sql=self._query.admitted.to_run,
                relations=[relation.spec() for relation in self._relations],
                format=self._query.form,
                max_rows=self._query.max_rows,
                max_bytes=self._query.max_bytes,
                max_export_bytes=self._query.max_export_bytes,
                catalog=self._catalog,
            )
        )
        message = self._receive(wire.Scans | wire.Failed)
        if isinstance(message, wire.Failed):
            raise self._failed(message)
        for index, relation in enumerate(self._relations):
            relation.prune([tree for number, tree in message.scans if number == index])

    def link(self, paths: Sequence[str]) -> None:
        """Put the chosen files into the cell's folder and let it run."""
        remaining = iter(paths)
        for index, relation in enumerate(self._relations):
            for group, (_, parts) in enumerate(relation.chosen):
                for number, _ in enumerate(parts):
                    self._remaining()
                    os.link(next(remaining), self._cell.folder / f"{index}-{group}-{number}.parquet")
        pinned = [
            {key: version[key] for key in ("relation", "dataset", "version")}
            for relation in self._relations
            for version in relation.versions()
        ]
        groups = [relation.cell_groups() for relation in self._relations]
        self._send(wire.Run(groups, msgspec.json.encode(pinned).decode()))

    def answer(self, exporting: Callable[[], AbstractContextManager[Export]]) -> Answer:
        """Serve hot scans and take an export's pieces until the result comes."""
        with ExitStack() as placing:
            export: Export | None = None
            while True:
                message = self._receive(wire.HotScan | wire.Piece | wire.Result | wire.Failed)
                if isinstance(message, wire.Failed):
                    if message.kind == "HotRows":
                        self._remaining()  # Postgres has the deadline, too, and may be the first to end the scan
                    raise self._failed(message)
                if isinstance(message, wire.HotScan):
                    self._hot(message)
                elif isinstance(message, wire.Piece):
                    export = export or placing.enter_context(exporting())
                    self._take(export, message.data)
                else:
                    break
            answer = self._result(message, export)
        if export is None:
            return answer
        return replace(answer, output=export.output)

    def _take(self, export: Export, data: bytes) -> None:
        if export.bytes + len(data) > self._query.max_export_bytes:
            raise wire.Closed("the export is larger than it may be")
        export.write(data)

    def why_ended(self) -> TraceError:
        """Why the cell ended, or sent what it must not."""
        if self._cancel.event.is_set():
            return canceled()
        if time.monotonic() >= self._deadline:
            return out_of_time(self._query.limit)
        code = self._cell.wait_ended()
        if self._cell.outgrew:
            return failures.out_of_memory()
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
            sql = hot_sql.statement(relation.hot, wanted.columns, wanted.filter)
        except hot_sql.BadScan as error:
            raise wire.Closed(str(error)) from error

        def count(rows: int) -> None:
            relation.hot_rows += rows

        try:
            pipe = self._reader.scan(sql, count)
        except Unavailable:
            self._remaining()  # where it was canceled or is out of time, that is why there are no rows
            raise
        try:
            self._send(wire.HotRows(), (pipe,))
        finally:
            os.close(pipe)

    def _result(self, message: wire.Result, export: Export | None) -> Answer:
        if message.size > self._query.max_bytes + 1024 or (message.rows > self._query.max_rows and export is None):
            raise wire.Closed("the answer is larger than it may be")
        self._cell.channel.settimeout(self._remaining())
        body = wire.exactly(self._cell.channel, message.size)
        return Answer(
            columns=message.columns,
            body=body,
            rows=message.rows,
            truncated=message.truncated,
            bytes_scanned=sum(f.bytes for relation in self._relations for f in relation.files) + self._reader.bytes,
            versions=[version for relation in self._relations for version in relation.versions()],
        )

    def _failed(self, message: wire.Failed) -> TraceError:
        """The error for the caller. Only a user who waits for it may read of rows in it: see `failures`."""
        error = failures.failed(message)
        waits = self._query.caller.task is None and self._query.lease is None
        return error if waits else failures.without_rows(error)

    def _send(self, message: Any, descriptors: tuple[int, ...] = ()) -> None:
        self._cell.channel.settimeout(self._remaining())
        wire.send(self._cell.channel, message, descriptors)

    def _receive(self, kind: Any) -> Any:
        self._cell.channel.settimeout(self._remaining())
        return wire.receive(self._cell.channel, kind)[0]

    def _remaining(self) -> float:
        """Seconds left. Raises TimeoutError when there are none, Closed when the query was canceled."""
        if self._cancel.event.is_set():
            raise wire.Closed("canceled")
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left
