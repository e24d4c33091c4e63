"""Cutting a range into pieces of one size. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from traceplane_sdk.wire import Partition


def cut(start: int, end: int, size: int) -> Iterator[Partition]:
    """The pieces of `start` to `end`, inclusive, in order: each value in one of them, and no other value."""
    while start <= end:
        last = min(
            (start // size + 1) * size - 1, end
        )  # the next multiple of the size is where the next one begins
        yield Partition(f"{start}-{last}", start, last)
        start = last + 1


def pieces(start: int, end: int, size: int) -> int:
    """How many pieces `cut` makes."""
    return 0 if start > end else end // size - start // size + 1
