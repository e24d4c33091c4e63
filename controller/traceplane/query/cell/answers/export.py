"""An answer beyond the inline bounds: one Parquet file, sent to the broker in pieces while it is made.

A cell may write no file, and keeps one row group in memory.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq
from duckdb.sqltypes import DuckDBPyType

from traceplane.query.cell.answers import columnar

GROUP_ROWS = 64 * 1024
GROUP_BYTES = 32 * 1024 * 1024
PIECE_BYTES = 1024 * 1024


class ExportTooLarge(RuntimeError):
    """The file would be larger than one answer may be."""


def export(
    send: Callable[[bytes], None],
    columns: Sequence[tuple[str, DuckDBPyType]],
    schema: pa.Schema,
    batches: Iterable[pa.RecordBatch],
    versions: str,
    max_bytes: int,
) -> int:
    """Write all of `batches` and `send` the file's bytes; returns the number of rows.

    Raises ExportTooLarge, NotInParquet.
    """
    described = schema.with_metadata({columnar.VERSIONS: versions.encode()})
    pieces = _Pieces(send, max_bytes)
    rows = 0
    with columnar.parquet_of(columns):
        writer = pq.ParquetWriter(pa.PythonFile(pieces, mode="w"), described, compression="zstd")
        for group in _groups(batches):
            table = pa.Table.from_batches(group).replace_schema_metadata(described.metadata)
            writer.write_table(table, row_group_size=table.num_rows)
            rows += table.num_rows
        writer.close()
    pieces.finish()
    return rows


def _groups(batches: Iterable[pa.RecordBatch]) -> Iterator[list[pa.RecordBatch]]:
    """Batches gathered to row groups worth reading."""
    group: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        group.append(batch)
        rows += batch.num_rows
        size += batch.nbytes
        if rows >= GROUP_ROWS or size >= GROUP_BYTES:
            yield group
            group, rows, size = [], 0, 0
    if group:
        yield group


class _Pieces(io.RawIOBase):
    """A file that only grows, cut into pieces."""

    def __init__(self, send: Callable[[bytes], None], max_bytes: int) -> None:
        self._send = send
        self._left = max_bytes
        self._buffer = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        """Take the next bytes."""
        view = memoryview(data)  # type: ignore[arg-type]
        self._left -= view.nbytes
        if self._left < 0:
            raise ExportTooLarge
        self._buffer += view
        while len(self._buffer) >= PIECE_BYTES:
            self._send(bytes(self._buffer[:PIECE_BYTES]))
            del self._buffer[:PIECE_BYTES]
        return view.nbytes

    def finish(self) -> None:
        """Send what is left."""
        if self._buffer:
            self._send(bytes(self._buffer))
            self._buffer.clear()
