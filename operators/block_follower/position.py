"""What the tables hold: the only memory a follower has.

A follower keeps no progress of its own. Rows and progress then cannot disagree after a crash, whatever the point:
the stored headers are the position, and their hashes show whether they are still the chain's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from operators.block_follower.reorg import missing_ranges
from traceplane_sdk import hot, wire
from traceplane_sdk.errors import OperatorError

if TYPE_CHECKING:
    import psycopg
    from psycopg import sql

MAX_GAPS = 10_000
"""Gaps found in one pass; more than that are found in the next pass."""

# Gaps and islands: rows of one contiguous run share `block_number - row_number`. Of a sparse chain, what is
# recorded as empty is held as well; a gap begins after the highest height that is held so far.
_GAPS = """
with islands as (
    select min(block_number) as low, max(block_number) as high from (
        select block_number, block_number - row_number() over (order by block_number) as island from {blocks}
    ) as numbered group by island
), held as (
    select low, high from islands
    union all select low, high from trace.empty_ranges where dataset_version_id = %(version)s
    union all select %(first)s - 1, %(first)s - 1
), before as (
    select low, max(high) over (order by low, high rows between unbounded preceding and 1 preceding) as reached
    from held
)
select reached + 1, low - 1 from before where low > reached + 1 and low > %(first)s order by 1 limit %(limit)s
"""


@dataclass(frozen=True, slots=True)
class Tip:
    """The highest stored block."""

    number: int
    block_hash: str


class Blocks:
    """Reads of the stored `blocks` table."""

    def __init__(self, output: wire.TaskOutput) -> None:
        self._output = output

    def tip(self, connection: psycopg.Connection[Any]) -> Tip | None:
        """The highest block, or None while the table is empty."""
        row = connection.execute(  # one step of the primary key's index, backwards
            self._sql("select block_number, block_hash from {} order by block_number desc limit 1")
        ).fetchone()
        return None if row is None else Tip(*row)

    def committed_tip(self, connection: psycopg.Connection[Any], task: wire.TaskPayload) -> Tip | None:
        """The highest block, which must be one that the writer of `task` committed.

        Raises OperatorError `RowsBeyondPosition` where the table reaches higher: the follower would go on above
        rows that it never wrote. Rows of a release that committed no position are taken as they are.
        """
        tip, committed = self.tip(connection), hot.committed_position(connection, task)
        if tip is not None and committed is not None and tip.number > committed:
            raise OperatorError(
                "RowsBeyondPosition",
                f"{self._output.location} reaches to block {tip.number}, but the follower committed blocks up to "
                f"{committed} only: something else wrote the rest. Nothing was written. Delete the rows above "
                f"{committed} from all tables of this job, then run `tracectl retry`.",
                retryable=False,
            )
        return tip

    def hashes(self, connection: psycopg.Connection[Any], start: int, end: int) -> dict[int, str]:
        """Height to hash for the stored blocks of an inclusive range."""
        rows = connection.execute(
            self._sql("select block_number, block_hash from {} where block_number between %s and %s"), (start, end)
        ).fetchall()
        return dict(rows)

    def times(self, connection: psycopg.Connection[Any], start: int, end: int) -> tuple[Any, Any]:
        """Earliest and latest block time of an inclusive range; (None, None) where it holds nothing."""
        row = connection.execute(
            self._sql(
                "select min(block_timestamp), max(block_timestamp) from {} where block_number between %s and %s"
            ),
            (start, end),
        ).fetchone()
        return row if row is not None else (None, None)

    def gaps(self, connection: psycopg.Connection[Any], first: int) -> list[tuple[int, int]]:
        """Inclusive ranges between `first` and the tip that are neither here nor moved to cold files."""
        missing = connection.execute(
            self._sql(_GAPS, "blocks"), {"version": self._output.version, "first": first, "limit": MAX_GAPS}
        ).fetchall()
        moved = [(low, high) for relocated in self._output.relocated for low, high in relocated.ranges]
        return [gap for low, high in missing for gap in missing_ranges(max(low, first), high, [], moved)]

    def parent_of(self, connection: psycopg.Connection[Any], height: int) -> str | None:
        """The hash of the stored block that one at `height` builds on; None where the tables cannot say.

        They can where that block is at the height below, or all heights between are recorded as empty.
        """
        below = self.at_or_below(connection, height - 1)
        if below is None:
            return None
        empty = hot.empty_ranges(connection, self._output.version, below.number + 1, height - 1)
        return None if missing_ranges(below.number + 1, height - 1, empty, []) else below.block_hash

    def at_or_below(self, connection: psycopg.Connection[Any], height: int) -> Tip | None:
        """The highest stored block at or below a height."""
        row = connection.execute(
            self._sql(
                "select block_number, block_hash from {} where block_number <= %s"
                " order by block_number desc limit 1"
            ),
            (height,),
        ).fetchone()
        return None if row is None else Tip(*row)

    def _sql(self, text: str, *names: str) -> sql.Composed:
        from psycopg import sql

        table = sql.Identifier(*self._output.location.split("."))
        return sql.SQL(text).format(**dict.fromkeys(names, table)) if names else sql.SQL(text).format(table)
