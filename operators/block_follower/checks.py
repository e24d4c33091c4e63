"""What must agree before an answer is believed. Pure.

Blocks, their transactions and their receipts come from separate calls, between which the chain may be reorganised
or a lagging node may answer short. So: every object names the same block hash; there is one receipt per
transaction, in order; gas adds up to the header's; log indexes run from 0 without a hole; and the header's bloom
is exactly the union of the receipts' blooms (Yellow Paper, 4.4.1), which must be empty just where there are no
logs. A provider that fails one of these is asked again, never stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from operators.block_follower.rpc import Json, ProviderFault


class BrokenChain(Exception):
    """A block does not build on the one before it: the chain changed under us. `number` is the block's height."""

    def __init__(self, number: int) -> None:
        super().__init__(f"block {number} does not build on the block before it")
        self.number = number


def check_block(number: int, block: Json, receipts: Json) -> None:
    """Raise ProviderFault unless `block` has height `number` and `receipts` are its receipts, all of them."""
    if not isinstance(block, dict) or not isinstance(receipts, list):
        raise ProviderFault(f"block {number} or its receipts are not there")
    try:
        if int(block["number"], 16) != number:
            raise ProviderFault(f"asked for block {number}, got {block['number']}")
        _check_receipts(block, receipts)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ProviderFault(f"block {number}: malformed: {type(error).__name__}: {error}") from error


def _check_receipts(block: Json, receipts: Sequence[Json]) -> None:
    number, transactions = block["number"], block["transactions"]
    if len(receipts) != len(transactions):
        raise ProviderFault(f"block {number} has {len(transactions)} transactions, {len(receipts)} receipts came")
    logs_seen = 0
    bloom = 0
    for index, (transaction, receipt) in enumerate(zip(transactions, receipts, strict=True)):
        if receipt is None:
            raise ProviderFault(f"block {number}: receipt {index} is null")
        if not transaction["blockHash"] == receipt["blockHash"] == block["hash"]:
            raise ProviderFault(f"block {number}: transaction or receipt {index} belongs to another block")
        if transaction["hash"] != receipt["transactionHash"] or int(receipt["transactionIndex"], 16) != index:
            raise ProviderFault(f"block {number}: receipt {index} belongs to another transaction")
        receipt_bloom = int(receipt["logsBloom"], 16)
        if bool(receipt_bloom) != bool(receipt["logs"]):
            raise ProviderFault(f"block {number}: receipt {index} has a bloom that its logs do not match")
        bloom |= receipt_bloom
        logs_seen = _check_logs(block, index, receipt["logs"], logs_seen)
    if bloom != int(block["logsBloom"], 16):
        raise ProviderFault(f"block {number}: the header's bloom is not that of the receipts")
    gas = int(receipts[-1]["cumulativeGasUsed"], 16) if receipts else 0
    if gas != int(block["gasUsed"], 16):
        raise ProviderFault(f"block {number}: gas of the receipts does not add up to the header's")


def _check_logs(block: Json, transaction: int, logs: Iterable[Json], expected: int) -> int:
    for log in logs:
        if log["blockHash"] != block["hash"] or int(log["transactionIndex"], 16) != transaction:
            raise ProviderFault(f"block {block['number']}: a log belongs elsewhere")
        if int(log["logIndex"], 16) != expected:
            raise ProviderFault(f"block {block['number']}: log {expected} is missing")
        expected += 1
    return expected


class Linked(Protocol):
    """A block as far as links go."""

    @property
    def number(self) -> int:
        """Height."""

    @property
    def block_hash(self) -> str:
        """Its own hash."""

    @property
    def parent_hash(self) -> str:
        """The hash of the block it builds on."""


def check_links(parent_hash: str | None, headers: Iterable[Linked]) -> None:
    """Raise BrokenChain unless each builds on the one before, the first on `parent_hash` (None: unknown)."""
    for header in headers:
        if parent_hash is not None and header.parent_hash != parent_hash:
            raise BrokenChain(header.number)
        parent_hash = header.block_hash
