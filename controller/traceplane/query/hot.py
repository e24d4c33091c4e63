"""Hot rows: from a filter tree to a Postgres statement, and from Postgres to Arrow.

The cell that asks is not trusted: a column it names must be the relation's, an operator must be on the list, a
literal is rendered here, typed. And the statement always carries the seam (rows that live in cold files are not
read here) and never more columns than were granted.

A filter may let more rows through than it says, never fewer: Arrow applies it in full in the cell. So a part
is translated only where Postgres compares exactly as DuckDB does, and dropped where it does not: floats (NaN),
order of text under the database's collation, decimals.

Rows travel by ADBC, which decodes COPY BINARY straight into Arrow.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import adbc_driver_manager
import adbc_driver_postgresql.dbapi as adbc
import pyarrow as pa

from traceplane.errors import Unavailable

MAX_FILTER_PARTS = 500
MAX_GAPS = 64
_BATCH_BYTES = 4 * 1024 * 1024
_COMPARE = {"=": "=", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_INT64 = range(-(2**63), 2**63)

Ranges = Sequence[tuple[int, int]]
"""Inclusive ranges, sorted, disjoint."""


@dataclass(frozen=True, slots=True)
class HotTable:
    """A granted hot table. `columns` maps names to column types; rows inside `moved` live in cold files."""

    location: str
    """`hot.d_<uuid hex>`"""
    columns: dict[str, str]
    scope_column: str
    moved: Ranges


class BadScan(ValueError):
    """The cell asked for what the relation does not have."""


def table_of(location: str) -> str:
    """The table's name in schema `hot`. Raises BadScan for what is no location of a hot table."""
    schema, _, name = location.partition(".")
    if schema != "hot" or not name.startswith("d_") or UUID(hex=name[2:]).hex != name[2:]:
        raise BadScan(f"not the location of a hot table: {location!r}")
    return name


def statement(table: HotTable, columns: Sequence[str], tree: Any) -> str:
    """The SELECT for one scan. Raises BadScan for a column or a filter that is not the relation's."""
    name = table_of(table.location)
    if not columns or any(column not in table.columns for column in columns):
        raise BadScan("the scan names a column the relation does not have")
    selected = ", ".join(_selected(column, table.columns[column]) for column in columns)
    conditions = [part for part in (_seam(table), _render(tree, table.columns, [MAX_FILTER_PARTS])) if part]
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"SELECT {selected} FROM hot.{name}{where}"


def _selected(column: str, kind: str) -> str:
    """Columns whose Arrow form differs from the one DuckDB was told leave Postgres as text."""
    return f'"{column}"::text AS "{column}"' if kind in ("UInt256", "Json") else f'"{column}"'


def _seam(table: HotTable) -> str:
    """Rows outside `moved`, as gaps where they are few: Postgres can use an index for them."""
    if not table.moved:
        return ""
    column = f'"{table.scope_column}"'
    if len(table.moved) > MAX_GAPS:
        text = ",".join(f"[{start},{end}]" for start, end in table.moved)
        return f"NOT ('{{{text}}}'::int8multirange @> {column}::bigint)"
    parts, low = [], None
    for start, end in table.moved:
        lower = "" if low is None else f"{column} > {low} AND "
        parts.append(f"({lower}{column} < {start})")
        low = end
    parts.append(f"({column} > {low})")
    return f"({' OR '.join(parts)})"


def _render(tree: Any, columns: dict[str, str], budget: list[int]) -> str:
    """The condition of `tree`, or as much of it as Postgres decides alike; empty where that is nothing."""
    budget[0] -= 1
    if tree is None or budget[0] < 0:
        return ""
    if not isinstance(tree, list) or len(tree) != 3 or not isinstance(tree[0], str):
        raise BadScan("not a filter")
    operator, left, right = tree
    if operator in ("and", "or"):
        parts = [_render(left, columns, budget), _render(right, columns, budget)]
        if operator == "or" and not all(parts):
            return ""
        return f"({f' {operator.upper()} '.join(filter(None, parts))})" if any(parts) else ""
    return _comparison(operator, left, right, columns)


def _comparison(operator: str, left: Any, right: Any, columns: dict[str, str]) -> str:
    if operator not in _COMPARE or not _is_node(left, "field") or not isinstance(right, list) or len(right) != 2:
        return ""
    column, (tag, value) = left[1], right
    kind = columns.get(column)
    if kind is None:
        raise BadScan("the filter names a column the relation does not have")
    literal = _literal(kind, operator, tag, value)
    return f'"{column}" {_COMPARE[operator]} {literal}' if literal else ""


def _is_node(part: Any, tag: str) -> bool:
    return isinstance(part, list) and len(part) == 2 and part[0] == tag and isinstance(part[1], str)


