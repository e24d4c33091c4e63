"""Which ranges a moved cursor completes. Pure.

Ranges end at multiples of their size, so that every job that cuts ranges gets the same keys; the first one begins
where the dataset does and may be shorter. A range is emitted once its last value is final. The only state is where
the next range starts, so the order in which cursors arrive, repeats and gaps between them make no difference.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Range:
    """An inclusive range."""

    start: int
    end: int

    @property
    def key(self) -> str:
        """Its partition key."""
        return f"{self.start}-{self.end}"


def complete_ranges(next_start: int, last_final: int, size: int, limit: int) -> list[Range]:
    """The first `limit` ranges from `next_start` whose end is at most `last_final`, in order."""
    ranges: list[Range] = []
    while len(ranges) < limit:
        end = (next_start // size + 1) * size - 1  # the next multiple, exclusive
        if end > last_final:
            break
        ranges.append(Range(next_start, end))
        next_start = end + 1
    return ranges
