"""For each profile a small chain in the shape of the real one: real field names, made-up values.

`CHAINS` names them by profile and shape. Each `Shape` builds the chain's first blocks, of which at least one has
transactions and logs; what is special about it is in one function beside the reports that it is taken from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support.chains import filecoin, layer_two, sidechains
from tests.support.fake_chain import FakeChain, Height, ethereum

BLOCKS = 6
"""Blocks of each chain."""


@dataclass(frozen=True)
class Shape:
    """One chain: `build(count)` makes its first blocks, `config` is the follower's `chain`."""

    profile: str
    chain_id: int
    says: str
    """What is special about it, for docs/reference/chains.md."""
    build: Callable[[int], list[Height]]
    config: Mapping[str, Any] = field(default_factory=dict)
    lost_transactions: Callable[[], Mapping[str, Any]] = dict
    """Transactions that only eth_getTransactionByHash answers, by hash."""

    def chain(self, count: int = BLOCKS) -> FakeChain:
        """A chain of its first blocks."""
        return FakeChain(self.chain_id, self.build(count))


CHAINS: Mapping[str, Shape] = {
    "Ethereum": Shape("Ethereum", 1, "headers, transactions and receipts of the execution API", ethereum),
    "OpStack": Shape(
        "OpStack",
        10,
        "a deposit first in each block, without a fee, with mint, sourceHash and depositNonce; fields of the L1 fee",
        layer_two.op_stack,
    ),
    "Arbitrum": Shape(
        "Arbitrum",
        42161,
        "l1BlockNumber and sendRoot; types 0x64 to 0x78; gas of before Nitro that does not add up; equal timestamps",
        layer_two.arbitrum,
    ),
    "ZkStack": Shape(
        "ZkStack",
        324,
        "type 0xff; cumulativeGasUsed 0; receipts without bloom, an empty block with one; l1BatchNumber, l2ToL1Logs",
        layer_two.zk_stack,
    ),
    "PolygonPos": Shape(
        "PolygonPos", 137, "a state-sync transaction and its receipt at a sprint's end", sidechains.polygon
    ),
    "PolygonPos without the receipt": Shape(
        "PolygonPos",
        137,
        "a state-sync transaction whose receipt eth_getBlockReceipts lacks",
        sidechains.polygon,
    ),
    "PolygonPos without the transaction": Shape(
        "PolygonPos",
        137,
        "the receipt of a state-sync transaction that the block lacks",
        sidechains.polygon_without_transaction,
    ),
    "Bsc": Shape(
        "Bsc",
        56,
        "system transactions with gas price 0 and gas 2^63-1 and 2^64-1; milliTimestamp; several blocks a second",
        sidechains.bsc,
    ),
    "Avalanche": Shape(
        "Avalanche", 43114, "extDataHash, blockExtraData, extDataGasUsed, blockGasCost", sidechains.avalanche
    ),
    "Celo": Shape(
        "Celo",
        42220,
        "headers without difficulty, gas limit and uncles; a receipt without a transaction; feeCurrency",
        sidechains.celo,
    ),
    "Filecoin": Shape(
        "Filecoin", 314, "null rounds; the full bloom in every header; cumulativeGasUsed 0", filecoin.chain
    ),
    "Custom": Shape(
        "Custom",
        999_999,
        "log indexes that restart with each transaction; transactions and receipts without a type",
        sidechains.unknown,
        {"profile": "Custom", "skip": ["log_indexes", "fields"]},
    ),
}
