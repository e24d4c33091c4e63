"""Entry point of the follower: keeps it going through what passes, and stops it for what does not.

An outage of a provider or of the database passes: the follower backs off, reads its position anew and goes on, so a
restart of Postgres costs seconds and no attempt. It gives the attempt up only after many failures in a row. What a
person has to mend at the providers (their chain, a key, an address, a limit) ends nothing: it stays visible, and
the URLs are read again and again, so that a corrected Secret is taken up. A lost fence and a reorg below finality
do not pass.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from operators.block_follower.config import BlockFollowerConfig
from operators.block_follower.follow import Follower
from operators.block_follower.urls import Urls
from operators.chain.faults import Kind, ProviderFault
from operators.chain.fetch import Fetcher
from operators.chain.links import BrokenChain
from operators.chain.pool import ProviderPool
from operators.chain.schemas import schema_of
from operators.chain.subscribe import requested
from traceplane_sdk import wire
from traceplane_sdk.context import Context, Result
from traceplane_sdk.database import DatabaseUnavailable
from traceplane_sdk.errors import OperatorError
from traceplane_sdk.patience import backoff

MAX_FAILURES = 40
"""Failures in a row, about 15 minutes, before the attempt ends and the dispatcher decides."""
BACKOFF_BASE, BACKOFF_LIMIT = 0.5, 30.0
WAIT_PART = 2.0
"""How often the URLs of the pool are read again, and the state is reported, while a failure is waited out."""
_NOT_COUNTED = frozenset(
    {
        Kind.RATE_LIMITED,
        Kind.NOT_THERE_YET,
        Kind.PRUNED,
        Kind.WRONG_CHAIN,
        Kind.NOT_AUTHORISED,
        Kind.MOVED,
    }
)
"""Kinds of faults that another attempt would meet as well: only time or a person helps."""


def run(ctx: Context) -> Result:
    """Follow until asked to stop (Stopped is raised then); never returns."""
    config: BlockFollowerConfig = ctx.config
    check_columns(ctx.task.outputs, config)
    given = ctx.io.rpc_urls(config.rpc_pool)
    pool = ProviderPool(
        requested(given),
        config.chain_id,
        timeout=config.request_timeout_seconds,
        max_bytes=config.max_response_mb * 1024 * 1024,
        connections=config.concurrency + 1,  # the fetching threads, and one for the head
        wait=ctx.control.wait,
    )
    profile = config.profile
    ctx.log("following a chain", rules=config.rules, profile=profile.name, unverified=list(profile.unverified))
    outputs = [output.name for output in ctx.task.outputs]
    fetcher = Fetcher(pool, profile, outputs, batch_calls=config.batch_calls, threads=config.concurrency)
    urls = Urls(ctx, pool, given)
    try:
        return _keep_following(ctx, Follower(ctx, fetcher, pool), urls)
    finally:
        urls.close()
        fetcher.close()
        pool.close()


def check_columns(outputs: Sequence[wire.TaskOutput], config: BlockFollowerConfig) -> None:
    """Raise OperatorError where a table has other columns than this release writes: upgrades change none."""
    for output in outputs:
        due = schema_of(output.name, config.profile, config.finality_depth_blocks, config.start_block).columns
        if [(one.name, one.type) for one in output.columns] != [(one.name, one.type.value) for one in due]:
            raise OperatorError(
                "OtherColumns",
                f"{output.name} was made by a release of block_follower with other columns. Nothing was written. "
                "Apply the DAG under a new name, or go back to that release.",
            )


def _keep_following(ctx: Context, follower: Follower, urls: Urls) -> Result:
    import psycopg

    failures = in_a_row = 0
    positioned = whole = False
    while True:
        try:
            ctx.control.check()
            urls.read()
            if not positioned:
                follower.start()
                positioned = True
            more = follower.step()
            if not whole:  # after a step that went well: below a tip that is the chain's, a gap can be filled
                follower.fill_gaps()
                whole = True
            failures = in_a_row = 0
            if not more:
                ctx.control.wait_for_wake(ctx.config.poll_seconds)
        except (ProviderFault, BrokenChain, DatabaseUnavailable, psycopg.OperationalError) as error:
            positioned = False  # a commit whose answer was lost may have happened: the table says
            in_a_row += 1
            failures += not isinstance(error, ProviderFault) or error.kind not in _NOT_COUNTED
            if failures >= MAX_FAILURES:
                database = isinstance(error, (DatabaseUnavailable, psycopg.OperationalError))
                code = "DataUnavailable" if database else "ProviderUnavailable"
                raise OperatorError(code, f"{failures} failures in a row, the last: {error}") from error
            delay = _delay(error, in_a_row)
            follower.reporter.failed(str(error))
            ctx.log("following failed", level="warning", error=str(error), failures=in_a_row, wait=round(delay, 2))
            _wait(ctx, follower, urls, delay)


def _wait(ctx: Context, follower: Follower, urls: Urls, seconds: float) -> None:
    """Wait in parts, between which the state is reported; shorter where the URLs of the pool change meanwhile."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        ctx.control.wait(min(left, WAIT_PART))
        follower.reporter.show()
        if urls.read(every=WAIT_PART):
            return


def _delay(error: Exception, in_a_row: int) -> float:
    """Seconds until the next try: when the first provider may be asked again, or after a backoff."""
    if isinstance(error, ProviderFault) and error.retry_after is not None:
        return min(max(error.retry_after, BACKOFF_BASE / 2), BACKOFF_LIMIT)
    return backoff(in_a_row, base=BACKOFF_BASE, limit=BACKOFF_LIMIT)