def _literal(kind: str, operator: str, tag: Any, value: Any) -> str:
    """`value` as a literal that Postgres compares with a column of `kind` as DuckDB does; empty where it cannot."""
    if kind in ("Int32", "Int64"):
        return str(value) if type(value) is int and value in _INT64 else ""
    if kind == "Bool":
        return str(value).lower() if type(value) is bool and operator in ("=", "!=") else ""
    if kind == "Timestamp" and tag == "instant" and isinstance(value, str):
        return _instant(value)
    if kind in ("Hex", "Text") and isinstance(value, str) and tag == "scalar":
        return _text(value, operator)
    return ""


def _text(value: str, operator: str) -> str:
    if "\0" in value or "\\" in value:
        return ""
    quoted = "'" + value.replace("'", "''") + "'"
    return quoted if operator in ("=", "!=") else f'{quoted} COLLATE "C"'  # DuckDB orders text by bytes


def _instant(value: str) -> str:
    with contextlib.suppress(ValueError):
        moment = datetime.datetime.fromisoformat(value)
        if moment.tzinfo is not None:
            return f"'{moment.astimezone(datetime.UTC).isoformat()}'::timestamptz"
    return ""


class HotConnections:
    """Makes connections for scans. The first stays open and is never used: the driver asks the server for its types
    once
    for all connections that are made from one, which is most of what a connection costs."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._lock = threading.Lock()
        self._first: adbc.Connection | None = None

    def open(self) -> adbc.Connection:
        """A new connection, in a transaction that has not begun to read. Raises Unavailable."""
        try:
            with self._lock:
                if self._first is None:
                    self._first = adbc.connect(self._dsn, autocommit=True)
                first = self._first
            return first.adbc_clone()
        except adbc_driver_manager.Error as error:
            raise Unavailable("the data database cannot be reached") from error

    def close(self) -> None:
        """Close the first; connections made from it close themselves."""
        with self._lock:
            if self._first is not None:
                self._first.close()
                self._first = None


class HotReader:
    """Reads hot rows of one query's snapshot, each scan on a connection and a thread of its own.

    A scan that the cell leaves early is canceled, which ends its transaction; scans therefore share a snapshot
    (`pg_export_snapshot`), not a connection.
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
        """Start a scan; returns the read end of a pipe of Arrow IPC. `count` is told the rows of each batch."""
        connection, cursor, reader = self._start(sql)
        read_end, write_end = os.pipe()
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
        """Cancel what still runs and wait for the threads to leave; who reads the pipes must be gone by now."""
        self.cancel()
        for thread in self._threads:
            thread.join(timeout=5)

    def _start(self, sql: str) -> tuple[adbc.Connection, adbc.Cursor, pa.RecordBatchReader]:
        connection = self._connections.open()
        cursor = connection.cursor()
        try:
            with self._lock:
                if self._canceled:
                    raise Unavailable("the query was canceled", code="QueryCanceled")
                self._open.add(connection)
            for step in self._begin():
                cursor.execute(step)
            cursor.adbc_statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(_BATCH_BYTES)})
            cursor.execute(sql)
            return connection, cursor, cursor.fetch_record_batch()
        except BaseException as error:
            self._leave(connection, cursor)
            if isinstance(error, adbc_driver_manager.Error):
                raise Unavailable("the data database gave no rows") from error
            raise

    def _begin(self) -> tuple[str, ...]:
        left = max(0.0, self._deadline - time.monotonic())
        return (
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
            f"SET TRANSACTION SNAPSHOT '{self._snapshot}'",
            f"SET LOCAL statement_timeout = {int(left * 1000) + 1}",
        )

    def _leave(self, connection: adbc.Connection, *parts: Any) -> None:
        """Close `parts`, then the connection."""
        with self._lock:
            self._open.discard(connection)
        for part in (*parts, connection):
            with contextlib.suppress(OSError, adbc_driver_manager.Error):
                part.close()

    def _pump(
        self,
        connection: adbc.Connection,
        cursor: adbc.Cursor,
        reader: pa.RecordBatchReader,
        write_end: int,
        count: Callable[[int], None],
    ) -> None:
        """Copy batches into the pipe. Closing without the end mark tells the cell that the stream is cut short."""
        sink = os.fdopen(write_end, "wb", buffering=0)
        try:
            schema = pa.schema([pa.field(f.name, _plain(f.type)) for f in reader.schema])
            stream = pa.ipc.new_stream(sink, schema)
            for batch in reader:
                arrays = [column.cast(kind) for column, kind in zip(batch.columns, schema.types, strict=True)]
                stream.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
                count(batch.num_rows)
                self.bytes += batch.nbytes
            stream.close()
        except (OSError, pa.ArrowException, adbc_driver_manager.Error):
            with contextlib.suppress(adbc_driver_manager.Error):
                cursor.adbc_cancel()
        finally:
            self._leave(connection, sink, cursor)


def _plain(kind: pa.DataType) -> pa.DataType:
    """Arrow's type as DuckDB was told it: instants in UTC, text without extension types."""
    if isinstance(kind, pa.BaseExtensionType):
        return kind.storage_type
    return pa.timestamp("us", tz="UTC") if pa.types.is_timestamp(kind) else kind
