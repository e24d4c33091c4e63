"""Writing what is missing below the tip, once the tip is known to be the chain's."""

from __future__ import annotations

from dataclasses import replace

from operators.block_follower.parts import Parts
from operators.block_follower.position import Tip
from operators.chain.links import BrokenChain, check_links


def fill_gaps(parts: Parts, tip: Tip | None) -> None:
    """Write every range below `tip` that is neither here nor moved. Raises BrokenChain: it is tried again."""
    while gaps := parts.blocks.gaps(parts.ctx.connection(), parts.config.start_block):  # so many at a time
        for low, high in gaps:
            parts.ctx.log("filling a gap", start=low, end=high)
            # Up to a block, also where the last heights have none; there is one, since the tip lies above.
            end = parts.next_block(high - 1, low).number if parts.sparse else high
            if tip is None or end > tip.number:
                raise BrokenChain(low)  # the tip itself was replaced meanwhile: the next step sees to that first
            fill(parts, low, end)


def fill(parts: Parts, start: int, end: int) -> None:
    """Write a missing range. It lies behind the cursor, so dependents learn of it by an invalidation."""
    for batch in parts.fetcher.stream(start, end, parts.config.batch_blocks):
        parts.ctx.control.check()
        if not batch.headers:
            continue
        last = batch.headers[-1].number
        parent = parts.blocks.parent_of(parts.ctx.connection(), start)
        check_links(parent or parts.parent_below(start, batch.headers[0]), batch.headers)
        with parts.ctx.hot() as transaction:
            parts.writing.rewrite(transaction, start - 1, last, [replace(batch, start=start)], "GapFilled")
        start = last + 1
        parts.reporter.went_well()
    if start <= end:
        raise BrokenChain(start)  # blocks that a node has not, where another one has: tried again
