"""Where two views of a chain part. Pure.

A block's hash covers its parent's hash, so equal hashes at one height mean equal chains below it. The fork point is
therefore the highest height at which the stored blocks and the chain agree.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping


class NoForkPoint(Exception):
    """The two views share no block among the heights compared."""


def fork_point(stored: Mapping[int, str], chain: Mapping[int, str]) -> int:
    """Highest height whose hash is the same in both. Raises NoForkPoint where there is none."""
    common = [number for number, block_hash in stored.items() if chain.get(number) == block_hash]
    if not common:
        raise NoForkPoint
    return max(common)


def probes(tip: int, lowest: int) -> Iterator[tuple[int, int]]:
    """Inclusive height ranges to compare, from the tip down to `lowest`, each twice as long as the one before."""
    end, length = tip, 8
    while end >= lowest:
        start = max(lowest, end - length + 1)
        yield start, end
        # Most reorgs are a block or two deep: begin small, and still reach any depth in a few requests.
        end, length = start - 1, length * 2


def missing_ranges(
    start: int, end: int, held: list[tuple[int, int]], elsewhere: list[tuple[int, int]]
) -> list[tuple[int, int]]:
    """Inclusive ranges of `start` to `end` in neither `held` nor `elsewhere` (inclusive ranges, any order)."""
    missing = []
    position = start
    for low, high in sorted(held + elsewhere):
        if low > position:
            missing.append((position, min(low - 1, end)))
        position = max(position, high + 1)
        if position > end:
            break
    if position <= end:
        missing.append((position, end))
    return [(low, high) for low, high in missing if low <= high]
