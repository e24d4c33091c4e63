"""Reads hot tables as Arrow batches, all of them in one snapshot and in constant memory.

ADBC's Postgres driver turns COPY's binary stream into Arrow without a Python object per value. One REPEATABLE READ
transaction serves every output of a task, so blocks, transactions and logs are of one moment.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

from traceplane_sdk import database, where, wire
from traceplane_sdk.columns import FORMS

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_BYTES = 4 * 1024 * 1024
"""What the driver gathers before it hands on a batch."""


class Snapshot:
    """An open read-only snapshot of the data database."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def count(self, table: str, column: str, start: int, end: int) -> tuple[int, int]:
        """Rows, and distinct values of `column`, for values `start` to `end`."""
        name = quoted(column)
        row = self._one(
            f"select count(*), count(distinct {name}) from {table_name(table)}"
            f" where {name} between {int(start)} and {int(end)}"
        )
        return int(row[0]), int(row[1])

    def empty(self, version: str, start: int, end: int) -> int:
        """How many values of `start` to `end` are recorded as empty in a sparse dataset version."""
        value = self._one(
            f"select coalesce(sum(least(high, {int(end)}) - greatest(low, {int(start)}) + 1), 0)::bigint"
            f" from trace.empty_ranges where dataset_version_id = '{UUID(version)}'"
            f" and low <= {int(end)} and high >= {int(start)}"
        )[0]
        return int(value)

    def highest(self, table: str, column: str) -> int | None:
        """The highest value of `column`."""
        value = self._one(f"select max({quoted(column)}) from {table_name(table)}")[0]
        return None if value is None else int(value)

    def batches(
        self, source: wire.TaskInput, order: Sequence[str], start: int, end: int
    ) -> Iterator[pa.RecordBatch]:
        """The rows of scope values `start` to `end`, in `order`."""
        with self._connection.cursor() as cursor:
            cursor.adbc_statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(BATCH_BYTES)})
            cursor.execute(select(source, order, start, end))
            yield from cursor.fetch_record_batch()

    def _one(self, query: str) -> Any:
        with self._connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchone()


@contextmanager
def snapshot(dsn: str) -> Iterator[Snapshot]:
    """Open a snapshot; it ends with the block. Raises DatabaseUnavailable."""
    with database.connect_arrow(dsn) as connection:
        with connection.cursor() as cursor:
            cursor.execute("set transaction isolation level repeatable read, read only")
        yield Snapshot(connection)
        connection.rollback()


def select(source: wire.TaskInput, order: Sequence[str], start: int, end: int) -> str:
    """The query of one input. Names and constants are quoted, the bounds are integers: nothing else enters it."""
    columns = ", ".join(_selected(column) for column in source.columns)
    table, by = table_name(source.location), ", ".join(f"source.{quoted(name)}" for name in order)
    scope = f"source.{quoted(source.scope_column)}"
    rows = f"{scope} between {int(start)} and {int(end)}"
    if condition := where.postgres(source.where, {column.name: column.type for column in source.columns}):
        rows = f"{rows} and {condition}"
    return f"select {columns} from {table} as source where {rows} order by {by}"


def _selected(column: wire.ColumnDef) -> str:
    name = quoted(column.name)
    return f"{name}::text as {name}" if FORMS[column.type].cast_to_text else name


def quoted(name: str) -> str:
    """A quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def table_name(location: str) -> str:
    """`hot.d_<hex>` quoted."""
    return ".".join(quoted(part) for part in location.split("."))
