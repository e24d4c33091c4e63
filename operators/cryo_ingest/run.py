"""Entry point of an extraction: cryo over the task's range, its rows checked and converted, committed by manifest.

The provider's URL goes from the Secret to the pool and to cryo's stdin. Errors name a provider by its place in the
pool, and what cryo prints is redacted before a word of it leaves.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from operators.chain.faults import Kind, ProviderFault
from operators.chain.pool import ProviderPool
from operators.chain.standing import Standing
from operators.chain.subscribe import requested
from operators.cryo_ingest import convert
from operators.cryo_ingest.config import CryoIngestConfig
from operators.cryo_ingest.extract import Extraction
from traceplane_sdk import wire
from traceplane_sdk.commit import PartitionCommit
from traceplane_sdk.context import Context, Result
from traceplane_sdk.errors import OperatorError
from traceplane_sdk.parquet import GROUP_ROWS, arrow_schema, row_groups
from traceplane_sdk.partition_files import PartitionFiles
from traceplane_sdk.partition_rows import RowCheck

REQUEST_SECONDS = 20.0
MAX_RESPONSE_BYTES = 16 * 1024 * 1024
"""Of the requests beside cryo's own: for the chain's id and for headers."""


def run(ctx: Context) -> Result:
    """Extract the task's partition."""
    partition, scratch = ctx.trigger().partition, ctx.io.scratch
    if partition is None or scratch is None or partition.start < 0:
        message = "the task names no range of blocks, or there is no scratch disk"
        raise OperatorError("BadTask", message, retryable=False)
    config: CryoIngestConfig = ctx.config
    extraction = Extraction(config, partition, scratch, ctx.control, time.monotonic() + config.timeout_seconds)
    files = _extract(ctx, extraction)
    (output,) = ctx.task.outputs
    commit = PartitionCommit(ctx.cold(), ctx.task, output, partition, ctx.io.crash_point)
    committed = _commit(ctx, config, files, commit)
    ctx.log("partition written", output=output.name, partition=partition.key, rows=committed.rows)
    return Result(outputs=[committed], events=[wire.Event(output=output.name, partition=partition)])


def _extract(ctx: Context, extraction: Extraction) -> Sequence[tuple[wire.Partition, Path]]:
    config = extraction.config
    pool = ProviderPool(
        requested(ctx.io.rpc_urls(config.rpc_pool)),
        config.chain_id,
        timeout=REQUEST_SECONDS,
        max_bytes=MAX_RESPONSE_BYTES,
        connections=1,
        wait=ctx.control.wait,
    )
    try:
        # Each attempt begins with another one: some faults show late, as time that is up or as wrong rows.
        for _ in range((ctx.task.attempt - 1) % max(1, len(pool.usable()))):
            pool.rotate(pool.current())
        return pool.with_failover(extraction.files)
    except ProviderFault as fault:
        if fault.kind is Kind.METHOD_MISSING and all(_lacks_method(one) for _, one, _ in pool.standings()):
            message = f"no provider of rpcPool {config.rpc_pool} serves the dataset {config.dataset}: {fault}"
            raise OperatorError("MethodMissing", message, retryable=False) from fault
        raise OperatorError("ProviderUnavailable", str(fault)) from fault
    finally:
        pool.close()


def _lacks_method(standing: Standing) -> bool:
    return standing.fault is not None and standing.fault.kind is Kind.METHOD_MISSING


def _commit(
    ctx: Context,
    config: CryoIngestConfig,
    files: Sequence[tuple[wire.Partition, Path]],
    commit: PartitionCommit,
) -> wire.CommittedOutput:
    """cryo's files as those of the dataset, each removed when it was read."""
    dataset, output = config.known, commit.output
    schema = arrow_schema(output.columns)
    written = PartitionFiles(commit, ctx.io.scratch or Path())
    rows = 0
    for part, path in files:
        table = convert.table(path, dataset, output.columns)
        path.unlink()
        # Another provider may say what this one should have.
        RowCheck(output, part, dataset.sort_by if dataset.key else (), retryable=True).take(table)
        rows += table.num_rows
        for group in row_groups(iter(table.to_batches()), schema, GROUP_ROWS):
            ctx.control.check()
            written.write(group)
    due = commit.partition.end - commit.partition.start + 1
    if config.dataset == "blocks" and rows != due:  # second guard: cryo fails for a block that it does not get
        message = f"cryo wrote {rows} blocks of {commit.partition.key}, where {due} are due"
        raise OperatorError("RangeNotWhole", message)
    return written.seal()
