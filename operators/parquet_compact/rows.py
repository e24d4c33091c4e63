"""The rows of an input, wherever they lie: one stream of hot rows and of cold files, in the order of the output.

The segments of a partition are apart by the scope column, and both kinds are sorted by it first. So they follow one
another, and nothing is merged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from operators.parquet_compact.cold import ColdFiles
from operators.parquet_compact.segments import segments
from operators.parquet_compact.source import Snapshot
from traceplane_sdk import wire
from traceplane_sdk.errors import OperatorError


@dataclass(frozen=True)
class Rows:
    """Reads inputs of one task."""

    hot: Snapshot
    cold: ColdFiles

    def count(self, source: wire.TaskInput, partition: wire.Partition) -> tuple[int, int]:
        """Rows of the partition, and distinct values of the scope column, whatever the input's `where`: a dataset
        is whole or it is not."""
        scope = [column for column in source.columns if column.name == source.scope_column]
        rows = distinct = 0
        for part in segments(source, partition):
            if part.cold is None:
                counted = self.hot.count(source.location, source.scope_column, part.low, part.high)
                rows, distinct = rows + counted[0], distinct + counted[1]
                continue
            last = None
            for batch in self.cold.batches(source, scope, part.cold, part.low, part.high):
                values = pc.unique(batch.column(0))
                rows += batch.num_rows
                # Sorted, so only the first may have been counted with the batch before.
                distinct += len(values) - (len(values) > 0 and values[0].as_py() == last)
                last = values[-1].as_py() if len(values) else last
        return rows, distinct

    def batches(
        self, source: wire.TaskInput, order: Sequence[str], partition: wire.Partition
    ) -> Iterator[pa.RecordBatch]:
        """The rows of the partition that the input's `where` lets through, in `order`."""
        found = segments(source, partition)
        if len(found) > 1 and order[0] != source.scope_column:
            raise OperatorError(
                "NotSortedByScope",
                f"{source.name} is sorted by {order[0]} first, and rows of {partition.key} lie in several places "
                f"that follow one another by {source.scope_column} only",
                retryable=False,
            )
        for part in found:
            if part.cold is None:
                yield from self.hot.batches(source, order, part.low, part.high)
            else:
                yield from self.cold.batches(source, source.columns, part.cold, part.low, part.high, source.where)
