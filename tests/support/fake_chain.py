"""A chain written by hand, answered as a node would: shapes and histories that a real node does not have.

`FakeChain` holds JSON-RPC objects, one `Height` per block, and heights may be missing. `tests/support/fake_node.py`
serves one over HTTP with whatever manners a test wants; anvil stays the real chain.
"""

from __future__ import annotations

import copy
import hashlib
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Json = Any

EMPTY_BLOOM = "0x" + "00" * 256


class NoSuchMethod(Exception):
    """The chain has no such JSON-RPC method."""


@dataclass
class Height:
    """One block with whole transactions, and its receipts in their order."""

    block: dict[str, Json]
    receipts: list[dict[str, Json]] = field(default_factory=list)

    @property
    def number(self) -> int:
        """Its height."""
        return int(self.block["number"], 16)


class FakeChain:
    """Thread-safe. `tags`: heights of `finalized` and `safe`; a tag that is not set is answered with null."""

    def __init__(self, chain_id: int, heights: Iterable[Height] = ()) -> None:
        self.chain_id = chain_id
        self.tags: dict[str, int] = {}
        self._lock = threading.Lock()
        self._heights: dict[int, Height] = {}
        self._left: dict[str, Height] = {}
        self.extend(heights)

    def extend(self, heights: Iterable[Height]) -> None:
        """Add blocks, or put others in place of those of the same heights."""
        with self._lock:
            self._heights.update({height.number: height for height in heights})

    def replace(self, start: int, heights: Iterable[Height]) -> None:
        """A reorg: drop every block from `start` on and add `heights`, at one moment.

        What is dropped is answered for by its hash, as a node does for a while.
        """
        with self._lock:
            left = [height for number, height in self._heights.items() if number >= start]
            self._left |= {height.block["hash"]: height for height in left}
            kept = {number: height for number, height in self._heights.items() if number < start}
            self._heights = kept | {height.number: height for height in heights}

    @property
    def head(self) -> int:
        """The highest height that has a block; -1 for an empty chain."""
        with self._lock:
            return max(self._heights, default=-1)

    @property
    def heights(self) -> Mapping[int, Height]:
        """A copy of what there is, by height."""
        with self._lock:
            return copy.deepcopy(self._heights)

    def was_left(self, block_hash: str) -> bool:
        """Whether the block was dropped by `replace`: a node has it at no height."""
        return block_hash in self._left

    def answer(self, method: str, params: list[Json]) -> Json:
        """The result of one call. Raises NoSuchMethod."""
        known = {
            "eth_chainId": lambda: hex(self.chain_id),
            "eth_blockNumber": lambda: hex(self.head),
            "eth_getBlockByNumber": lambda: self._block(self._at(params[0]), params[1]),
            "eth_getBlockByHash": lambda: self._block(self._of_hash(params[0]), params[1]),
            "eth_getBlockReceipts": lambda: self._receipts(params[0]),
            "eth_getTransactionReceipt": lambda: self._receipt(params[0]),
            "eth_getTransactionByHash": lambda: self._transaction(params[0]),
        }
        if method not in known:
            raise NoSuchMethod(method)
        return copy.deepcopy(known[method]())

    def _at(self, number: str) -> Height | None:
        if number in ("latest", "pending"):
            wanted = self.head
        elif number == "earliest":
            wanted = min(self._heights, default=-1)
        elif number in ("finalized", "safe"):
            wanted = self.tags.get(number, -1)
        else:
            wanted = int(number, 16)
        with self._lock:
            return self._heights.get(wanted)

    def _of_hash(self, block_hash: str) -> Height | None:
        with self._lock:
            found = (one for one in self._heights.values() if one.block["hash"] == block_hash)
            return next(found, self._left.get(block_hash))

    def _block(self, height: Height | None, full: bool) -> Json:
        if height is None or full:
            return None if height is None else height.block
        return height.block | {"transactions": [sent["hash"] for sent in height.block["transactions"]]}

    def _receipts(self, which: str) -> Json:
        height = self._of_hash(which) if len(which) == 66 else self._at(which)
        return None if height is None else height.receipts

    def _receipt(self, transaction: str) -> Json:
        with self._lock:
            found = (r for height in self._heights.values() for r in height.receipts)
            return next((receipt for receipt in found if receipt["transactionHash"] == transaction), None)

    def _transaction(self, transaction: str) -> Json:
        with self._lock:
            found = (sent for height in self._heights.values() for sent in height.block["transactions"])
            return next((sent for sent in found if sent["hash"] == transaction), None)


