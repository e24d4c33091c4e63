"""Entry point of the aggregator: writes the ranges that became final and fires one partition each.

Exactly once needs no more than the order of two effects: rows first, then events and state together. A crash in
between makes the next attempt plan the same ranges again.
"""

from __future__ import annotations

from operators.range_aggregator.config import RangeAggregatorConfig
from operators.range_aggregator.plan import complete_ranges
from operators.ranges import emit
from traceplane_sdk import wire
from traceplane_sdk.context import Context, Result
from traceplane_sdk.errors import OperatorError

NEXT_START = "next_start"
"""Key of the job's state: first value of the next range."""
MAX_RANGES = wire.MAX_ITEMS
"""In one run, the bound of a completion; what is left comes with the next cursor."""


def run(ctx: Context) -> Result:
    """Emit what the task's cursor completes."""
    config: RangeAggregatorConfig = ctx.config
    source = ctx.trigger()
    if source.cursor is None or source.finality_depth is None or source.first_value is None:
        raise OperatorError("BadTask", "the input has no cursor, finality depth or first value", retryable=False)
    next_start = int(ctx.state.get(NEXT_START, source.first_value))
    # What the source says of its chain outranks a distance from the head.
    final = source.cursor.known - source.finality_depth if source.final is None else source.final
    ranges = complete_ranges(next_start, final, source.cursor.upto, config.range_size, MAX_RANGES)
    if not ranges:
        return Result()
    output = ctx.task.outputs[0].name
    new = emit.write(ctx, output, ranges)
    ctx.log("ranges complete", ranges=len(ranges), new=new, first=ranges[0].key, last=ranges[-1].key)
    # Both travel in the completion, which the dispatcher accepts whole or not at all.
    return Result(events=emit.events(output, ranges), state={NEXT_START: ranges[-1].end + 1})
