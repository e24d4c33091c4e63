"""What must hold before hot rows may be replaced by a file of them. Pure, given the counts.

After a compaction the file is the only copy, so a hole in it would be a loss. A dataset that states its finality
and is keyed by its scope column alone (such as blocks by height) has exactly one row per value, but for the values
that its writer recorded as empty; that makes it the witness for its range, and for the datasets written together
with it in one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence

from operators.parquet_compact.segments import within
from traceplane_sdk import wire
from traceplane_sdk.errors import OperatorError


def is_witness(source: wire.TaskInput) -> bool:
    """Whether the dataset has exactly one row for every value of its scope column that is not empty."""
    return source.finality_depth is not None and source.sort_by == [source.scope_column]


def check_whole(name: str, partition: wire.Partition, rows: int, distinct: int, empty: int) -> None:
    """Raise unless there is one row for each value of the partition but `empty` ones."""
    expected = partition.end - partition.start + 1 - empty
    if rows != expected or distinct != expected:
        raise OperatorError(
            "RangeNotWhole",
            f"{name} holds {rows} rows with {distinct} values in {partition.key}, where {expected} are due",
        )


def check_final(source: wire.TaskInput, partition: wire.Partition, highest: int | None) -> None:
    """Raise where the end of the partition may still be replaced by a reorg. `highest` value that has a hot row."""
    if any(low <= partition.end <= high for one in source.relocated for low, high in one.ranges):
        return  # only what is final is moved
    if source.final is not None:
        if partition.end > source.final:
            raise OperatorError(
                "RangeNotFinal",
                f"{source.name} is final up to {source.final}; the range {partition.key} may still change",
            )
        return
    if source.finality_depth is None:
        return
    if highest is None or partition.end > highest - source.finality_depth:
        raise OperatorError(
            "RangeNotFinal",
            f"{source.name} reaches to {highest}; with finality depth {source.finality_depth} the range "
            f"{partition.key} may still change",
        )


def check_not_corrected(cause: str, sources: Sequence[wire.TaskInput], partition: wire.Partition) -> None:
    """Raise where a correction of rows made the task and cold files have some of them: those are the rows before
    the correction."""
    for source in sources if cause == "Invalidation" else ():
        for relocated in source.relocated:
            for low, high in within(relocated.ranges, partition.start, partition.end):
                raise OperatorError(
                    "AlreadyCompacted",
                    f"{low}-{high} of {source.name} was compacted into version {relocated.cold_version} before its "
                    "rows were corrected",
                    retryable=False,
                )
