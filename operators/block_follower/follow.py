"""Following: from what is stored to the head, through gaps and reorgs, for as long as the process lives.

Each batch is one fenced transaction with its events. Before anything else the fence is raised by an empty one:
from then on no older follower can move the position that is read next.

A reorg is applied in one transaction too, and only after its whole replacement is in hand: first the fork point
by comparing stored hashes with the chain's, then every block from there, then the rewrite. Below the finality
depth nothing is touched: readers rely on those rows being final, so a person has to decide.

On a sparse chain a height may have no block. What proves that is the parent hash of the next block, so whatever is
written ends at a block: heights above it wait for the next one.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from operators.block_follower.config import BlockFollowerConfig
from operators.block_follower.confirmation import Confirmation
from operators.block_follower.finality import Finality, check_tag
from operators.block_follower.position import Blocks, Tip
from operators.block_follower.reorg import NoForkPoint, fork_point, probes
from operators.block_follower.reporting import Reporter
from operators.block_follower.writing import Writing
from operators.chain.fetch import Fetcher
from operators.chain.head import Head, hashes, height_of
from operators.chain.links import BrokenChain, Header, check_links
from operators.chain.pool import ProviderPool
from operators.chain.profiles import never_rests
from traceplane_sdk.context import Context
from traceplane_sdk.errors import OperatorError


class Follower:
    """One run. `step` does one bounded piece of work and may be called again after any error it raises."""

    def __init__(self, ctx: Context, fetcher: Fetcher, pool: ProviderPool) -> None:
        self._ctx = ctx
        self._config: BlockFollowerConfig = ctx.config
        self._fetcher = fetcher
        self._pool = pool
        self._blocks = Blocks(next(output for output in ctx.task.outputs if output.name == "blocks"))
        self._tip: Tip | None = None
        self._finality = Finality(self._config)
        self._sparse = self._config.profile.sparse
        self._writing = Writing(ctx, self._blocks, self._finality)
        self._started = False
        self._reorgs = 0
        self._doubt = False  # whether the last step failed: then the head is looked at twice
        config = self._config
        self.reporter = Reporter(ctx, pool, config.poll_seconds, config.rules, never_rests(config.chain_id))
        self._confirmation = Confirmation(ctx, pool, self.reporter)

    def start(self) -> None:
        """Take the fence and read the position. Called at the start and again after every failure."""
        with self._ctx.hot():
            pass  # raises the fence: no older follower can move the position that is read next
        if self._finality.tag is not None and not self._started:
            check_tag(self._pool, self._finality.tag)
        self._started = True
        self._set_tip(self._blocks.committed_tip(self._ctx.connection(), self._ctx.task))
        self._doubt = True

    def fill_gaps(self) -> None:
        """Write what is missing below the tip. Called once the tip is known to be the chain's."""
        while gaps := self._blocks.gaps(self._ctx.connection(), self._config.start_block):  # so many at a time
            for low, high in gaps:
                self._ctx.log("filling a gap", start=low, end=high)
                # Up to a block, also where the last heights have none; there is one, since the tip lies above.
                end = self._next_block(high - 1, low).number if self._sparse else high
                if self._tip is None or end > self._tip.number:
                    raise BrokenChain(
                        low
                    )  # the tip itself was replaced meanwhile: the next step sees to that first
                self._fill(low, end)

    def step(self) -> bool:
        """Write what is new, or apply a reorg. True where the caller need not wait before the next step."""
        tip = self._tip
        at = None if tip is None else tip.number
        self._pool.watch()
        latest = self._pool.head(at, self._doubt, self._finality.tag, self._finality.known)
        self._finality.tagged(latest.final)
        following = self._config.start_block if at is None else at + 1
        self._measure(latest.number)
        if tip is not None and self._was_replaced(tip, latest):
            return self._reorganise(tip, latest)
        self._confirmation.over()
        if latest.number < following:
            if at is not None and latest.number < at:
                self._switch_provider()  # this one lags behind what it, or another, had already
            best = max(latest.number, self._pool.best_head or 0)
            if at is not None and best < at:
                # The blocks that it has are not those that the chain goes on with: nothing new will come of it.
                self.reporter.failed(f"the providers reach to block {best} only, and block {at} is stored")
            elif best < following:
                self._went_well(has_all=at is not None)
            return False
        try:
            self._write_up_to(following, latest.number)
        except BrokenChain as broken:
            # Batches of two chains, or of two nodes: the next step looks for a fork point, with another provider.
            self._ctx.log("chain changed under a batch", level="warning", block_number=broken.number)
            self.reporter.failed(str(broken))
            self._switch_provider()
            return False
        return self._tip != tip

    def _went_well(self, has_all: bool = False) -> None:
        self._doubt = False
        self.reporter.went_well(has_all)

    def _switch_provider(self) -> None:
        self._pool.rotate(self._pool.current())

    def _write_up_to(self, start: int, end: int) -> None:
        for batch in self._fetcher.stream(start, end, self._config.batch_blocks):
            self._ctx.control.check()
            if not batch.headers:
                continue  # of a sparse chain: the next block's parent will say whether these heights have none
            first, last = start if self._tip is None else self._tip.number + 1, batch.headers[-1]
            check_links(self._parent_at(first, batch.headers[0]), batch.headers)
            with self._ctx.hot() as transaction:
                self._writing.replace(transaction, first, last.number, batch)
                self._writing.announce(transaction, first, last.number)
                transaction.position(last.number)
            self._set_tip(Tip(last.number, last.block_hash))
            self._pool.watch()
            self._measure(end)
            self._went_well()

    def _was_replaced(self, tip: Tip, latest: Head) -> bool:
        """Whether the stored tip is not the chain's. A head below the tip is mere lag, unless hashes differ."""
        if latest.at_tip is not None:
            return latest.at_tip != tip.block_hash
        if latest.number >= tip.number:
            # Two nodes behind one address: one has the head, the other not yet the tip. On a sparse chain a reorg
            # may also have left the tip's height without a block: then the fork point says.
            return self._sparse and latest.number > tip.number
        stored = self._blocks.hashes(self._ctx.connection(), latest.number, latest.number)
        return stored.get(latest.number, latest.block_hash) != latest.block_hash

    def _reorganise(self, tip: Tip, latest: Head) -> bool:
        fork = self._find_fork(tip)
        depth = tip.number - fork
        if depth == 0:
            return False  # another node has the tip
        # Only up to the old tip: newer blocks come as ordinary batches, so this transaction stays bounded.
        end = min(latest.number, tip.number)
        replacement = list(self._fetcher.stream(fork + 1, end, self._config.batch_blocks))
        parent = self._blocks.hashes(self._ctx.connection(), fork, fork).get(fork)
        headers = [header for batch in replacement for header in batch.headers]
        check_links(parent, headers)
        new_tip = None if parent is None else Tip(fork, parent)
        if headers:
            new_tip = Tip(headers[-1].number, headers[-1].block_hash)
        if (headers[-1].number if headers else fork) < end:
            # Only that the next block builds on the new tip shows that there is none between.
            check_links(None if new_tip is None else new_tip.block_hash, [self._next_block(end, fork)])
            end = fork if new_tip is None else new_tip.number
        if new_tip is not None and not self._confirmation.of(new_tip, tip):
            return False
        with self._ctx.hot() as transaction:
            self._writing.rewrite(transaction, fork, tip.number, replacement, "Reorg")
            transaction.position(max(fork, end))
            if end == tip.number:  # a shorter chain has no new cursor; its invalidation alone moves dependents back
                self._writing.announce(transaction, fork + 1, end)
        self._reorgs += 1
        self._ctx.log("reorg applied", fork=fork, depth=depth, old_tip=tip.number, new_tip=end)
        self._ctx.measure("source_reorgs", self._reorgs)
        self._ctx.measure("source_reorg_depth_blocks", depth)
        self._set_tip(new_tip)
        self._confirmation.over()
        self._went_well()
        return True

    def _find_fork(self, tip: Tip) -> int:
        """Highest stored block that is still the chain's. OperatorError where a final block was replaced."""
        # The highest final block may be the fork point, since it stays; nothing below it may be.
        lowest = max(self._config.start_block, self._finality.final)
        if self._sparse and (block := self._blocks.at_or_below(self._ctx.connection(), lowest)) is not None:
            lowest = block.number
        for low, high in probes(tip.number, lowest):
            stored = self._blocks.hashes(self._ctx.connection(), low, high)
            heights = range(low, high + 1)
            try:
                return fork_point(stored, self._pool.with_failover(partial(hashes, numbers=heights)))
            except NoForkPoint:
                continue
        if lowest - 1 >= self._finality.final:
            return lowest - 1  # every block since startBlock was replaced
        raise self._below_finality(lowest - 1, tip.number - lowest + 1)

    def _below_finality(self, fork: int, depth: int) -> OperatorError:
        return OperatorError(
            "ReorgBelowFinality",
            f"the chain changed at or below block {fork + 1}, at least {depth} blocks deep, which is beyond "
            f"{self._finality}. Nothing was written. Check the providers; "
            "if the chain is right, deploy the DAG under a new name (or a larger finalityDepthBlocks).",
            retryable=False,
        )

    def _fill(self, start: int, end: int) -> None:
        """Write a missing range. It lies behind the cursor, so dependents learn of it by an invalidation."""
        for batch in self._fetcher.stream(start, end, self._config.batch_blocks):
            self._ctx.control.check()
            if not batch.headers:
                continue
            last = batch.headers[-1].number
            parent = self._blocks.parent_of(self._ctx.connection(), start)
            check_links(parent or self._parent_below(start, batch.headers[0]), batch.headers)
            with self._ctx.hot() as transaction:
                self._writing.rewrite(transaction, start - 1, last, [replace(batch, start=start)], "GapFilled")
            start = last + 1
            self._went_well()
        if start <= end:
            raise BrokenChain(start)  # blocks that a node has not, where another one has: tried again

    def _parent_at(self, first: int, header: Header) -> str | None:
        """What `header` must build on, where `first` is the lowest height that is not written yet."""
        return self._tip.block_hash if self._tip is not None else self._parent_below(first, header)

    def _parent_below(self, first: int, header: Header) -> str | None:
        """What `header` must build on where no stored block says it; None: anything. Raises BrokenChain."""
        if header.number == first:
            return None
        # Heights from `first` on are to be recorded as empty: its parent must lie below them.
        parent = self._pool.with_failover(partial(height_of, block_hash=header.parent_hash))
        if parent is None or parent >= first:
            raise BrokenChain(header.number)
        return header.parent_hash

    def _next_block(self, height: int, above: int) -> Header:
        """The first block above `height` of a sparse chain. Raises BrokenChain where no provider has one."""
        top = self._pool.head(None).number
        for low in range(height + 1, top + 1, self._config.batch_blocks):
            batch = self._fetcher.batch(low, min(low + self._config.batch_blocks - 1, top))
            if batch.headers:
                return batch.headers[0]
        raise BrokenChain(above)

    def _set_tip(self, tip: Tip | None) -> None:
        self._tip = tip
        if tip is not None:
            self._finality.reached(tip.number)

    def _measure(self, head: int) -> None:
        at = self._tip.number if self._tip is not None else self._config.start_block - 1
        head = max(head, self._pool.best_head or head)  # of all providers: one that lags must not look caught up
        self._ctx.measure("source_head_block", head)
        self._ctx.measure("source_cursor_block", at)
        self._ctx.measure("source_lag_blocks", max(0, head - at))
        self.reporter.at(None if self._tip is None else at, head)
        self.reporter.show()
