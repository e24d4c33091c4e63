"""Arrow schemas of datasets, and Parquet files worth reading.

Worth reading means: sorted, so that min/max statistics and the page index (Parquet's ColumnIndex and OffsetIndex)
let a reader skip; row groups of the size one DuckDB thread scans; zstd. Memory is bounded by one row group, and a
row group by rows and by bytes, since a row may carry a contract's code. Every field is marked with its column type.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from traceplane_sdk import wire
from traceplane_sdk.columns import FORMS, TYPE_MARK

GROUP_ROWS = 122_880
"""Rows in a row group; DuckDB's own default, one per scan thread."""
MAX_GROUP_BYTES = 64 * 1024 * 1024
"""Arrow bytes gathered before a row group is written though it has not all its rows yet."""


def arrow_schema(columns: Sequence[wire.ColumnDef]) -> pa.Schema:
    """The Arrow schema of a dataset's columns."""
    return pa.schema(
        pa.field(column.name, arrow_type(column.type), nullable=column.nullable, metadata={TYPE_MARK: column.type})
        for column in columns
    )


def arrow_type(column_type: str) -> pa.DataType:
    """The Arrow type of a column type. KeyError for a name that is none."""
    factory, *arguments = FORMS[column_type].arrow
    return getattr(pa, factory)(*arguments)


def row_groups(batches: Iterator[pa.RecordBatch], schema: pa.Schema, rows: int) -> Iterator[pa.Table]:
    """Regroup `batches` into tables of `rows` rows, fewer where the bytes bound strikes or the input ends."""
    pending: list[pa.RecordBatch] = []
    count = size = 0
    for batch in batches:
        # The driver's schema says that every column may be null; the dataset's knows better.
        remaining = pa.RecordBatch.from_arrays(batch.columns, schema=schema)
        while remaining.num_rows:
            taken = remaining.slice(0, rows - count)
            remaining = remaining.slice(taken.num_rows)  # a view: nothing is copied
            pending.append(taken)
            count += taken.num_rows
            size += taken.nbytes
            if count >= rows or size >= MAX_GROUP_BYTES:
                yield pa.Table.from_batches(pending, schema)
                pending, count, size = [], 0, 0
    if pending:
        yield pa.Table.from_batches(pending, schema)


class ParquetFile:
    """One file being written."""

    def __init__(self, path: Path, schema: pa.Schema, sort_by: Sequence[str]) -> None:
        self.path = path
        self.rows = 0
        self._sink = pa.OSFile(str(path), "wb")
        order = pq.SortingColumn.from_ordering(schema, [(name, "ascending") for name in sort_by])
        self._writer: Any = pq.ParquetWriter(
            self._sink,
            schema,
            compression="zstd",
            compression_level=3,
            write_statistics=True,
            write_page_index=True,
            sorting_columns=order,
        )

    @property
    def bytes(self) -> int:
        """Bytes written so far."""
        return int(self._sink.tell())

    def write(self, table: pa.Table) -> None:
        """Add `table` as one row group."""
        self._writer.write_table(table, row_group_size=max(1, table.num_rows))
        self.rows += table.num_rows

    def close(self) -> None:
        """Write the footer."""
        self._writer.close()
        self._sink.close()
