"""Before a reorg is applied, the other providers are asked, and waited for within a bound."""

from __future__ import annotations

import time
from collections.abc import Callable

from operators.block_follower.position import Tip
from operators.block_follower.reporting import Reporter
from operators.chain.confirm import Block, Verdict, verdict
from operators.chain.pool import ProviderPool
from traceplane_sdk.context import Context

CONFIRM_SECONDS = 60.0
"""How long a reorg waits for providers that are not at its height yet; then it is applied, if none denies it."""


class Confirmation:
    """Of one run's reorgs, one at a time. `clock` in seconds."""

    def __init__(
        self, ctx: Context, pool: ProviderPool, reporter: Reporter, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ctx, self._pool, self._reporter, self._clock = ctx, pool, reporter, clock
        self._since: float | None = None

    def over(self) -> None:
        """The reorg was applied, or the chain is the stored one after all."""
        if self._since is not None:
            self._since = None
            self._ctx.measure("source_reorg_unconfirmed_seconds", 0)

    def of(self, new: Tip, old: Tip) -> bool:
        """Whether `new` may take the place of `old`; False: ask again after a while."""
        said, names = verdict(self._pool, Block(new.number, new.block_hash), Block(old.number, old.block_hash))
        if said is Verdict.CONFIRMED:
            return True
        fields = {"block_number": new.number, "verdict": said.value, "providers": names}
        if self._since is None:
            self._since = self._clock()
            self._ctx.log("reorg not confirmed by a second provider", level="warning", **fields)
        waited = self._clock() - self._since
        if said is Verdict.PENDING and waited >= CONFIRM_SECONDS:
            self._ctx.log("reorg not confirmed in time, and denied by none", level="warning", **fields)
            return True
        self._ctx.measure("source_reorg_unconfirmed_seconds", waited)
        self._reporter.failed(f"a reorg at block {new.number} is {said.value}: {', '.join(names)}")
        if said is Verdict.DENIED:
            # A provider that still has the stored tip can be followed meanwhile.
            self._pool.rotate(self._pool.current())
        return False
