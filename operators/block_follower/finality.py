"""What is final: so many blocks behind the highest tip, or all up to the block that the chain itself calls final.

What was final stays final: neither a shorter chain nor a node that lags takes it back, nor does a restart, since it
is committed with the rows.
"""

from __future__ import annotations

from operators.block_follower.config import BlockFollowerConfig
from operators.chain.faults import Kind, ProviderFault
from operators.chain.head import require_tag
from operators.chain.pool import ProviderPool
from traceplane_sdk.errors import OperatorError

_PASSING = frozenset({Kind.RATE_LIMITED, Kind.NOT_AUTHORISED, Kind.MOVED, Kind.UNREACHABLE, Kind.WRONG_CHAIN})
"""Faults that say nothing of the tag."""


class Finality:
    """Of one run."""

    def __init__(self, config: BlockFollowerConfig) -> None:
        self._depth = config.finality_depth_blocks
        self.tag = None if config.finality == "Depth" else config.finality.lower()
        """The block tag to ask for with each head (execution-apis, BlockTag), or None."""
        self._highest = -1
        self._tagged = -1
        self._committed = -1

    def __str__(self) -> str:
        return f"finalityDepthBlocks={self._depth}" if self.tag is None else f"the chain's {self.tag} block"

    @property
    def final(self) -> int:
        """The highest height whose block may not be replaced; negative where there is none."""
        return self.final_with(self._highest)

    def final_with(self, tip: int) -> int:
        """What is final once the tip is written up to this height."""
        highest = max(self._highest, tip)
        return max(self._committed, highest - self._depth if self.tag is None else min(self._tagged, highest))

    @property
    def is_committed(self) -> bool:
        """Whether another run would know all that is final."""
        return self.final <= self._committed

    @property
    def known(self) -> int:
        """The highest height that the tag was seen at, by this run or one before; -1: none yet."""
        return max(self._tagged, self._committed)

    def at(self, cursor: int) -> int | None:
        """What an event with this cursor says is final (-1: nothing); None where its dataset's depth says it."""
        # Said although unknown: without it a reader would go by the depth, on a chain where that is not safe.
        return None if self.tag is None else min(self.known, cursor)

    def committed(self, final: int) -> None:
        """So much is final by what is committed with the rows."""
        self._committed = max(self._committed, final)

    def reached(self, tip: int) -> None:
        """The tip is written up to this height."""
        self._highest = max(self._highest, tip)

    def tagged(self, height: int | None) -> None:
        """The chain's tag is at this height; None: a node does not say."""
        if height is not None:
            self._tagged = max(self._tagged, height)


def check_tag(pool: ProviderPool, tag: str) -> None:
    """Raise OperatorError where the providers do not have the tag: before the first row, not at the first reorg.

    Nodes without a beacon chain, and chains without finality, answer null or an error (execution-apis#879).
    """
    try:
        pool.with_failover(lambda provider: require_tag(provider, tag))
    except ProviderFault as fault:
        if fault.kind in _PASSING:
            raise
        raise OperatorError(
            "NoFinalityTag",
            f"no provider names a block `{tag}` ({fault}). Set finality: Depth with a finalityDepthBlocks that is "
            "safe on this chain, or use providers that know the tag.",
            retryable=fault.kind is Kind.NOT_THERE_YET,  # a node that has just started names none yet
        ) from fault
