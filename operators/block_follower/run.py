"""Entry point of the follower: keeps it going through what passes, and stops it for what does not.

An outage of a provider or of the database passes: the follower backs off, reads its position anew and goes on, so a
restart of Postgres costs seconds and no attempt. It gives the attempt up only after many failures in a row. A lost
fence, another chain than the configured one and a reorg below finality do not pass.
"""

from __future__ import annotations

from operators.block_follower.config import BlockFollowerConfig
from operators.block_follower.follow import Follower
from operators.chain.faults import ProviderFault, WrongChain
from operators.chain.fetch import Fetcher
from operators.chain.links import BrokenChain
from operators.chain.pool import ProviderPool
from traceplane_sdk.context import Context, Result
from traceplane_sdk.database import DatabaseUnavailable
from traceplane_sdk.errors import OperatorError
from traceplane_sdk.patience import backoff

MAX_FAILURES = 40
"""Failures in a row, about 15 minutes, before the attempt ends and the dispatcher decides."""
BACKOFF_BASE, BACKOFF_LIMIT = 0.5, 30.0


def run(ctx: Context) -> Result:
    """Follow until asked to stop (Stopped is raised then); never returns."""
    config: BlockFollowerConfig = ctx.config
    pool = ProviderPool(
        ctx.io.rpc_urls(config.rpc_pool),
        config.chain_id,
        timeout=config.request_timeout_seconds,
        max_bytes=config.max_response_mb * 1024 * 1024,
        connections=config.concurrency + 1,  # the fetching threads, and one for the head
    )
    outputs = [output.name for output in ctx.task.outputs]
    fetcher = Fetcher(pool, config.profile, outputs, batch_calls=config.batch_calls, threads=config.concurrency)
    try:
        return _keep_following(ctx, Follower(ctx, fetcher, pool))
    finally:
        fetcher.close()
        pool.close()


def _keep_following(ctx: Context, follower: Follower) -> Result:
    import psycopg

    failures = 0
    positioned = whole = False
    while True:
        try:
            ctx.control.check()
            if not positioned:
                follower.start()
                positioned = True
            more = follower.step()
            if not whole:  # after a step that went well: below a tip that is the chain's, a gap can be filled
                follower.fill_gaps()
                whole = True
            failures = 0
            if not more:
                ctx.control.wait(ctx.config.poll_seconds)
        except WrongChain as error:
            raise OperatorError("WrongChain", str(error), retryable=False) from error
        except (ProviderFault, BrokenChain, DatabaseUnavailable, psycopg.OperationalError) as error:
            failures += 1
            positioned = False  # a commit whose answer was lost may have happened: the table says
            if failures >= MAX_FAILURES:
                database = isinstance(error, (DatabaseUnavailable, psycopg.OperationalError))
                code = "DataUnavailable" if database else "ProviderUnavailable"
                raise OperatorError(code, f"{failures} failures in a row, the last: {error}") from error
            delay = backoff(failures, base=BACKOFF_BASE, limit=BACKOFF_LIMIT)
            ctx.log("following failed", level="warning", error=str(error), failures=failures, wait=round(delay, 2))
            ctx.control.wait(delay)
