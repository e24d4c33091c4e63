"""Entry point of the splitter: writes the chunks of one partition and fires each of them.

Which chunks there are follows from the partition alone, so every attempt makes the same ones. Rows come first, then
events: a crash in between leaves rows without events, which the next attempt adds. A completion takes 1,000 events;
what is more is reported before it, under ids that are the same in each attempt of the task, so that none counts
twice. A partition that was rewritten comes with another task, which fires its chunks again.
"""

from __future__ import annotations

from operators.range_splitter.config import RangeSplitterConfig
from operators.ranges import emit
from operators.ranges.cut import cut, pieces
from traceplane_sdk import wire
from traceplane_sdk.context import Context, Result
from traceplane_sdk.errors import OperatorError

MAX_CHUNKS = 100_000
"""Of one partition: each is a row, an event, and a task of every job that reads the chunks."""


def run(ctx: Context) -> Result:
    """Emit the chunks of the task's partition."""
    config: RangeSplitterConfig = ctx.config
    whole = ctx.trigger().partition
    if whole is None:
        raise OperatorError("BadTask", "the task names no partition", retryable=False)
    count = pieces(whole.start, whole.end, config.chunk_size)
    if count > MAX_CHUNKS:
        raise OperatorError(
            "TooManyChunks",
            f"{whole.key} makes {count} chunks of {config.chunk_size}; at most {MAX_CHUNKS} are emitted. "
            "Raise chunkSize, or split into larger chunks first and these in a second job.",
            retryable=False,
        )
    output = ctx.task.outputs[0].name
    chunks = list(cut(whole.start, whole.end, config.chunk_size))
    new = emit.write(ctx, output, chunks)
    ctx.log("partition split", partition=whole.key, chunks=count, new=new)
    while len(chunks) > wire.MAX_ITEMS:
        ctx.control.check()
        ctx.emit(emit.events(output, chunks[: wire.MAX_ITEMS]), key=chunks[0].key)
        chunks = chunks[wire.MAX_ITEMS :]
    return Result(events=emit.events(output, chunks))
