"""Hot rows from Postgres to Arrow, by ADBC, which decodes COPY BINARY straight into Arrow.

Each scan has a connection, a transaction and a thread of its own, and joins the query's snapshot.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import adbc_driver_manager
import adbc_driver_postgresql.dbapi as adbc
import pyarrow as pa
from psycopg.conninfo import conninfo_to_dict

from traceplane.errors import Unavailable
from traceplane.store.engine import arrow_dsn
from traceplane_sdk import refusals

_BATCH_BYTES = 512 * 1024
"""Small enough for a processor's cache: the cell reads one while the next is decoded."""
PIPE_BYTES = 256 * 1024
"""With the usual 64 KiB, writer and reader wait for each other four times as often; with more, what is read has
left the processor's cache."""


class HotConnections:
    """Connections for scans. Postgres takes 4 ms to start one and to fill its caches for the first statement, so
    one whose scan was read to its end is kept for another."""

    def __init__(self, dsn: str, keep: int = 0) -> None:
        """At most `keep` idle connections are kept. Raises InvalidSettings for what is no DSN."""
        self._dsn = arrow_dsn(dsn, "trace-query-hot")
        self._keep = keep
        self._lock = threading.Lock()
        self._first: adbc.Connection | None = None
        self._idle: deque[adbc.Connection] = deque()

    def idle(self) -> adbc.Connection | None:
        """One that was used before, in a transaction that has not begun to read; None where there is none."""
        with self._lock:
            if not self._idle:
                return None
            connection = self._idle.pop()
        try:
            connection.adbc_connection.set_autocommit(False)
        except adbc_driver_manager.Error:  # the server ended it while it was idle, and so the others
            self.give_back(connection, whole=False)
            self.forget()
            return None
        return connection

    def open(self) -> adbc.Connection:
        """A new one, in a transaction that has not begun to read. Raises Unavailable."""
        try:
            with self._lock:
                # The first is never used itself: the driver asks for the server's types once for all connections
                # that are cloned from it, which is most of what a connection costs.
                if self._first is None:
                    self._first = adbc.connect(self._dsn, autocommit=True)
                first = self._first
            return first.adbc_clone()
        except adbc_driver_manager.Error as error:
            found, _ = refusals.cause(error, conninfo_to_dict(self._dsn))
            raise Unavailable(f"the data database cannot be reached: {found or 'it does not answer'}") from error

    def give_back(self, connection: adbc.Connection, whole: bool) -> None:
        """Take a connection back; `whole` is whether another scan may use it."""
        if whole:
            try:
                connection.adbc_connection.set_autocommit(True)  # ends its transaction: none is open while it waits
            except adbc_driver_manager.Error:
                whole = False
        with self._lock:
            if whole and len(self._idle) < self._keep:
                self._idle.append(connection)
                return
        with contextlib.suppress(adbc_driver_manager.Error):
            connection.close()

    def forget(self) -> None:
        """Close the idle ones: the server restarted since, or ended them."""
        with self._lock:
            idle, self._idle = self._idle, deque()
        for connection in idle:
            with contextlib.suppress(adbc_driver_manager.Error):
                connection.close()

    def close(self) -> None:
        """Close the first and the idle ones; one that still scans is closed by its scan."""
        with self._lock:
            self._keep = 0
            first, self._first = self._first, None
        self.forget()
        if first is not None:
            first.close()


