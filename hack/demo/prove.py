"""The proof that a table of blocks is the chain: same head, no gap, no row twice, every hash as the node says.

The chain moves on while we look, so everything is said about one pinned head: the node's newest block when the
proof began. The proof waits until the table reaches it, and then compares every row up to it, one for one. It
does not trust aggregates of the table under proof beyond what it recomputes from the rows it was given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from hack.demo import chain
from hack.demo.kube import wait_for
from hack.localcluster.layout import ClusterError
from hack.localcluster.progress import Step

Ask = Callable[[str], list[list[Any]]]
"""Rows of an SQL statement."""

PAGE = 5_000
"""Rows asked for at once; an inline answer holds 10,000."""
SHOWN = 5


@dataclass(frozen=True)
class Row:
    """What is compared of a block: its number, hashes and number of transactions."""

    number: int
    hash: str
    parent: str
    transactions: int


@dataclass(frozen=True)
class Proof:
    """The outcome: every difference found, and what was compared."""

    first: int
    head: int
    rows: int
    transactions: int
    differences: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether the table is the chain."""
        return not self.differences

    def __str__(self) -> str:
        if not self.holds:
            return "NOT PROVEN\n" + "\n".join(f"  - {difference}" for difference in self.differences)
        return (
            f"PROVEN against the node at block {self.head}: head equal, {self.rows} rows for blocks "
            f"{self.first} to {self.head} with no gap and none twice, every block hash, parent hash and "
            f"transaction count as the node says ({self.transactions} transactions)"
        )


def prove(
    ask: Ask, rpc: str, *, table: str, first: int = 0, seconds: float = 120, step: Step | None = None
) -> Proof:
    """Compare `table` with the node at `rpc`, from block `first` to the node's head as it is now.

    ClusterError where the table does not reach that head within `seconds`.
    """
    head = chain.head(rpc)
    wait_for(f"{table} reaches block {head}", seconds, lambda: _reached(ask, table, head), step)
    found: list[Row] = []
    for start in range(first, head + 1, PAGE):
        end = min(start + PAGE - 1, head)
        if step is not None:
            step.detail(f"block {start} of {head}")
        found += _rows(ask, table, start, end)
    # Rows below the first block would be missed by the pages.
    below = ask(f"SELECT count(*) FROM {table} WHERE block_number < {first}")[0][0]
    expected = [_row_of_node(block) for block in chain.blocks(rpc, range(first, head + 1))]
    differences = compare(found, expected)
    if below:
        differences = (f"{below} rows below the first block {first}", *differences)
    return Proof(first, head, len(found), sum(row.transactions for row in expected), differences)


def compare(found: Sequence[Row], expected: Sequence[Row]) -> tuple[str, ...]:
    """Every difference between the rows of the table and the blocks of the node, in words. Pure."""
    wanted = {row.number: row for row in expected}
    times = Counter(row.number for row in found)
    differences = [
        *_say("missing", sorted(wanted.keys() - times.keys())),
        *_say("not on the chain", sorted(times.keys() - wanted.keys())),
        *_say("more than once", sorted(number for number, count in times.items() if count > 1)),
    ]
    for name in ("hash", "parent", "transactions"):
        wrong = sorted(
            {
                row.number
                for row in found
                if row.number in wanted and getattr(row, name) != getattr(wanted[row.number], name)
            }
        )
        differences += _say(f"with another {name} than the node's", wrong)
    return tuple(differences)


def _say(what: str, numbers: Sequence[int]) -> Iterable[str]:
    if numbers:
        shown = ", ".join(str(number) for number in numbers[:SHOWN])
        more = f" and {len(numbers) - SHOWN} more" if len(numbers) > SHOWN else ""
        yield f"{len(numbers)} blocks {what}: {shown}{more}"


def _reached(ask: Ask, table: str, head: int) -> tuple[bool, str]:
    newest = ask(f"SELECT max(block_number) FROM {table}")[0][0]
    return newest is not None and newest >= head, f"block {newest} of {head}"


def _rows(ask: Ask, table: str, start: int, end: int) -> list[Row]:
    rows = ask(
        f"SELECT block_number, block_hash, parent_hash, transaction_count FROM {table} "
        f"WHERE block_number BETWEEN {start} AND {end}"
    )
    if len(rows) > 2 * PAGE:
        raise ClusterError(f"{table}: {len(rows)} rows for blocks {start} to {end}")
    return [Row(int(number), str(hash_), str(parent), int(count)) for number, hash_, parent, count in rows]


def _row_of_node(block: dict[str, Any]) -> Row:
    return Row(int(block["number"], 16), block["hash"], block["parentHash"], len(block["transactions"]))
