"""Filecoin's EVM: heights are epochs of 30 seconds, and an epoch may pass without a block (a null round).

filecoin-project/lotus#12633 and #13694, blockscout/blockscout#8803. Every header has the full bloom, and no root
of receipts; receipts do not count the gas of those before them.
"""

from __future__ import annotations

from collections.abc import Collection

from tests.support.fake_chain import Height, digest, ethereum

NULL_ROUNDS = frozenset({1, 4, 5})
"""Epochs of the chain that have no block: one alone, and two in a row."""


def chain(count: int) -> list[Height]:
    """The blocks among the first `count` epochs after NULL_ROUNDS: the last epoch has one."""
    return epochs(0, count + len(NULL_ROUNDS), NULL_ROUNDS)


def epochs(start: int, end: int, null: Collection[int], parent: str | None = None, branch: str = "") -> list[Height]:
    """Blocks of the epochs from `start` to `end`, exclusive, but for those in `null`."""
    heights: list[Height] = []
    for number in range(start, end):
        if number in null:
            continue
        (height,) = ethereum(1, start=number, parent=parent or digest("genesis"), branch=branch)
        parent = height.block["hash"]
        height.block |= {
            "logsBloom": "0x" + "ff" * 256,
            "timestamp": hex(1_598_306_400 + 30 * number),
            "receiptsRoot": "0x" + "00" * 32,
            "gasLimit": hex(10_000_000_000),
        }
        for receipt in height.receipts:
            receipt["cumulativeGasUsed"] = "0x0"
        heights.append(height)
    return heights
