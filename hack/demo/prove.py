"""The proof that the tables are the chain: same head, no gap, no row twice, every hash as the node says.

The chain moves on while we look, so everything is said about one pinned head: the node's newest block when the
proof began. The proof waits until the tables reach it, and then compares row by row with what the node says of
each block, its transactions and its logs. Nothing is concluded from sums.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from hack.demo import chain
from hack.demo.ask import Truncated
from hack.demo.kube import wait_for
from hack.localcluster.progress import Step

Ask = Callable[[str], list[list[object]]]
"""Rows of an SQL statement; Truncated where the answer was cut."""

Key = tuple[int, ...]
Facts = Mapping[Key, tuple[object, ...]]

PAGE = 2_000
"""Blocks asked for at once; halved where their rows are more than one answer holds."""
_SHOWN = 5


@dataclass(frozen=True)
class Table:
    """A table under proof: what its rows are called, what identifies one, and what is compared of it."""

    name: str
    key: tuple[str, ...]
    compared: tuple[str, ...]


BLOCKS = Table("blocks", ("block_number",), ("block_hash", "parent_hash", "transaction_count"))
TRANSACTIONS = Table("transactions", ("block_number", "transaction_index"), ("transaction_hash",))
LOGS = Table("logs", ("block_number", "log_index"), ("transaction_hash", "address"))


@dataclass(frozen=True)
class Proof:
    """The outcome: every difference found, and what was compared."""

    first: int
    head: int
    rows: Mapping[str, int] = field(default_factory=dict)
    differences: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether the tables are the chain."""
        return not self.differences

    def __str__(self) -> str:
        if not self.holds:
            return "NOT PROVEN\n" + "\n".join(f"  - {difference}" for difference in self.differences)
        counted = ", ".join(f"{count} {name}" for name, count in self.rows.items())
        return (
            f"PROVEN against the node at block {self.head}: the same head; blocks {self.first} to {self.head} "
            f"without a gap and none twice;\n{counted}, every hash as the node says"
        )


def prove(ask: Ask, rpc: str, *, first: int = 0, seconds: float = 120, step: Step | None = None) -> Proof:
    """Compare the tables with the node at `rpc`, from block `first` to the node's head as it is now.

    ClusterError where a table does not reach that head within `seconds`, or the node does not answer.
    """
    head = chain.head(rpc)
    wait_for(f"blocks reaches block {head}", seconds, lambda: _reached(ask, head), step)
    expected = _expected(rpc, first, head)
    differences: list[str] = []
    counted = {}
    for table, facts in expected.items():
        found = []
        for start in range(first, head + 1, PAGE):
            if step is not None:
                step.detail(f"{table.name} from block {start} of {head}")
            found += _rows(ask, table, start, min(start + PAGE - 1, head))
        differences += compare(table, found, facts)
        differences += _outside(ask, table, first)
        counted[table.name] = len(found)
    return Proof(first, head, counted, tuple(differences))


def compare(table: Table, found: Sequence[tuple[Key, tuple[object, ...]]], expected: Facts) -> Iterator[str]:
    """Every difference between the rows of a table and what the node says, in words. Pure."""
    times = Counter(key for key, _ in found)
    yield from _say(table, "missing", expected.keys() - times.keys())
    yield from _say(table, "not on the chain", times.keys() - expected.keys())
    yield from _say(table, "more than once", {key for key, count in times.items() if count > 1})
    for at, column in enumerate(table.compared):
        wrong = {key for key, value in found if key in expected and value[at] != expected[key][at]}
        yield from _say(table, f"with another {column} than the node's", wrong)


def _say(table: Table, what: str, keys: set[Key]) -> Iterator[str]:
    if keys:
        shown = ", ".join("/".join(map(str, key)) for key in sorted(keys)[:_SHOWN])
        more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
        yield f"{table.name} {what}: {len(keys)} ({shown}{more})"


def _outside(ask: Ask, table: Table, first: int) -> Iterator[str]:
    """Rows below the first block lie on no page."""
    count = ask(f"SELECT count(*) FROM {table.name} WHERE block_number < {first}")[0][0]
    if count:
        yield f"{table.name} below the first block {first}: {count}"


def _reached(ask: Ask, head: int) -> tuple[bool, str]:
    newest = ask(f"SELECT max(block_number) FROM {BLOCKS.name}")[0][0]
    return isinstance(newest, int) and newest >= head, f"block {newest} of {head}"


def _rows(ask: Ask, table: Table, start: int, end: int) -> list[tuple[Key, tuple[object, ...]]]:
    columns = ", ".join((*table.key, *table.compared))
    try:
        rows = ask(f"SELECT {columns} FROM {table.name} WHERE block_number BETWEEN {start} AND {end}")
    except Truncated:
        if start == end:
            raise
        middle = (start + end) // 2
        return _rows(ask, table, start, middle) + _rows(ask, table, middle + 1, end)
    width = len(table.key)
    return [(tuple(int(str(value)) for value in row[:width]), tuple(row[width:])) for row in rows]


def _expected(rpc: str, first: int, head: int) -> dict[Table, Facts]:
    blocks: dict[Key, tuple[object, ...]] = {}
    transactions: dict[Key, tuple[object, ...]] = {}
    for block in chain.blocks(rpc, range(first, head + 1)):
        number, hashes = int(block["number"], 16), block["transactions"]
        blocks[(number,)] = (block["hash"], block["parentHash"], len(hashes))
        transactions |= {(number, index): (hash_,) for index, hash_ in enumerate(hashes)}
    logs: dict[Key, tuple[object, ...]] = {
        (int(log["blockNumber"], 16), int(log["logIndex"], 16)): (log["transactionHash"], log["address"])
        for log in chain.logs(rpc, first, head)
    }
    return {BLOCKS: blocks, TRANSACTIONS: transactions, LOGS: logs}
