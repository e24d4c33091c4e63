"""What a node says of its chain, and the little arithmetic that answers are made with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from tests.services import Chain

Rows = list[tuple[Any, ...]]


@dataclass(frozen=True)
class Facts:
    """Its JSON, in the chain's order, each transaction with the members of its receipt."""

    node: Chain
    blocks: list[dict[str, Any]]
    sent: list[dict[str, Any]]
    logs: list[dict[str, Any]]

    @classmethod
    def of(cls, node: Chain) -> Facts:
        blocks = [node.block(number) for number in range(node.head + 1)]
        receipts = [receipt for block in blocks for receipt in node.rpc("eth_getBlockReceipts", block["number"])]
        transactions = [transaction for block in blocks for transaction in block["transactions"]]
        sent = [transaction | receipt for transaction, receipt in zip(transactions, receipts, strict=True)]
        return cls(node, blocks, sent, [log for receipt in receipts for log in receipt["logs"]])

    def block_of(self, item: dict[str, Any]) -> dict[str, Any]:
        """The block of a transaction or a log."""
        return self.blocks[int(item["blockNumber"], 16)]


def n(text: str) -> int:
    return int(text, 16)


def height(item: dict[str, Any]) -> int:
    return n(item.get("blockNumber") or item["number"])


def at(block: dict[str, Any]) -> datetime:
    return datetime.fromtimestamp(n(block["timestamp"]), UTC)


def hour(block: dict[str, Any]) -> datetime:
    return at(block).replace(minute=0, second=0)


def day(block: dict[str, Any]) -> datetime:
    return hour(block).replace(hour=0)


def ether(wei: int) -> Decimal:
    return Decimal(wei).scaleb(-18)


def gwei(wei: int) -> Decimal:
    return Decimal(wei).scaleb(-9)


def paid(sent: dict[str, Any]) -> int:
    return n(sent["gasUsed"]) * n(sent["effectiveGasPrice"])


def grouped(items: Iterable[Any], key: Callable[[Any], Any]) -> list[tuple[Any, list[Any]]]:
    """Items by key, in the order of the keys."""
    found = defaultdict(list)
    for item in items:
        found[key(item)].append(item)
    return sorted(found.items())


def most(rows: Rows, column: int, limit: int) -> Rows:
    """The rows with the most in a column, and among equals as they come."""
    return sorted(rows, key=lambda row: row[column], reverse=True)[:limit]
