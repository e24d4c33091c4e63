"""Hot rows, as DuckDB in the cell sees them: an Arrow dataset whose scan asks the broker.

DuckDB hands an Arrow dataset the columns of each scan. This one sends them to the broker, with the filter of the
plan, and reads Arrow IPC from the pipe it gets back.

It takes no filter of a statement from DuckDB, since some that DuckDB may push fail in an Arrow scan. One comes all
the same while a statement runs: the value that a join with a single row compares with, such as the greatest block.
DuckDB builds it by calling `pyarrow.dataset.field`, `pyarrow.dataset.scalar` and operators on the results.
`trace_filters` replaces the two functions in this process with ones that build a plain tree beside Arrow's own
expression.
"""

from __future__ import annotations

import datetime
import operator
import os
import socket
import threading
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

from traceplane.query import wire
from traceplane.query.cell import plan

_field, _scalar = ds.field, ds.scalar


def _traced(name: str, combine: Callable[[Any, Any], Any]) -> Callable[[Traced, Any], Traced]:
    """The method of `Traced` for one operator of Arrow's expressions."""

    def method(self: Traced, other: Any) -> Traced:
        arrow, tree = (other.arrow, other.tree) if isinstance(other, Traced) else (other, None)
        # Of an `and` one side may be left out: more rows come than match, and Arrow filters them here.
        if name in ("and", "or"):
            return Traced(combine(self.arrow, arrow), plan.joined(name, [_condition(self.tree), _condition(tree)]))
        both = [name, self.tree, tree] if self.tree is not None and tree is not None else None
        return Traced(combine(self.arrow, arrow), both)

    return method


class Traced:
    """An Arrow expression with its tree: `["field", name]`, `["scalar", value]`, `[operator, left, right]`.

    A part that has no tree is None, and so is everything above it but `and`, which keeps its other side.
    """

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, arrow: Any, tree: list[Any] | None) -> None:
        self.arrow = arrow
        self.tree = tree

    __gt__ = _traced(">", operator.gt)
    __ge__ = _traced(">=", operator.ge)
    __lt__ = _traced("<", operator.lt)
    __le__ = _traced("<=", operator.le)
    __eq__ = _traced("=", operator.eq)  # type: ignore[assignment]
    __ne__ = _traced("!=", operator.ne)  # type: ignore[assignment]
    __and__ = _traced("and", operator.and_)
    __or__ = _traced("or", operator.or_)

    def __invert__(self) -> Traced:
        return Traced(~self.arrow, None)

    # Whatever else DuckDB calls (`is_null`, `isin`, ...) goes to Arrow's expression alone.
    def __getattr__(self, name: str) -> Callable[..., Traced]:
        method = getattr(self.arrow, name)
        return lambda *args, **kwargs: Traced(method(*(_arrow(a) for a in args), **kwargs), None)


def _condition(tree: list[Any] | None) -> list[Any] | None:
    """`tree` where it says something of a row: what compares with NaN may be true or false of every one."""
    return tree if tree is not None and tree[0] not in ("scalar", "instant", "field") else None


def _arrow(value: Any) -> Any:
    return value.arrow if isinstance(value, Traced) else value


def trace_filters() -> None:
    """Make filters that DuckDB builds in this process traceable. Call before the first scan."""
    ds.field = lambda *path: Traced(_field(*path), _column(path))
    ds.scalar = lambda value: Traced(_scalar(value), _literal(value))


def _column(path: Any) -> list[Any] | None:
    """The tree of a column. DuckDB gives its path as a tuple of one name; a field of a struct has no tree."""
    while isinstance(path, tuple) and len(path) == 1:
        (path,) = path
    return ["field", path] if isinstance(path, str) else None


def _literal(value: Any) -> list[Any] | None:
    """The tree of a constant; None for kinds the broker does not translate (floats, decimals, nested values)."""
    if isinstance(value, pa.Scalar):
        try:
            value = value.as_py()
        except (OverflowError, ValueError):
            return None  # a time that Python cannot hold; Arrow compares it all the same
    if isinstance(value, bool | int | str):
        return ["scalar", value]
    if isinstance(value, datetime.datetime) and value.tzinfo is not None:
        return ["instant", value.isoformat()]
    return None


class BrokerClient:
    """The cell's end of the channel while a statement runs: one request at a time, from any of DuckDB's threads."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._lock = threading.Lock()
        self.error: str | None = None
        """Why the broker could not give rows; reported instead of DuckDB's wrapping of it."""

    def scan(self, relation: int, columns: list[str], tree: list[Any] | None) -> pa.RecordBatchReader:
        """Rows of hot relation number `relation`. Raises RuntimeError where the broker gives none."""
        with self._lock:
            wire.send(self._channel, wire.HotScan(relation, columns, tree))
            reply, descriptors = wire.receive(self._channel, wire.HotRows, descriptors=1)
        if not descriptors:
            self.error = reply.error or "the broker gave no rows"
            raise RuntimeError(self.error)
        return _HotRows(descriptors[0], self).reader()

    def send_piece(self, data: bytes) -> None:
        """Hand over the next bytes of an exported answer."""
        with self._lock:
            wire.send(self._channel, wire.Piece(data))


class _HotRows:
    """Arrow batches from a pipe; a stream that ends early is an error, never a shorter answer."""

    def __init__(self, descriptor: int, broker: BrokerClient) -> None:
        self._broker = broker
        self._stream = pa.ipc.open_stream(os.fdopen(descriptor, "rb", buffering=1024 * 1024))

    def reader(self) -> pa.RecordBatchReader:
        return pa.RecordBatchReader.from_batches(self._stream.schema, self._batches())

    def _batches(self) -> Any:
        try:
            yield from self._stream
        except pa.ArrowException as error:
            self._broker.error = "hot rows could not be read to their end"
            raise RuntimeError(self._broker.error) from error


_NO_PUSHDOWN = pa.field("__no_pushdown", pa.string_view())
"""A column that nobody reads. Arrow cannot filter rows with one of its type, and therefore DuckDB pushes no filter
of a statement into a scan of a table that has one (DuckDB pull request 20703)."""


class _Unfiltered:
    """A scanner as far as DuckDB uses one. Of Arrow's own, threads would pass on each batch; it is for filters."""

    def __init__(self, reader: pa.RecordBatchReader) -> None:
        self._reader = reader

    def to_reader(self) -> pa.RecordBatchReader:
        return self._reader


class HotRelation(ds.Dataset):  # type: ignore[misc]
    """What `register` gives DuckDB for a hot relation."""

    def __init__(self, schema: pa.Schema, relation: int, broker: BrokerClient, tree: list[Any] | None) -> None:
        """`tree` is a filter that lets every row through that the statement needs."""
        self._schema = schema.append(_NO_PUSHDOWN)
        self._relation = relation
        self._broker = broker
        self._tree = tree

    @property
    def schema(self) -> pa.Schema:
        return self._schema

    def scanner(self, columns: list[str] | None = None, filter: Traced | None = None, **_: Any) -> Any:
        """Called by DuckDB for each scan of the relation."""
        wanted = list(columns) if columns else [self._schema.names[0]]  # none are wanted where rows are counted
        if filter is None:
            return _Unfiltered(self._broker.scan(self._relation, wanted, self._tree))
        tree = plan.joined("and", [self._tree, _condition(filter.tree)])
        # What was pushed once more, and whole: DuckDB does not apply it, and the broker may let more rows through
        # than it names, because it translates only what Postgres compares exactly alike.
        reader = self._broker.scan(self._relation, wanted, tree)
        return ds.Scanner.from_batches(reader, columns=wanted, filter=filter.arrow)
