"""Entry point of a sync: emits ranges of blocks, so many of each stream at a time, until it is asked to stop.

Progress is the table of ranges itself. A range's row comes first, then its event, under an id that the range and
the task decide: after a crash in between, the next run reports the last range of each stream again, which counts
once. How much is in flight is asked of the dispatcher, which knows what became of each event; so the bound holds
across restarts too.

An outage of a provider or of the database passes: the sync waits, reads where it is anew and goes on.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from operators.chain.faults import ProviderFault
from operators.chain.pool import ProviderPool
from operators.chain.subscribe import requested
from operators.chain_sync.config import ChainSyncConfig
from operators.chain_sync.plan import due, last_block
from operators.ranges import emit
from traceplane_sdk import wire
from traceplane_sdk.context import STALL_SECONDS, Context, Result
from traceplane_sdk.database import DatabaseUnavailable
from traceplane_sdk.patience import backoff

REQUEST_SECONDS = 20.0
MAX_RESPONSE_BYTES = 16 * 1024 * 1024
BACKOFF_BASE, BACKOFF_LIMIT = 0.5, 30.0


def run(ctx: Context) -> Result:
    """Sync until asked to stop (Stopped is raised then); never returns."""
    import psycopg

    config: ChainSyncConfig = ctx.config
    pool = ProviderPool(
        requested(ctx.io.rpc_urls(config.rpc_pool)),
        config.chain_id,
        timeout=REQUEST_SECONDS,
        max_bytes=MAX_RESPONSE_BYTES,
        connections=1,
        wait=ctx.control.wait,
    )
    sync, failures, well_at = Sync(ctx, config), 0, time.monotonic()
    try:
        while True:
            ctx.control.check()
            try:
                sync.step(pool.head(None).number)
                failures, well_at = 0, time.monotonic()
                ctx.control.wait(config.poll_seconds)
            except (ProviderFault, DatabaseUnavailable, psycopg.OperationalError) as error:
                sync = Sync(ctx, config)  # a commit whose answer was lost may have happened: the table says
                failures += 1
                ctx.log("syncing failed", level="warning", error=str(error), failures=failures)
                if time.monotonic() - well_at > STALL_SECONDS:
                    ctx.report(False, f"no progress for more than {STALL_SECONDS:.0f} s: {error}"[:500], None, None)
                ctx.control.wait(backoff(failures, base=BACKOFF_BASE, limit=BACKOFF_LIMIT))
                pool.use(requested(ctx.io.rpc_urls(config.rpc_pool)))  # the Secret may have been corrected
    finally:
        pool.close()


@dataclass
class Sync:
    """The streams of one run, from where their tables are. After an error it is of no use any more."""

    ctx: Context
    config: ChainSyncConfig
    next_start: dict[str, int] = field(default_factory=dict)

    def step(self, head: int) -> None:
        """Emit what the head and the work in flight allow."""
        if not self.next_start:
            self._start()
        config, target = self.config, self.config.target_block
        last = last_block(head, config.lag_blocks, target)
        in_flight = self.ctx.unfinished()
        for output, start in list(self.next_start.items()):
            room = config.max_in_flight - in_flight.get(output, 0)
            for one in due(start, last, target, config.chunk(output), room):
                emit.write(self.ctx, output, [one])
                self._fire(output, one)
                self.ctx.log("range emitted", output=output, partition=one.key)
                self.next_start[output] = one.end + 1
        self._report(last)

    def _start(self) -> None:
        with self.ctx.hot():
            pass  # raises the fence: no older run can add a range to what is read next
        for output in self.ctx.task.outputs:
            newest = emit.newest(self.ctx, output)
            if newest is not None:
                self._fire(output.name, newest)
            self.next_start[output.name] = self.config.start_block if newest is None else newest.end + 1

    def _fire(self, output: str, one: wire.Partition) -> None:
        self.ctx.emit(emit.events(output, [one]), key=f"{output}/{one.key}")

    def _report(self, last: int) -> None:
        position = min(self.next_start.values()) - 1
        target = self.config.target_block
        if target is not None and position >= target:
            message = f"all ranges up to block {target} are emitted"
        else:
            message = f"emits ranges of {', '.join(self.next_start)}"
        # What it waits for is often its workers, not the chain: only silence tells that it hangs.
        self.ctx.report(True, message, position, last, STALL_SECONDS + self.config.poll_seconds)
