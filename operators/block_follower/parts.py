"""What the pieces of one run work with, and what they all ask of a chain's heights."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from operators.block_follower.config import BlockFollowerConfig
from operators.block_follower.finality import Finality
from operators.block_follower.position import Blocks
from operators.block_follower.reporting import Reporter
from operators.block_follower.writing import Writing
from operators.chain.fetch import Fetcher
from operators.chain.head import height_of
from operators.chain.links import BrokenChain, Header
from operators.chain.pool import ProviderPool
from traceplane_sdk.context import Context


@dataclass(frozen=True, slots=True)
class Parts:
    """Of one run."""

    ctx: Context
    config: BlockFollowerConfig
    fetcher: Fetcher
    pool: ProviderPool
    blocks: Blocks
    finality: Finality
    writing: Writing
    reporter: Reporter

    @property
    def sparse(self) -> bool:
        """Whether a height may have no block."""
        return self.config.profile.sparse

    def parent_below(self, first: int, header: Header) -> str | None:
        """What `header` must build on where no stored block says it, and `first` is the lowest height that is not
        written yet; None: anything. Raises BrokenChain.
        """
        if header.number == first:
            return None
        # Heights from `first` on are to be recorded as empty: its parent must lie below them.
        parent = self.pool.with_failover(partial(height_of, block_hash=header.parent_hash))
        if parent is None or parent >= first:
            raise BrokenChain(header.number)
        return header.parent_hash

    def next_block(self, height: int, above: int) -> Header:
        """The first block above `height` of a sparse chain. Raises BrokenChain where no provider has one."""
        top = self.pool.head(None).number
        for low in range(height + 1, top + 1, self.config.batch_blocks):
            batch = self.fetcher.batch(low, min(low + self.config.batch_blocks - 1, top))
            if batch.headers:
                return batch.headers[0]
        raise BrokenChain(above)
