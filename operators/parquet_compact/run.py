"""Entry point of the compaction: reads final rows, writes Parquet, commits by manifest.

Rows go through memory a row group at a time and through the disk a file at a time, whatever the range's length.
What another version moved before is read from its files. Nothing hot is deleted here: the relocation that the
completion asks for commits with the cold partition, and the platform deletes the hot rows later, once no running
query can need them. Of an input with a `where` the files lack rows: they are a copy, and the platform relocates
nothing.
"""

from __future__ import annotations

from pathlib import Path

from operators.parquet_compact.cold import ColdFiles
from operators.parquet_compact.config import ParquetCompactConfig
from operators.parquet_compact.coverage import check_final, check_not_corrected, check_whole, is_witness
from operators.parquet_compact.rows import Rows
from operators.parquet_compact.segments import cold_ranges, segments
from operators.parquet_compact.source import snapshot
from traceplane_sdk import wire
from traceplane_sdk.commit import PartitionCommit
from traceplane_sdk.context import Context, Result
from traceplane_sdk.errors import OperatorError
from traceplane_sdk.parquet import arrow_schema, row_groups
from traceplane_sdk.partition_files import PartitionFiles


def run(ctx: Context) -> Result:
    """Compact the task's partition of every output."""
    partition = ctx.trigger().partition
    if partition is None or ctx.io.scratch is None:
        raise OperatorError("BadTask", "the task names no partition, or there is no scratch disk", retryable=False)
    pinned = {one.name: one for one in ctx.task.inputs if not one.trigger}
    moving = [pinned[output.name] for output in ctx.task.outputs]
    check_not_corrected(ctx.task.cause, list(pinned.values()), partition)
    store = ctx.cold()
    committed = []
    with snapshot(ctx.io.data_dsn()) as hot:
        rows = Rows(hot, ColdFiles(store, ctx.io.scratch))
        _check(rows, list(pinned.values()), partition)
        for output in ctx.task.outputs:
            commit = PartitionCommit(store, ctx.task, output, partition, ctx.io.crash_point)
            committed.append(_write(ctx, rows, pinned[output.name], commit))
            ctx.log("partition written", output=output.name, partition=partition.key, rows=committed[-1].rows)
    return Result(
        outputs=committed,
        events=[wire.Event(output=one.name, partition=partition) for one in committed],
        relocations=[
            wire.Relocation(
                input=one.position,
                output=one.name,
                delete_hot=ctx.config.delete_after_compact,
                cold=cold_ranges(segments(one, partition)),
            )
            for one in moving
        ],
    )


def _check(rows: Rows, inputs: list[wire.TaskInput], partition: wire.Partition) -> None:
    for one in inputs:
        if is_witness(one):
            check_final(one, partition, rows.hot.highest(one.location, one.scope_column))
            counted = rows.count(one, partition)
            empty = rows.hot.empty(one.version, partition.start, partition.end) if one.sparse else 0
            check_whole(one.name, partition, *counted, empty)


def _write(ctx: Context, rows: Rows, source: wire.TaskInput, commit: PartitionCommit) -> wire.CommittedOutput:
    """Stream one input into files."""
    config: ParquetCompactConfig = ctx.config
    schema = arrow_schema(commit.output.columns)
    files = PartitionFiles(commit, ctx.io.scratch or Path(), max_rows=config.max_rows_per_file)
    batches = rows.batches(source, commit.output.sort_by, commit.partition)
    for table in row_groups(batches, schema, min(config.row_group_rows, config.max_rows_per_file)):
        ctx.control.check()
        files.write(table)
    return files.seal()
