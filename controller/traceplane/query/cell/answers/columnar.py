"""Answers as Arrow and as Parquet: columns from DuckDB to the reader, without a row in Python.

Arrow is an IPC stream (https://arrow.apache.org/docs/format/Columnar.html), Parquet one file with zstd. Both carry
the types as DuckDB hands them to Arrow, except those that `lossless` turned into text; and both name what they were
read from in the schema's metadata, under `trace.versions`, so that a file still says so apart from its answer.
"""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq
from duckdb.sqltypes import DuckDBPyType

from traceplane.query.cell.answers import lossless
from traceplane.query.cell.answers.rows import Rendered

FORMATS = ("arrow", "parquet")
VERSIONS = b"trace.versions"


class NotInParquet(ValueError):
    """A column that Parquet cannot hold. Its text speaks of the statement only."""


@contextmanager
def parquet_of(columns: Sequence[tuple[str, DuckDBPyType]]) -> Iterator[None]:
    """Write Parquet of `columns` in this context. Raises NotInParquet, which names the column."""
    for name, kind in columns:
        if lossless.contains(kind, "union"):
            raise _not_in_parquet(name, kind, "which Parquet cannot hold")
    try:
        yield
    except pa.ArrowInvalid as error:
        if "casting timestamp" not in str(error):
            raise
        # Parquet has no seconds as a unit of time: they become milliseconds, which an infinity does not survive.
        for name, kind in columns:
            if lossless.contains(kind, "timestamp_s"):
                raise _not_in_parquet(name, kind, "of which Parquet cannot hold a value") from None
        raise


def _not_in_parquet(name: str, kind: DuckDBPyType, why: str) -> NotInParquet:
    return NotInParquet(f'column "{name[:200]}" is of type {str(kind)[:200]}, {why}: cast it to VARCHAR')


def render(
    form: str,
    columns: Sequence[tuple[str, DuckDBPyType]],
    batches: pa.RecordBatchReader,
    versions: str,
    *,
    max_rows: int,
    max_bytes: int,
) -> Rendered:
    """At most `max_rows` rows in at most `max_bytes`; `truncated` says whether rows are missing.

    `max_bytes` counts encoded record batches. A Parquet file is smaller than its batches, but for very small ones,
    for which the broker's own bound leaves room. Raises NotInParquet.
    """
    schema = batches.schema.with_metadata({VERSIONS: versions.encode()})
    cut = _Cut(max_rows, max_bytes)
    sink = io.BytesIO()
    if form == "arrow":
        with pa.ipc.new_stream(sink, schema) as stream:
            for batch in cut.of(batches):
                stream.write_batch(batch.replace_schema_metadata(schema.metadata))
    else:
        with parquet_of(columns), pq.ParquetWriter(sink, schema, compression="zstd") as file:
            for batch in cut.of(batches):
                file.write_batch(batch.replace_schema_metadata(schema.metadata))
    return Rendered(sink.getvalue(), cut.rows, cut.truncated)


class _Cut:
    """The first rows of a stream, as many as the bounds allow."""

    def __init__(self, max_rows: int, max_bytes: int) -> None:
        self._rows_left = max_rows
        self._bytes_left = max_bytes
        self.rows = 0
        self.truncated = False

    def of(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The batches, the last one shortened; stops reading where the bounds are reached."""
        for batch in batches:
            count = _fitting(batch, min(batch.num_rows, self._rows_left), self._bytes_left)
            if count:
                kept = batch.slice(0, count)
                self._rows_left -= count
                self._bytes_left -= pa.ipc.get_record_batch_size(kept)
                self.rows += count
                yield kept
            if count < batch.num_rows:
                self.truncated = True
                return


def _fitting(batch: pa.RecordBatch, most: int, room: int) -> int:
    """How many of the first `most` rows fit `room` bytes, found by halving."""

    def size(count: int) -> int:
        return int(pa.ipc.get_record_batch_size(batch.slice(0, count)))

    return most if size(most) <= room else bisect_right(range(1, most), room, key=size)