def digest(*parts: object) -> str:
    """32 bytes of hex that follow from `parts` alone: hashes of made-up blocks and transactions."""
    return "0x" + hashlib.sha256(repr(parts).encode()).hexdigest()


def address(*parts: object) -> str:
    """20 bytes of hex that follow from `parts` alone."""
    return digest(*parts)[:42]


def ethereum(
    count: int, *, start: int = 0, parent: str | None = None, branch: str = "", transactions: int = 2, logs: int = 2
) -> list[Height]:
    """`count` blocks in Ethereum's shape that build on `parent`; other `branch`es have other hashes."""
    heights: list[Height] = []
    previous = parent or digest("parent of", start)
    for number in range(start, start + count):
        heights.append(_ethereum_block(number, previous, branch, transactions, logs))
        previous = heights[-1].block["hash"]
    return heights


def _ethereum_block(number: int, parent: str, branch: str, transactions: int, logs: int) -> Height:
    own = digest("block", number, parent, branch)
    bloom = "0x" + f"{1 << (number % 2048):0512x}"
    place = {"blockHash": own, "blockNumber": hex(number)}
    sent, receipts = [], []
    for index in range(transactions):
        at = {**place, "transactionIndex": hex(index)}
        tx_hash = digest("transaction", own, index)
        sent.append(
            {
                **at,
                "hash": tx_hash,
                "type": "0x2",
                "chainId": "0x1",
                "nonce": hex(number),
                "from": address("sender", index),
                "to": address("receiver", index),
                "value": hex(10**18 + index),
                "input": "0x",
                "gas": hex(100_000),
                "gasPrice": hex(10**9),
                "maxFeePerGas": hex(2 * 10**9),
                "maxPriorityFeePerGas": hex(10**8),
                "accessList": [],
                "v": "0x1",
                "yParity": "0x1",
                "r": digest("r", tx_hash),
                "s": digest("s", tx_hash),
            }
        )
        receipts.append(
            {
                **at,
                "transactionHash": tx_hash,
                "type": "0x2",
                "from": address("sender", index),
                "to": address("receiver", index),
                "status": "0x1",
                "gasUsed": hex(21_000),
                "cumulativeGasUsed": hex(21_000 * (index + 1)),
                "effectiveGasPrice": hex(10**9),
                "contractAddress": None,
                "logsBloom": bloom if logs else EMPTY_BLOOM,
                "logs": [
                    {
                        **at,
                        "transactionHash": tx_hash,
                        "logIndex": hex(index * logs + position),
                        "address": address("receiver", index),
                        "topics": [digest("topic", position)],
                        "data": "0x" + "00" * 32,
                        "removed": False,
                    }
                    for position in range(logs)
                ],
            }
        )
    block = {
        "number": hex(number),
        "hash": own,
        "parentHash": parent,
        "timestamp": hex(1_700_000_000 + 12 * number),
        "sha3Uncles": digest("uncles"),
        "miner": address("miner"),
        "stateRoot": digest("state", own),
        "transactionsRoot": digest("transactions", own),
        "receiptsRoot": digest("receipts", own),
        "logsBloom": bloom if transactions and logs else EMPTY_BLOOM,
        "difficulty": "0x0",
        "gasLimit": hex(30_000_000),
        "gasUsed": hex(21_000 * transactions),
        "extraData": "0x",
        "mixHash": digest("mix", own),
        "nonce": "0x0000000000000000",
        "baseFeePerGas": hex(10**9),
        "size": hex(1000),
        "uncles": [],
        "transactions": sent,
    }
    return Height(block, receipts)
