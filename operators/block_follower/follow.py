"""Following: from what is stored to the head, through gaps and reorgs, for as long as the process lives.

Each batch is one fenced transaction with its events. Before anything else the fence is raised by an empty one:
from then on no older follower can move the position that is read next.

A reorg is applied in one transaction too, and only after its whole replacement is in hand: first the fork point
by comparing stored hashes with the chain's, then every block from there, then the rewrite. Below the finality
depth nothing is touched: readers rely on those rows being final, so a person has to decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from operators.block_follower.config import BlockFollowerConfig
from operators.block_follower.position import Blocks, Tip
from operators.block_follower.reorg import NoForkPoint, fork_point, is_final, probes
from operators.chain.fetch import Batch, Fetcher
from operators.chain.head import Head, disputed, hashes, head
from operators.chain.links import BrokenChain, check_links
from operators.chain.pool import ProviderPool
from traceplane_sdk import wire
from traceplane_sdk.context import Context
from traceplane_sdk.errors import OperatorError
from traceplane_sdk.hot import HotTransaction


class Follower:
    """One run. `step` does one bounded piece of work and may be called again after any error it raises."""

    def __init__(self, ctx: Context, fetcher: Fetcher, pool: ProviderPool) -> None:
        self._ctx = ctx
        self._config: BlockFollowerConfig = ctx.config
        self._fetcher = fetcher
        self._pool = pool
        self._outputs = [output.name for output in ctx.task.outputs]
        self._blocks = Blocks(next(output for output in ctx.task.outputs if output.name == "blocks"))
        self._tip: Tip | None = None
        self._highest = -1  # of all tips: after a reorg to a shorter chain, what was final stays final
        self._reorgs = 0

    def start(self) -> None:
        """Take the fence and read the position. Called at the start and again after every failure."""
        with self._ctx.hot():
            pass  # raises the fence: no older follower can move the position that is read next
        self._set_tip(self._blocks.committed_tip(self._ctx.connection(), self._ctx.task))

    def fill_gaps(self) -> None:
        """Write what is missing below the tip. Called once the tip is known to be the chain's."""
        for low, high in self._blocks.gaps(self._ctx.connection(), self._config.start_block):
            self._ctx.log("filling a gap", start=low, end=high)
            self._fill(low, high)

    def step(self) -> bool:
        """Write what is new, or apply a reorg. True where the caller need not wait before the next step."""
        tip = self._tip
        at = None if tip is None else tip.number
        latest = self._pool.with_failover(lambda provider: head(provider, at))
        following = self._config.start_block if at is None else at + 1
        self._measure(latest.number)
        if tip is not None and self._was_replaced(tip, latest):
            return self._reorganise(tip, latest)
        if latest.number < following:
            if at is not None and latest.number < at:
                self._switch_provider()  # this one lags behind what it, or another, had already
            return False
        try:
            self._write_up_to(following, latest.number)
        except BrokenChain as broken:
            # Batches of two chains, or of two nodes: the next step looks for a fork point, with another provider.
            self._ctx.log("chain changed under a batch", level="warning", block_number=broken.number)
            self._switch_provider()
            return False
        return True

    def _switch_provider(self) -> None:
        self._pool.rotate(self._pool.current())

    def _write_up_to(self, start: int, end: int) -> None:
        for batch in self._fetcher.stream(start, end, self._config.batch_blocks):
            self._ctx.control.check()
            check_links(None if self._tip is None else self._tip.block_hash, batch.headers)
            with self._ctx.hot() as transaction:
                self._replace(transaction, batch)
                self._announce(transaction, batch.start, batch.end)
                transaction.position(batch.end)
            self._set_tip(Tip(batch.end, batch.headers[-1].block_hash))
            self._measure(end)

    def _was_replaced(self, tip: Tip, latest: Head) -> bool:
        """Whether the stored tip is not the chain's. A head below the tip is mere lag, unless hashes differ."""
        if latest.at_tip is not None:
            return latest.at_tip != tip.block_hash
        if latest.number >= tip.number:
            return False  # two nodes behind one address: one has the head, the other not yet the tip
        stored = self._blocks.hashes(self._ctx.connection(), latest.number, latest.number)
        return stored.get(latest.number, latest.block_hash) != latest.block_hash

    def _reorganise(self, tip: Tip, latest: Head) -> bool:
        fork = self._find_fork(tip)
        depth = tip.number - fork
        # Only up to the old tip: newer blocks come as ordinary batches, so this transaction stays bounded.
        end = min(latest.number, tip.number)
        replacement = list(self._fetcher.stream(fork + 1, end, self._config.batch_blocks))
        parent = self._blocks.hashes(self._ctx.connection(), fork, fork).get(fork)
        check_links(parent, [header for batch in replacement for header in batch.headers])
        new_tip = None if parent is None else Tip(fork, parent)
        if replacement:
            new_tip = Tip(end, replacement[-1].headers[-1].block_hash)
        if new_tip is not None and disputed(self._pool, new_tip.number, new_tip.block_hash):
            self._ctx.log("reorg not confirmed by a second provider", level="warning", block_number=new_tip.number)
            return False
        with self._ctx.hot() as transaction:
            self._rewrite(transaction, fork, tip.number, replacement, "Reorg")
            transaction.position(max(fork, end))
            if end == tip.number:  # a shorter chain has no new cursor; its invalidation alone moves dependents back
                self._announce(transaction, fork + 1, end)
        self._reorgs += 1
        self._ctx.log("reorg applied", fork=fork, depth=depth, old_tip=tip.number, new_tip=end)
        self._ctx.measure("source_reorgs", self._reorgs)
        self._ctx.measure("source_reorg_depth_blocks", depth)
        self._set_tip(new_tip)
        return True

    def _find_fork(self, tip: Tip) -> int:
        """Highest stored block that is still the chain's. OperatorError where a final block was replaced."""
        # The highest final block may be the fork point, since it stays; nothing below it may be.
        lowest = max(self._config.start_block, self._highest - self._config.finality_depth_blocks)
        for low, high in probes(tip.number, lowest):
            stored = self._blocks.hashes(self._ctx.connection(), low, high)
            heights = range(low, high + 1)
            try:
                return fork_point(stored, self._pool.with_failover(partial(hashes, numbers=heights)))
            except NoForkPoint:
                continue
        if not is_final(lowest - 1, self._highest, self._config.finality_depth_blocks):
            return lowest - 1  # every block since startBlock was replaced
        raise self._below_finality(lowest - 1, tip.number - lowest + 1)

    def _below_finality(self, fork: int, depth: int) -> OperatorError:
        return OperatorError(
            "ReorgBelowFinality",
            f"the chain changed at or below block {fork + 1}, at least {depth} blocks deep, which is beyond "
            f"finalityDepthBlocks={self._config.finality_depth_blocks}. Nothing was written. Check the providers; "
            "if the chain is right, deploy the DAG under a new name (or a larger finalityDepthBlocks).",
            retryable=False,
        )

    def _rewrite(
        self, transaction: HotTransaction, fork: int, old_tip: int, replacement: Sequence[Batch], reason: str
    ) -> None:
        """Exchange every row after `fork`, and record which range and time span that was."""
        removed = self._blocks.times(transaction.connection, fork + 1, old_tip)
        added = [header.time for batch in replacement for header in batch.headers]
        times = sorted([time for time in removed if time is not None] + added)
        for batch in replacement:
            self._replace(transaction, batch)
        rewritten = replacement[-1].end if replacement else fork
        for name in self._outputs:
            if old_tip > rewritten:  # the chain became shorter
                transaction.delete(name, rewritten + 1, old_tip)
            transaction.invalidate(
                wire.Invalidation(
                    output=name,
                    start=fork + 1,
                    end=max(old_tip, rewritten),
                    time_start=times[0].isoformat() if times else None,
                    time_end=times[-1].isoformat() if times else None,
                    reason=reason,
                    detail={"fork": fork, "old_tip": old_tip, "new_tip": rewritten},
                )
            )

    def _fill(self, start: int, end: int) -> None:
        """Write a missing range. It lies behind the cursor, so dependents learn of it by an invalidation."""
        for batch in self._fetcher.stream(start, end, self._config.batch_blocks):
            self._ctx.control.check()
            around = self._blocks.hashes(self._ctx.connection(), batch.start - 1, batch.end + 1)
            check_links(around.get(batch.start - 1), batch.headers)
            with self._ctx.hot() as transaction:
                self._rewrite(transaction, batch.start - 1, batch.end, [batch], "GapFilled")

    def _replace(self, transaction: HotTransaction, batch: Batch) -> None:
        for name in self._outputs:
            transaction.replace(name, batch.start, batch.end, batch.rows[name])

    def _announce(self, transaction: HotTransaction, start: int, end: int) -> None:
        """The cursor events of a batch, unless the strategy holds them back until a multiple is passed."""
        if self._config.emit_strategy == "Threshold":
            step = self._config.emit_threshold_blocks
            # No multiple of `step` among the counts of blocks `start` + 1 to `end` + 1.
            if (end + 1) // step == start // step:
                return
        for name in self._outputs:
            transaction.event(wire.Event(output=name, cursor=end))

    def _set_tip(self, tip: Tip | None) -> None:
        self._tip = tip
        if tip is not None:
            self._highest = max(self._highest, tip.number)

    def _measure(self, head: int) -> None:
        at = self._tip.number if self._tip is not None else self._config.start_block - 1
        self._ctx.measure("source_head_block", head)
        self._ctx.measure("source_cursor_block", at)
        self._ctx.measure("source_lag_blocks", max(0, head - at))
