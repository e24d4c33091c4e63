"""Which ranges a moved cursor completes. Pure.

A range is emitted once its last value is final. The first one begins where the dataset does and may be shorter. The
only state is where the next range starts, so the order in which cursors arrive, repeats and gaps between them make
no difference.
"""

from __future__ import annotations

from itertools import islice, takewhile

from operators.ranges.cut import cut
from traceplane_sdk.wire import Partition


def complete_ranges(next_start: int, last_final: int, upto: int, size: int, limit: int) -> list[Partition]:
    """The first `limit` ranges from `next_start` that begin by `upto` and end by `last_final`, in order."""
    # Of the pieces up to what is final, the last may have its end yet to come.
    whole = takewhile(
        lambda one: one.start <= upto and (one.end + 1) % size == 0, cut(next_start, last_final, size)
    )
    return list(islice(whole, limit))
