"""Which ranges of a stream may be emitted now. Pure.

Ranges follow from where the stream starts, where it ends and its chunk size; the head and what is in flight decide
only how many of them there are yet. So a restart, another lag or another bound goes on with the same ranges.
"""

from __future__ import annotations

from itertools import islice

from operators.ranges.cut import cut
from traceplane_sdk.wire import Partition


def last_block(head: int, lag: int, target: int | None) -> int:
    """The last block that may be part of a range."""
    return head - lag if target is None else min(head - lag, target)


def due(next_start: int, last: int, target: int | None, size: int, room: int) -> list[Partition]:
    """The first `room` ranges from `next_start` that end at `last` or before it, in order."""
    ready = cut(next_start, last, size)
    # A range that only the head cut short grows on: it waits until it is whole.
    whole = (one for one in ready if (one.end + 1) % size == 0 or one.end == target)
    return list(islice(whole, max(0, room)))
