"""What one transaction of a follower writes: rows in place of others, what they replace, and the events that tell.

Every table of the job is written alike: all of them, or none.
"""

from __future__ import annotations

from collections.abc import Sequence

from operators.block_follower.config import BlockFollowerConfig
from operators.block_follower.finality import Finality
from operators.block_follower.position import Blocks
from operators.chain.fetch import Batch
from traceplane_sdk import empty_ranges, wire
from traceplane_sdk.context import Context
from traceplane_sdk.hot import HotTransaction


class Writing:
    """Of one run."""

    def __init__(self, ctx: Context, blocks: Blocks, finality: Finality) -> None:
        self._config: BlockFollowerConfig = ctx.config
        self._outputs = [output.name for output in ctx.task.outputs]
        self._blocks, self._finality = blocks, finality

    def replace(self, transaction: HotTransaction, start: int, end: int, batch: Batch) -> None:
        """Make a batch's rows all that there is from `start` to `end`; a sparse chain has no others there.

        Its headers link, and the first one to the block below `start`: the heights between them have no block, as
        a block's parent is the one before it, whatever its height.
        """
        heights = [header.number for header in batch.headers]
        transaction.replace_all(start, end, {name: batch.rows[name] for name in self._outputs})
        for low, high in empty_ranges.between(start, end, heights) if self._config.profile.sparse else ():
            for name in self._outputs:
                transaction.record_empty(name, low, high)

    def announce(self, transaction: HotTransaction, start: int, end: int) -> None:
        """The cursor events of a batch, unless the strategy holds them back until a multiple is passed."""
        if self._config.emit_strategy == "Threshold":
            step = self._config.emit_threshold_blocks
            # No multiple of `step` among the counts of blocks `start` + 1 to `end` + 1.
            if (end + 1) // step == start // step:
                return
        final = self._finality.at(end)
        transaction.event(*(wire.Event(output=name, cursor=end, final=final) for name in self._outputs))

    def position(self, transaction: HotTransaction, tip: int) -> int:
        """Commit with the rest how far the tables reach and what is final then; returns the latter."""
        final = self._finality.final_with(tip)
        transaction.position(tip, final if final >= 0 else None)
        return final

    def rewrite(
        self, transaction: HotTransaction, fork: int, old_tip: int, replacement: Sequence[Batch], reason: str
    ) -> None:
        """Exchange every row after `fork`, and record which range and time span that was.

        The batches follow one another from `fork` on, and the last one ends at its last block.
        """
        removed = self._blocks.times(transaction.connection, fork + 1, old_tip)
        added = [header.time for batch in replacement for header in batch.headers]
        times = sorted([time for time in removed if time is not None] + added)
        rewritten = max((batch.headers[-1].number for batch in replacement if batch.headers), default=fork)
        for batch in replacement:
            if batch.start <= rewritten:
                self.replace(transaction, batch.start, min(batch.end, rewritten), batch)
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
