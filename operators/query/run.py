"""Entry point of a query: run the statement, check its answer, write it, commit by manifest.

The statement runs in the query service, in a process that holds no credential; the worker sees its answer only. So
a statement can do no more than any user's query, and reads exactly the versions that the task's token
lists.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

from operators.query.config import QueryConfig
from operators.query.statement import shape
from traceplane_sdk import wire
from traceplane_sdk.commit import PartitionCommit
from traceplane_sdk.context import Context, Result
from traceplane_sdk.errors import OperatorError
from traceplane_sdk.parquet import GROUP_ROWS, arrow_schema, row_groups
from traceplane_sdk.partition_files import PartitionFiles
from traceplane_sdk.partition_rows import RowCheck
from traceplane_sdk.queries import QueryAnswer

_REMEDY = "bound the statement by $partition_start and $partition_end"


def run(ctx: Context) -> Result:
    """Write the answer for the task's partition."""
    partition = ctx.trigger().partition
    if partition is None or ctx.io.scratch is None:
        raise OperatorError("BadTask", "the task names no partition, or there is no scratch disk", retryable=False)
    config: QueryConfig = ctx.config
    (output,) = ctx.task.outputs
    wanted = shape(output.columns, output.sort_by, partition)
    answer = ctx.query(config.sql, seconds=config.timeout_seconds, shape=wanted)
    commit = PartitionCommit(ctx.cold(), ctx.task, output, partition, ctx.io.crash_point)
    committed = _write(ctx, answer, commit)
    ctx.log("partition written", output=output.name, partition=partition.key, rows=committed.rows)
    return Result(outputs=[committed], events=[wire.Event(output=output.name, partition=partition)])


def _write(ctx: Context, answer: QueryAnswer, commit: PartitionCommit) -> wire.CommittedOutput:
    """The answer as files of the dataset: its schema, its row groups, its marks."""
    schema = arrow_schema(commit.output.columns)
    # Types first, NULLs later: a NULL that must not be is the check's to report.
    nullable = pa.schema([field.with_nullable(True) for field in schema])
    check = RowCheck(commit.output, commit.partition, commit.output.sort_by, remedy=_REMEDY)
    files = PartitionFiles(commit, answer.path.parent)
    with pq.ParquetFile(answer.path) as answered:
        batches = (batch.cast(nullable) for batch in answered.iter_batches(GROUP_ROWS))
        for table in row_groups(batches, schema, GROUP_ROWS):
            ctx.control.check()
            check.take(table)
            files.write(table)
    answer.path.unlink()
    return files.seal()
