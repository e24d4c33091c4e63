"""Which values of a sparse output have no row: recorded, so that they are no holes.

Some chains have heights without a block. A reader that counts rows (a gap search, a compaction) must know them, so
the writer records them in `trace.empty_ranges` of **data**, in the transaction that writes the rows around them.
Ranges are inclusive and never overlap: recording or clearing one splits those that it cuts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg

# Ranges do not overlap, so of those that begin at or below `low` only the last one may reach it. Knowing that, the
# index gives a few rows, wherever in a long list the range lies.
_OVERLAPPING = """
dataset_version_id = %(version)s and low <= %(high)s and high >= %(low)s and low >= coalesce(
    (select max(low) from trace.empty_ranges where dataset_version_id = %(version)s and low <= %(low)s), %(low)s)
"""
_CLEAR = f"""
with cut as (delete from trace.empty_ranges where {_OVERLAPPING} returning low, high)
insert into trace.empty_ranges (dataset_version_id, low, high)
-- What remains on either side.
select %(version)s::uuid, low, %(low)s - 1 from cut where low < %(low)s
union all
select %(version)s::uuid, %(high)s + 1, high from cut where high > %(high)s
"""
_RECORD = "insert into trace.empty_ranges (dataset_version_id, low, high) values (%(version)s, %(low)s, %(high)s)"
_READ = f"""
select greatest(low, %(low)s), least(high, %(high)s) from trace.empty_ranges where {_OVERLAPPING} order by 1
"""


def between(start: int, end: int, values: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Inclusive ranges of `start` to `end` that none of `values` is in.   (pure)

    These are within it and in order; one may come several times.
    """
    low = start
    for value in values:
        if value > low:
            yield low, value - 1
        low = value + 1
    if low <= end:
        yield low, end


def clear(connection: psycopg.Connection[Any], version: str, low: int, high: int) -> None:
    """Forget what was recorded of `low` to `high`, inclusive."""
    connection.execute(_CLEAR, {"version": version, "low": low, "high": high})


def record(connection: psycopg.Connection[Any], version: str, low: int, high: int) -> None:
    """Record that no value from `low` to `high` has a row; a repeat changes nothing."""
    clear(connection, version, low, high)
    connection.execute(_RECORD, {"version": version, "low": low, "high": high})


def empty_ranges(connection: psycopg.Connection[Any], version: str, low: int, high: int) -> list[tuple[int, int]]:
    """The recorded inclusive ranges within `low` to `high`, clipped to it, in order."""
    rows = connection.execute(_READ, {"version": version, "low": low, "high": high}).fetchall()
    return [(first, last) for first, last in rows]
