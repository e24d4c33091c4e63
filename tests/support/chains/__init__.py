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
from tests.support.fake_node import Manners, Refusal

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
    manners: Manners = field(default_factory=Manners)
    """Of a node of this chain, where it does not answer all that there is."""

    def chain(self, count: int = BLOCKS) -> FakeChain:
        """A chain of its first blocks."""
        return FakeChain(self.chain_id, self.build(count))


CHAINS: Mapping[str, Shape] = {
    "Ethereum": Shape("Ethereum", 1, "headers, transactions and receipts of the execution API", ethereum),
    "OpStack": Shape(
        "OpStack",
        10,
        "deposits without a fee, with mint, sourceHash, depositNonce and nonces near 2^64; fields of the L1 fee",
        layer_two.op_stack,
    ),
    "Arbitrum": Shape(
        "Arbitrum",
        42161,
        "l1BlockNumber, sendRoot; types 0x6a and 0x78; gas of before Nitro; equal timestamps",
        layer_two.arbitrum,
    ),
    "ZkStack": Shape(
        "ZkStack",
        324,
        "type 0xff; cumulativeGasUsed 0; no bloom in receipts, one on an empty block; l1BatchNumber",
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
        manners=Manners(lie=sidechains.without_receipt),
    ),
    "PolygonPos without the transaction": Shape(
        "PolygonPos",
        137,
        "the receipt of a state-sync transaction that the block lacks",
        sidechains.polygon,
        manners=Manners(lie=sidechains.without_transaction),
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
    "Filecoin with errors": Shape(
        "Filecoin",
        314,
        "null rounds that are answered by an error",
        filecoin.chain,
        manners=Manners(no_block=Refusal(code=12, message="requested epoch was a null round (4)")),
    ),
    "Custom": Shape(
        "Custom",
        999_999,
        "log indexes that restart with each transaction; transactions and receipts without a type",
        sidechains.unknown,
        {"profile": "Custom", "skip": ["log_indexes", "fields"]},
    ),
}
