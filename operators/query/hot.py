"""An answer into a hot table: each range in one fenced transaction, with the event that announces it.

With `Append` the rows of keys that are there already stay as they are, and so do those that the answer does not
have any more. So a repeat adds nothing, whatever became of the attempt before. A correction takes rows back: a task
that an invalidation made replaces its range.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from traceplane_sdk import wire
from traceplane_sdk.context import Context
from traceplane_sdk.errors import OperatorError
from traceplane_sdk.operator import ColumnType
from traceplane_sdk.parquet import arrow_schema
from traceplane_sdk.partition_rows import RowCheck
from traceplane_sdk.queries import QueryAnswer

REMEDY = "bound the statement by $partition_start and $partition_end"
MAX_ROWS = 250_000
"""Of one range: they are held in memory, since a range is replaced as a whole."""

_VALUES: Mapping[str, Callable[[str], Any]] = {ColumnType.UINT256: int, ColumnType.JSON: json.loads}
"""What is text in an answer and another type in Postgres."""


def write(ctx: Context, output: wire.TaskOutput, part: wire.Partition, answer: QueryAnswer) -> None:
    """Make the answer all that the output holds of a range, or add what is new in it."""
    if answer.rows > MAX_ROWS:
        raise OperatorError(
            "AnswerTooLarge",
            f"{answer.rows} rows for {part.key}, and a hot table takes {MAX_ROWS} at once: lower config.sliceSize, "
            "or emit smaller partitions",
            retryable=False,
        )
    for moved in output.relocated:
        if any(low <= part.end and part.start <= high for low, high in moved.ranges):
            raise OperatorError(
                "RangeRelocated",
                f"{part.key} was compacted into version {moved.cold_version}, where readers look for it: "
                "nobody would see rows written here",
                retryable=False,
            )
    rows = _rows(ctx, output, part, answer)
    ordered = ctx.trigger().partition is None
    adds = ctx.task.update_strategy == "Append" and ctx.task.cause != "Invalidation"
    with ctx.hot() as transaction:
        if adds:
            written = transaction.append(output.name, rows)
        else:
            transaction.replace(output.name, part.start, part.end, rows)
            written = len(rows)
        if output.sparse:
            transaction.record_gaps(output.name, part.start, part.end)
        if ordered:
            transaction.position(part.end)
        transaction.event(_event(ordered, output, part))
    ctx.log("range written", output=output.name, range=part.key, rows=written)


def _event(ordered: bool, output: wire.TaskOutput, part: wire.Partition) -> wire.Event:
    if not ordered:
        return wire.Event(output=output.name, partition=part)
    return wire.Event(output=output.name, cursor=part.end, final=part.end)


def _rows(
    ctx: Context, output: wire.TaskOutput, part: wire.Partition, answer: QueryAnswer
) -> list[tuple[Any, ...]]:
    """The checked rows, each value as COPY takes it."""
    schema = pa.schema([field.with_nullable(True) for field in arrow_schema(output.columns)])
    check = RowCheck(output, part, output.sort_by, remedy=REMEDY)
    rows: list[tuple[Any, ...]] = []
    with pq.ParquetFile(answer.path) as answered:
        for batch in answered.iter_batches():
            ctx.control.check()
            table = pa.Table.from_batches([batch.cast(schema)])
            check.take(table)
            columns = [_values(table, column) for column in output.columns]
            rows += zip(*columns, strict=True)
    answer.path.unlink()
    return rows


def _values(table: pa.Table, column: wire.ColumnDef) -> list[Any]:
    values: list[Any] = table.column(column.name).to_pylist()
    convert = _VALUES.get(column.type)
    return values if convert is None else [None if value is None else convert(value) for value in values]
