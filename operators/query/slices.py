"""Which ranges a run answers for: its partition, or the whole slices that became final since the run before. (pure)

A reorganisation may still replace what is not final, so a PerUpdate run leaves it to a later one. Slices end at
multiples of their size and are answered for whole: so the rows follow from the chain and the size, and not from
when anybody looked.
"""

from __future__ import annotations

from collections.abc import Iterator

from operators.ranges.cut import cut
from traceplane_sdk import wire


def ranges(source: wire.TaskInput, position: int | None, size: int) -> Iterator[wire.Partition]:
    """The ranges to answer for, in order; `position` is the last value that was answered for."""
    if source.partition is not None:
        yield source.partition
    elif source.cursor is not None and source.first_value is not None and source.finality_depth is not None:
        # What the source says of its chain outranks a distance from the head.
        final = source.final if source.final is not None else source.cursor.known - source.finality_depth
        start = source.first_value if position is None else position + 1
        for piece in cut(start, final, size):
            if piece.start > source.cursor.upto:
                return
            if (piece.end + 1) % size == 0:
                yield piece
