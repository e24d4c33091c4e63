"""Following: from what is stored to the head, through `gaps` and reorgs (`replacing`), while the process lives.

Each batch is one fenced transaction with its events. Before anything else the fence is raised by an empty one:
from then on no older follower can move the position that is read next, nor what an earlier run knew to be final.

On a sparse chain a height may have no block. What proves that is the parent hash of the next block, so whatever is
written ends at a block: heights above it wait for the next one.
"""

from __future__ import annotations

from operators.block_follower import gaps
from operators.block_follower.finality import Finality, check_tag
from operators.block_follower.parts import Parts
from operators.block_follower.position import Blocks, Tip
from operators.block_follower.replacing import Replacing
from operators.block_follower.reporting import Reporter
from operators.block_follower.writing import Writing
from operators.chain.fetch import Fetcher
from operators.chain.head import Head
from operators.chain.links import BrokenChain, Header, check_links
from operators.chain.pool import ProviderPool
from operators.chain.profiles import never_rests
from traceplane_sdk import hot
from traceplane_sdk.context import Context


class Follower:
    """One run. `step` does one bounded piece of work and may be called again after any error it raises."""

    def __init__(self, ctx: Context, fetcher: Fetcher, pool: ProviderPool) -> None:
        config = ctx.config
        blocks = Blocks(next(output for output in ctx.task.outputs if output.name == "blocks"))
        finality = Finality(config)
        self.reporter = Reporter(ctx, pool, config.poll_seconds, config.rules, never_rests(config.chain_id))
        self.parts = Parts(
            ctx, config, fetcher, pool, blocks, finality, Writing(ctx, blocks, finality), self.reporter
        )
        self._replacing = Replacing(self.parts)
        self._tip: Tip | None = None
        self._started = False
        self._doubt = False  # whether the last step failed: then the head is looked at twice

    def start(self) -> None:
        """Take the fence and read the position. Called at the start and again after every failure."""
        parts, ctx = self.parts, self.parts.ctx
        with ctx.hot():
            pass  # raises the fence: no older follower can move the position that is read next
        if parts.finality.tag is not None and not self._started:
            check_tag(parts.pool, parts.finality.tag)
        self._started = True
        if (final := hot.committed_final(ctx.connection(), ctx.task)) is not None:
            parts.finality.committed(final)
        self._set_tip(parts.blocks.committed_tip(ctx.connection(), ctx.task))
        self._doubt = True

    def fill_gaps(self) -> None:
        """Write what is missing below the tip. Called once the tip is known to be the chain's."""
        gaps.fill_gaps(self.parts, self._tip)

    def step(self) -> bool:
        """Write what is new, or apply a reorg. True where the caller need not wait before the next step."""
        pool, finality, tip = self.parts.pool, self.parts.finality, self._tip
        at = None if tip is None else tip.number
        pool.watch()
        latest = pool.head(at, self._doubt, finality.tag, finality.known)
        finality.tagged(latest.final)
        self._measure(latest.number)
        if tip is not None and self._was_replaced(tip, latest):
            self._set_tip(self._replacing.apply(tip, latest))
            if self._tip is not tip:
                self._went_well()
            return self._tip is not tip
        self._replacing.none()
        if latest.number < self._following:
            self._nothing_new(latest)
            return False
        try:
            self._write_up_to(self._following, latest.number)
        except BrokenChain as broken:
            # Batches of two chains, or of two nodes: the next step looks for a fork point, with another provider.
            self.parts.ctx.log("chain changed under a batch", level="warning", block_number=broken.number)
            self.reporter.failed(str(broken))
            pool.rotate(pool.current())
            return False
        return self._tip != tip

    @property
    def _following(self) -> int:
        """The lowest height that is not written yet."""
        return self.parts.config.start_block if self._tip is None else self._tip.number + 1

    def _nothing_new(self, latest: Head) -> None:
        """The head is not above what is stored."""
        pool, tip = self.parts.pool, self._tip
        if tip is not None and latest.number < tip.number:
            pool.rotate(pool.current())  # this one lags behind what it, or another, had already
        best = max(latest.number, pool.best_head or 0)
        if tip is not None and best < tip.number:
            # The blocks that it has are not those that the chain goes on with: nothing new will come of it.
            self.reporter.failed(f"the providers reach to block {best} only, and block {tip.number} is stored")
        elif best < self._following:
            self._went_well(has_all=tip is not None)
        if tip is not None and not self.parts.finality.is_committed:  # the tag went on without a new block
            with self.parts.ctx.hot() as transaction:
                final = self.parts.writing.position(transaction, tip.number)
            self.parts.finality.committed(final)

    def _went_well(self, has_all: bool = False) -> None:
        self._doubt = False
        self.reporter.went_well(has_all)

    def _write_up_to(self, start: int, end: int) -> None:
        parts = self.parts
        for batch in parts.fetcher.stream(start, end, parts.config.batch_blocks):
            parts.ctx.control.check()
            if not batch.headers:
                continue  # of a sparse chain: the next block's parent will say whether these heights have none
            first, last = self._following, batch.headers[-1]
            check_links(self._parent_at(first, batch.headers[0]), batch.headers)
            with parts.ctx.hot() as transaction:
                parts.writing.replace(transaction, first, last.number, batch)
                parts.writing.announce(transaction, first, last.number)
                final = parts.writing.position(transaction, last.number)
            parts.finality.committed(final)
            self._set_tip(Tip(last.number, last.block_hash))
            parts.pool.watch()
            self._measure(end)
            self._went_well()

    def _was_replaced(self, tip: Tip, latest: Head) -> bool:
        """Whether the stored tip is not the chain's. A head below the tip is mere lag, unless hashes differ."""
        if latest.at_tip is not None:
            return latest.at_tip != tip.block_hash
        if latest.number >= tip.number:
            # Two nodes behind one address: one has the head, the other not yet the tip. On a sparse chain a reorg
            # may also have left the tip's height without a block: then the fork point says.
            return self.parts.sparse and latest.number > tip.number
        stored = self.parts.blocks.hashes(self.parts.ctx.connection(), latest.number, latest.number)
        return stored.get(latest.number, latest.block_hash) != latest.block_hash

    def _parent_at(self, first: int, header: Header) -> str | None:
        """What `header` must build on, where `first` is the lowest height that is not written yet."""
        return self._tip.block_hash if self._tip is not None else self.parts.parent_below(first, header)

    def _set_tip(self, tip: Tip | None) -> None:
        self._tip = tip
        if tip is not None:
            self.parts.finality.reached(tip.number)

    def _measure(self, head: int) -> None:
        ctx, first = self.parts.ctx, self.parts.config.start_block
        at = self._tip.number if self._tip is not None else first - 1
        head = max(head, self.parts.pool.best_head or head)  # of all: one that lags must not look caught up
        ctx.measure("source_head_block", head)
        ctx.measure("source_cursor_block", at)
        ctx.measure("source_lag_blocks", max(0, head - at))
        self.reporter.at(None if self._tip is None else at, head)
        self.reporter.show()
