"""A made-up chain that grows and reorganises, and the source that follows it into a hot table.

A block's value is a function of its number, of the branch it was mined on, and of the salt in the source's config:
so what any version of the source has to hold is known without asking it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from pydantic import BaseModel

from tests.support.sources import source
from traceplane_sdk import wire
from traceplane_sdk.context import Context, Result
from traceplane_sdk.errors import Stopped, StopReason
from traceplane_sdk.hot import committed_final
from traceplane_sdk.operator import Column, ColumnType, InputSchema, OutputSchema, Storage

FINALITY = 3
"""Blocks behind the head that a reorg may replace."""
AT_ONCE = 8
"""Blocks of one transaction of the source."""
PLACES = 6
"""A block belongs to one of so many places."""

Block = tuple[int, str, int]


class Config(BaseModel):
    """What decides the values of the source."""

    salt: int


def _declare(config: Config, _inputs: Sequence[InputSchema], outputs: Sequence[str]) -> dict[str, OutputSchema]:
    columns = (
        Column("number", ColumnType.INT64),
        Column("place", ColumnType.TEXT),
        Column("value", ColumnType.INT64),
    )
    schema = OutputSchema(
        Storage.POSTGRES, columns, ("number",), "number", ("number",), finality_depth=FINALITY, first_value=0
    )
    return dict.fromkeys(outputs, schema)


OPERATOR = source("made_up_chain", Config, _declare)


@dataclass
class MadeUpChain:
    """The branch on which each block was mined, by number."""

    branches: list[int] = field(default_factory=list)

    @property
    def head(self) -> int:
        return len(self.branches) - 1

    @property
    def final(self) -> int:
        return self.head - FINALITY

    def grow(self, blocks: int) -> None:
        self.branches += [self.branches[-1] if self.branches else 0] * blocks

    def reorg(self, depth: int) -> None:
        """Replace the last blocks, at most those that are not final."""
        depth = min(depth, FINALITY, len(self.branches))
        self.branches[len(self.branches) - depth :] = [max(self.branches, default=0) + 1] * depth

    def blocks(self, salt: int, first: int = 0) -> list[Block]:
        """What a source with this salt holds once it is at the head."""
        return [
            (number, f"place {number % PLACES}", number * 7 + branch * 1000 + salt)
            for number, branch in enumerate(self.branches[first:], first)
        ]

    def follow(self, ctx: Context) -> Result:
        """One run of the source: what a reorg replaced, then what is new; the task is handed back."""
        output = ctx.task.outputs[0]
        first = (committed_final(ctx.connection(), ctx.task) or -1) + 1
        written = self._written(ctx, output, first)
        blocks = self.blocks(int(ctx.config["salt"]), first)
        common = len(list(takewhile(lambda pair: pair[0] == pair[1], zip(written, blocks, strict=False))))
        if common < len(written):
            self._replace(ctx, output.name, blocks[common : len(written)])
        new = blocks[len(written) :]
        for start in range(0, len(new), AT_ONCE):
            self._append(ctx, output.name, new[start : start + AT_ONCE])
        raise Stopped(StopReason.DRAINING)

    @staticmethod
    def _written(ctx: Context, output: wire.TaskOutput, first: int) -> list[Block]:
        rows = f"SELECT number, place, value FROM {output.location} WHERE number >= %s ORDER BY 1"
        return ctx.connection().execute(rows, (first,)).fetchall()

    @staticmethod
    def _replace(ctx: Context, output: str, blocks: Sequence[Block]) -> None:
        low, high = blocks[0][0], blocks[-1][0]
        with ctx.hot() as transaction:
            transaction.replace(output, low, high, blocks)
            transaction.invalidate(wire.Invalidation(output=output, start=low, end=high, reason="reorg"))

    def _append(self, ctx: Context, output: str, blocks: Sequence[Block]) -> None:
        low, high = blocks[0][0], blocks[-1][0]
        final = min(high, self.final) if self.final >= 0 else None
        with ctx.hot() as transaction:
            transaction.replace(output, low, high, blocks)
            transaction.position(high, final)
            transaction.event(wire.Event(output=output, cursor=high, final=final))
