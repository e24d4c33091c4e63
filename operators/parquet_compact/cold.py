"""Reads rows that moved to cold files before, checked against what was committed.

The claim names a partition by its location and the hash of its manifest, the manifest its files and theirs. A file
is on the scratch disk while it is read, one at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.fs as fs
import pyarrow.parquet as pq

from traceplane_sdk import wire
from traceplane_sdk.errors import OperatorError
from traceplane_sdk.manifest import MANIFEST, Manifest
from traceplane_sdk.parquet import arrow_schema
from traceplane_sdk.where import Where, arrow

if TYPE_CHECKING:
    from traceplane_sdk.objects import ObjectStore

BATCH_ROWS = 8192
_ALL: Where = {}


@dataclass
class ColdFiles:
    """The files of cold partitions, read in the order in which they were written."""

    store: ObjectStore
    scratch: Path

    def batches(
        self,
        source: wire.TaskInput,
        columns: Sequence[wire.ColumnDef],
        part: wire.ColdPartition,
        low: int,
        high: int,
        where: Where = _ALL,
    ) -> Iterator[pa.RecordBatch]:
        """`columns` of the rows with scope values `low` to `high`, which never decrease; of those the ones that
        `where` lets through, which is of these columns."""
        schema = arrow_schema(columns)
        names = list(dict.fromkeys((*schema.names, source.scope_column)))
        condition = arrow(where, {column.name: column.type for column in columns})
        last: int | None = None
        for path in self._files(part):
            with pq.ParquetFile(path) as file:
                if missing := set(names) - set(file.schema_arrow.names):
                    raise _wrong(part, f"lack the columns {', '.join(sorted(missing))} of {source.name}")
                for batch in file.iter_batches(BATCH_ROWS, row_groups(path, condition), columns=names):
                    last = _ordered(part, batch.column(source.scope_column), last)
                    scope = batch.column(source.scope_column)
                    wanted = batch.filter(pc.and_(pc.greater_equal(scope, low), pc.less_equal(scope, high)))
                    wanted = wanted if condition is None else wanted.filter(condition)
                    yield wanted.select(schema.names).cast(schema)

    def _files(self, part: wire.ColdPartition) -> Iterator[Path]:
        encoded = self.store.get_bytes(part.location + MANIFEST, part.manifest_sha256)
        for file in msgspec.json.decode(encoded, type=Manifest).files:
            path = self.scratch / f"cold_{file.path}"
            try:
                self.store.get_file(part.location + file.path, path, file.sha256)
                yield path
            finally:
                path.unlink(missing_ok=True)


def row_groups(path: Path, condition: pc.Expression | None) -> list[int] | None:
    """The row groups that may have rows of `condition`, by their statistics; None for all."""
    if condition is None:
        return None
    whole = ds.ParquetFileFormat().make_fragment(str(path), filesystem=fs.LocalFileSystem())
    return [group.id for group in whole.subset(condition).row_groups]


def _ordered(part: wire.ColdPartition, scope: Any, last: int | None) -> int | None:
    """The last value of `scope`. Raises where one is less than the one before: rows would be committed unsorted."""
    if not len(scope):
        return last
    values = pa.concat_arrays([pa.array([scope[0].as_py() if last is None else last], scope.type), scope])
    if pc.any(pc.less(values[1:], values[:-1])).as_py():
        raise _wrong(part, "are not sorted by their scope column")
    return int(values[-1].as_py())


def _wrong(part: wire.ColdPartition, what: str) -> OperatorError:
    return OperatorError("ColdFilesWrong", f"the files below {part.location} {what}", retryable=False)
