"""Where the rows of a partition lie: cold files of the relocated ranges, and the hot table outside of them. Pure.

A compaction that is rebuilt finds hot rows of its partition moved by the version before it, and perhaps deleted.
The claim says which cold version has which range; no two overlap, so that each value of the scope column is read
once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from traceplane_sdk import wire
from traceplane_sdk.errors import OperatorError

Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Segment:
    """Scope values `low` to `high`, in the files of `cold`, or in the hot table where that is None."""

    low: int
    high: int
    cold: wire.ColdPartition | None


def segments(source: wire.TaskInput, partition: wire.Partition) -> list[Segment]:
    """All of the partition, in ascending order. Raises OperatorError where a relocated range has no files."""
    moved = [
        (low, high, one)
        for one in source.relocated
        for low, high in within(one.ranges, partition.start, partition.end)
    ]
    found: list[Segment] = []
    next_value = partition.start
    for low, high, one in sorted(moved, key=lambda part: part[:2]):
        if next_value < low:
            found.append(Segment(next_value, low - 1, None))
        found += _files(source, one, low, high)
        next_value = high + 1
    if next_value <= partition.end:
        found.append(Segment(next_value, partition.end, None))
    return found


def cold_ranges(found: Sequence[Segment]) -> list[Range]:
    """The ranges that are read from files, as few as they can be."""
    joined: list[Range] = []
    for part in found:
        if part.cold is None:
            continue
        if joined and joined[-1][1] + 1 == part.low:
            joined[-1] = (joined[-1][0], part.high)
        else:
            joined.append((part.low, part.high))
    return joined


def within(ranges: Sequence[Range], start: int, end: int) -> Iterator[Range]:
    """What of `ranges` lies in `start` to `end`."""
    for low, high in ranges:
        if low <= end and high >= start:
            yield max(low, start), min(high, end)


def _files(source: wire.TaskInput, one: wire.Relocated, low: int, high: int) -> Iterator[Segment]:
    next_value = low
    for part in sorted(one.partitions, key=lambda part: part.start):
        if part.start <= next_value <= part.end and next_value <= high:
            yield Segment(next_value, min(part.end, high), part)
            next_value = part.end + 1
    if next_value <= high:
        if len(one.partitions) > wire.MAX_COLD_PARTITIONS:
            raise OperatorError(
                "TooManyPartitions",
                f"{low}-{high} of {source.name} lies in more than {wire.MAX_COLD_PARTITIONS} cold partitions of "
                f"version {one.cold_version}; give the ranges a smaller `rangeSize`",
                retryable=False,
            )
        raise OperatorError(
            "ColdFilesMissing",
            f"{next_value}-{high} of {source.name} moved to version {one.cold_version}, which has no files of it; "
            "or the claim had no room for them: claim fewer tasks at once",
        )
