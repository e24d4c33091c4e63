"""A reorg: stored blocks that the chain has left give way to those that took their place, all at once or none.

It is applied only after its whole replacement is in hand: first the fork point by comparing stored hashes with the
chain's, then every block from there, then the word of other providers, then the rewrite in one transaction. What is
final is not touched: readers rely on those rows, so a person has to decide.
"""

from __future__ import annotations

from functools import partial

from operators.block_follower.confirmation import Confirmation
from operators.block_follower.parts import Parts
from operators.block_follower.position import Tip
from operators.block_follower.reorg import NoForkPoint, fork_point, probes
from operators.chain.fetch import Batch
from operators.chain.head import Head, hashes
from operators.chain.links import check_links
from traceplane_sdk.errors import OperatorError


class Replacing:
    """The reorgs of one run."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._confirmation = Confirmation(parts.ctx, parts.pool, parts.reporter)
        self._applied = 0

    def none(self) -> None:
        """The stored tip is the chain's: what waited for a word need not."""
        self._confirmation.over()

    def apply(self, tip: Tip, latest: Head) -> Tip | None:
        """The tip from then on, None where nothing is left; `tip` itself where nothing was replaced."""
        parts = self._parts
        fork = self.find_fork(tip)
        if fork == tip.number:
            return tip  # another node has the tip
        # Only up to the old tip: newer blocks come as ordinary batches, so this transaction stays bounded.
        end = min(latest.number, tip.number)
        replacement = list(parts.fetcher.stream(fork + 1, end, parts.config.batch_blocks))
        new_tip = self._new_tip(fork, end, replacement)
        if new_tip is not None and not self._confirmation.of(new_tip, tip):
            return tip
        position = fork if new_tip is None else new_tip.number
        with parts.ctx.hot() as transaction:
            parts.writing.rewrite(transaction, fork, tip.number, replacement, "Reorg")
            final = parts.writing.position(transaction, position)
            if position == tip.number:  # a shorter chain has no new cursor; its invalidation moves dependents back
                parts.writing.announce(transaction, fork + 1, position)
        parts.finality.committed(final)
        self._applied += 1
        depth = tip.number - fork
        parts.ctx.log("reorg applied", fork=fork, depth=depth, old_tip=tip.number, new_tip=position)
        parts.ctx.measure("source_reorgs", self._applied)
        parts.ctx.measure("source_reorg_depth_blocks", depth)
        self._confirmation.over()
        return new_tip

    def _new_tip(self, fork: int, end: int, replacement: list[Batch]) -> Tip | None:
        """The last block of what is on the chain up to `end`; None: there is none. Raises BrokenChain."""
        parts = self._parts
        parent = parts.blocks.hashes(parts.ctx.connection(), fork, fork).get(fork)
        headers = [header for batch in replacement for header in batch.headers]
        check_links(parent, headers)
        new_tip = None if parent is None else Tip(fork, parent)
        if headers:
            new_tip = Tip(headers[-1].number, headers[-1].block_hash)
        if (headers[-1].number if headers else fork) < end:
            # Only that the next block builds on the new tip shows that there is none between.
            check_links(None if new_tip is None else new_tip.block_hash, [parts.next_block(end, fork)])
        return new_tip

    def find_fork(self, tip: Tip) -> int:
        """Highest stored block that is still the chain's. OperatorError where a final block was replaced."""
        parts, final = self._parts, self._parts.finality.final
        # The highest final block may be the fork point, since it stays; nothing below it may be.
        lowest = max(parts.config.start_block, final)
        if parts.sparse and (block := parts.blocks.at_or_below(parts.ctx.connection(), lowest)) is not None:
            lowest = block.number
        for low, high in probes(tip.number, lowest):
            stored = parts.blocks.hashes(parts.ctx.connection(), low, high)
            heights = range(low, high + 1)
            try:
                return fork_point(stored, parts.pool.with_failover(partial(hashes, numbers=heights)))
            except NoForkPoint:
                continue
        if lowest - 1 >= final:
            return lowest - 1  # every block since startBlock was replaced
        raise self._below_finality(lowest - 1, tip.number - lowest + 1)

    def _below_finality(self, fork: int, depth: int) -> OperatorError:
        return OperatorError(
            "ReorgBelowFinality",
            f"the chain changed at or below block {fork + 1}, at least {depth} blocks deep, which is beyond "
            f"{self._parts.finality}. Nothing was written. Check the providers; "
            "if the chain is right, deploy the DAG under a new name (or a larger finalityDepthBlocks).",
            retryable=False,
        )