class HotReader:
    """Reads hot rows of one query's snapshot, each scan on a connection and a thread of its own.

    A scan that the cell does not read to its end is canceled, which ends its transaction; scans therefore share a
    snapshot (`pg_export_snapshot`), not a connection.
    """

    def __init__(self, connections: HotConnections, snapshot: str, deadline: float) -> None:
        """`deadline` (monotonic) is when Postgres shall give up on a statement."""
        self._connections = connections
        self._snapshot = snapshot
        self._deadline = deadline
        self._threads: list[threading.Thread] = []
        self._open: set[adbc.Connection] = set()
        self._canceled = False
        self._lock = threading.Lock()
        self.bytes = 0
        """Arrow bytes handed over so far."""

    def scan(self, sql: str, count: Callable[[int], None]) -> int:
        """Start a scan; returns the read end of a pipe of Arrow IPC. `count` is called with the rows of each
        batch."""
        connection, cursor, reader = self._start(sql)
        read_end, write_end = _pipe()
        thread = threading.Thread(
            target=self._pump, args=(connection, cursor, reader, write_end, count), name="hot-scan", daemon=True
        )
        with self._lock:
            self._threads.append(thread)
        thread.start()
        return read_end

    def cancel(self) -> None:
        """End every scan, also one that Postgres has not answered yet, and begin no more. Talks to the server."""
        with self._lock:  # a connection leaves the set before it is closed, so none of these is closed under us
            self._canceled = True
            for connection in self._open:
                with contextlib.suppress(adbc_driver_manager.Error):
                    connection.adbc_cancel()

    def close(self) -> None:
        """Cancel what still runs and wait for the threads. The cell must have ended: a full pipe with a reader
        blocks its thread."""
        self.cancel()
        for thread in self._threads:
            thread.join(timeout=5)

    def _start(self, sql: str) -> tuple[adbc.Connection, adbc.Cursor, pa.RecordBatchReader]:
        """Begin `sql`. An idle connection may be dead: then a new one is tried."""
        connection = self._connections.idle()
        if connection is not None:
            try:
                return self._begun(connection, sql)
            except adbc_driver_manager.Error:
                self._connections.forget()
        try:
            return self._begun(self._connections.open(), sql)
        except adbc_driver_manager.Error as error:
            raise Unavailable("the data database gave no rows") from error

    def _begun(
        self, connection: adbc.Connection, sql: str
    ) -> tuple[adbc.Connection, adbc.Cursor, pa.RecordBatchReader]:
        cursor = connection.cursor()
        try:
            with self._lock:
                if self._canceled:
                    raise Unavailable("the query was canceled", code="QueryCanceled")
                self._open.add(connection)
            cursor.executescript(self._transaction())
            cursor.adbc_statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(_BATCH_BYTES)})
            cursor.execute(sql)
            return connection, cursor, cursor.fetch_record_batch()
        except BaseException:
            self._end(connection, cursor, whole=False)
            raise

    def _transaction(self) -> str:
        left = max(0.0, self._deadline - time.monotonic())
        return (
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;"
            f"SET TRANSACTION SNAPSHOT '{self._snapshot}';"
            f"SET LOCAL statement_timeout = {int(left * 1000) + 1}"
        )

    def _end(self, connection: adbc.Connection, *parts: Any, whole: bool) -> None:
        """Close `parts`; keep the connection for the next scan where this one was read to its end, else close it.

        A cancel may reach the server after the scan that it was meant for, so after one no connection is kept.
        """
        with self._lock:
            self._open.discard(connection)
            whole = whole and not self._canceled
        for part in parts:
            with contextlib.suppress(OSError, adbc_driver_manager.Error):
                part.close()
        self._connections.give_back(connection, whole)

    def _pump(
        self,
        connection: adbc.Connection,
        cursor: adbc.Cursor,
        reader: pa.RecordBatchReader,
        write_end: int,
        count: Callable[[int], None],
    ) -> None:
        """Copy batches into the pipe. Closing without the end mark tells the cell that the stream is cut short."""
        sink, whole = os.fdopen(write_end, "wb", buffering=0), False
        try:
            schema = pa.schema([pa.field(f.name, _plain(f.type)) for f in reader.schema])
            stream = pa.ipc.new_stream(sink, schema)
            as_declared = reader.schema.types == schema.types
            for batch in reader:
                stream.write_batch(batch if as_declared else batch.cast(schema))
                count(batch.num_rows)
                self.bytes += batch.nbytes
            stream.close()
            whole = True
        except (OSError, pa.ArrowException, adbc_driver_manager.Error):
            with contextlib.suppress(adbc_driver_manager.Error):
                cursor.adbc_cancel()
        finally:
            self._end(connection, sink, cursor, whole=whole)


def _pipe() -> tuple[int, int]:
    """A pipe of PIPE_BYTES, where the kernel grants it (pipe(7), pipe-user-pages-soft)."""
    read_end, write_end = os.pipe()
    with contextlib.suppress(PermissionError):  # then the usual 64 KiB: slower, and no less right
        fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return read_end, write_end


def _plain(kind: pa.DataType) -> pa.DataType:
    """Arrow's type as the cell declared it to DuckDB: instants in UTC, text without extension types."""
    if isinstance(kind, pa.BaseExtensionType):
        return kind.storage_type
    return pa.timestamp("us", tz="UTC") if pa.types.is_timestamp(kind) else kind
