"""Entry point of a query: run the statement, check its answer, write it; a cold one is committed by manifest.

The statement runs in the query service, in a process that holds no credential; the worker sees its answer only. So
a statement can do no more than any user's query, and reads exactly the versions that the task's token
lists.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

from operators.query import hot
from operators.query.config import QueryConfig
from operators.query.slices import ranges
from operators.query.statement import shape
from traceplane_sdk import wire
from traceplane_sdk.commit import PartitionCommit
from traceplane_sdk.context import Context, Result
from traceplane_sdk.errors import OperatorError
from traceplane_sdk.hot import committed_position
from traceplane_sdk.parquet import GROUP_ROWS, arrow_schema, row_groups
from traceplane_sdk.partition_files import PartitionFiles
from traceplane_sdk.partition_rows import RowCheck
from traceplane_sdk.queries import QueryAnswer


def run(ctx: Context) -> Result:
    """Write the answer for the task's partition, or for what became final since the run before."""
    if ctx.io.scratch is None:
        raise OperatorError("BadTask", "there is no scratch disk", retryable=False)
    source = ctx.trigger()
    if source.partition is None and source.cursor is None:
        raise OperatorError("BadTask", "the task names neither a partition nor a cursor", retryable=False)
    config: QueryConfig = ctx.config
    (output,) = ctx.task.outputs
    if config.storage == "S3" and source.partition is not None:
        return _cold(ctx, output, source.partition)
    # Each slice commits how far the job is: a run that is ended midway is gone on with, not begun again.
    position = None if source.partition is not None else committed_position(ctx.connection(), ctx.task)
    for part in ranges(source, position, config.slice_size):
        ctx.control.check()
        hot.write(ctx, output, part, _answer(ctx, output, part))
    return Result()


def _answer(ctx: Context, output: wire.TaskOutput, part: wire.Partition) -> QueryAnswer:
    wanted = shape(output.columns, output.sort_by, part)
    return ctx.query(ctx.config.sql, seconds=ctx.config.timeout_seconds, shape=wanted)


def _cold(ctx: Context, output: wire.TaskOutput, partition: wire.Partition) -> Result:
    answer = _answer(ctx, output, partition)
    commit = PartitionCommit(ctx.cold(), ctx.task, output, partition, ctx.io.crash_point)
    committed = _write(ctx, answer, commit)
    ctx.log("partition written", output=output.name, partition=partition.key, rows=committed.rows)
    return Result(outputs=[committed], events=[wire.Event(output=output.name, partition=partition)])


def _write(ctx: Context, answer: QueryAnswer, commit: PartitionCommit) -> wire.CommittedOutput:
    """The answer as files of the dataset: its schema, its row groups, its marks."""
    schema = arrow_schema(commit.output.columns)
    # Types first, NULLs later: a NULL that must not be is the check's to report.
    nullable = pa.schema([field.with_nullable(True) for field in schema])
    check = RowCheck(commit.output, commit.partition, commit.output.sort_by, remedy=hot.REMEDY)
    files = PartitionFiles(commit, answer.path.parent)
    with pq.ParquetFile(answer.path) as answered:
        batches = (batch.cast(nullable) for batch in answered.iter_batches(GROUP_ROWS))
        for table in row_groups(batches, schema, GROUP_ROWS):
            ctx.control.check()
            check.take(table)
            files.write(table)
    answer.path.unlink()
    return files.seal()
