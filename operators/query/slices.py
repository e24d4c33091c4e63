"""Which ranges a run answers for: its partition, or what became final since the run before, in slices.   (pure)

A reorganisation may still replace what is not final, so a PerUpdate run leaves it to a later one. The end of what
was answered is kept in the job's state, which is accepted with the completion: a run that died begins there again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from traceplane_sdk import wire

NEXT_START = "next_start"
"""Key of the job's state: the first value that is not answered for."""
LOWEST = -(2**63)


def ranges(source: wire.TaskInput, state: Mapping[str, Any], size: int) -> Iterator[wire.Partition]:
    """The ranges to answer for, in order: of a task that names a partition, or a cursor."""
    if source.partition is not None:
        yield source.partition
        return
    if source.cursor is None:
        return
    start, end = state.get(NEXT_START), _final(source, source.cursor.upto)
    first = source.first_value if source.first_value is not None else LOWEST
    low = first if start is None else int(start)
    # Nobody knows where a dataset without a first value begins: its first slice is all there is.
    step = size if low > LOWEST else end - low + 1
    while low <= end:
        high = min(low + step - 1, end)
        yield wire.Partition(f"{low}-{high}", low, high)
        low = high + 1


def _final(source: wire.TaskInput, upto: int) -> int:
    # What the source says of its chain outranks a distance from the head. A dataset without either never changes.
    return source.final if source.final is not None else upto - (source.finality_depth or 0)
