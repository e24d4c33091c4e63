"""What a step that writes nothing says of the source, and what a gap of a sparse chain is filled with."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from operators.block_follower import gaps
from operators.block_follower.config import BlockFollowerConfig
from operators.block_follower.follow import Follower
from operators.block_follower.position import Tip
from operators.block_follower.reporting import Reporter
from operators.block_follower.tests.context import Ctx
from operators.chain.fetch import Batch
from operators.chain.links import BrokenChain, Header
from operators.chain.tests.providers import Chain, Clock, pool_of
from traceplane_sdk.context import STALL_SECONDS

HEIGHT = 7


class Broken:
    """A fetcher whose blocks build on others than those stored."""

    def stream(self, start: int, _end: int, _batch_blocks: int) -> list[Batch]:
        raise BrokenChain(start)


def follower(ctx: Ctx, clock: Clock, tip: Tip | None, start_block: int = 0) -> Follower:
    """One whose only provider has blocks up to HEIGHT."""
    chosen = {"chainId": 1, "rpcPool": "local", "startBlock": start_block}
    context: Any = ctx
    context.config = BlockFollowerConfig.model_validate(chosen)
    context.task = SimpleNamespace(outputs=[SimpleNamespace(name="blocks", location="hot.d_0")])
    context.connection = lambda: None
    pool, fetcher = pool_of(Chain(height=HEIGHT)), Broken()
    made = Follower(context, fetcher, pool)  # type: ignore[arg-type]
    made.reporter = Reporter(context, pool, 0.0, "chain 1", clock=clock)
    blocks: Any = made.parts.blocks
    blocks.hashes = lambda _connection, low, high: {number: str(number) for number in range(low, high + 1)}
    made._set_tip(tip)
    return made


@pytest.mark.parametrize(
    ("tip", "start_block", "said"),
    [
        (Tip(HEIGHT, str(HEIGHT)), 0, None),
        (None, HEIGHT + 5, None),
        (Tip(HEIGHT + 3, "10"), 0, "the providers reach to block 7 only, and block 10 is stored"),
        (Tip(HEIGHT - 1, str(HEIGHT - 1)), 0, "block 7 does not build on the block before it"),
    ],
    ids=["the head is stored", "the first block is to come", "the head is below", "blocks do not link"],
)
def test_a_follower_is_healthy_without_a_new_block_only_where_it_has_the_head(
    tip: Tip | None, start_block: int, said: str | None
) -> None:
    ctx, clock = Ctx(), Clock()
    made = follower(ctx, clock, tip, start_block)
    clock.now += STALL_SECONDS + 1
    assert not made.step()
    assert not made.step()
    report = made.reporter.health.report(clock.now)
    assert report.healthy == (said is None)
    assert said is None or said in report.message


@pytest.mark.parametrize(("parent", "filled"), [(3, True), (4, False), (None, False)])
def test_a_gap_above_no_stored_block_begins_with_empty_heights_only_where_the_parent_is_below_them(
    parent: int | None, filled: bool
) -> None:
    """As below the first block, or above what was moved to cold files."""
    parts: Any = follower(Ctx(), Clock(), Tip(HEIGHT, str(HEIGHT))).parts
    written: list[tuple[int, int]] = []
    gap = Batch(4, 6, [Header(6, "6", "5", datetime.now(UTC))], {"blocks": []})
    parts.blocks.parent_of = lambda _connection, _height: None
    parts.ctx.hot = nullcontext
    parts.writing.rewrite = lambda _transaction, below, last, _batches, _reason: written.append((below + 1, last))
    parts = replace(
        parts,
        fetcher=SimpleNamespace(stream=lambda *_span: [gap]),
        pool=SimpleNamespace(with_failover=lambda _request: parent),
    )
    if filled:
        gaps.fill(parts, 4, 6)
    else:
        with pytest.raises(BrokenChain):
            gaps.fill(parts, 4, 6)
    assert written == ([(4, 6)] if filled else [])
