"""Turns Ethereum's blocks into those of another chain: what the builders of all shapes share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.support.fake_chain import EMPTY_BLOOM, Height, address, digest, ethereum

Json = Any

ZERO_ADDRESS = "0x" + "00" * 20


def changed(count: int, change: Callable[[Height], None], **shape: Any) -> list[Height]:
    """`count` blocks in Ethereum's shape, each after `change`."""
    heights = ethereum(count, **shape)
    for height in heights:
        change(height)
    return heights


def bloom(bit: int) -> str:
    """A bloom of one bit."""
    return f"0x{1 << bit % 2048:0512x}"


def with_bit(header: dict[str, Json], bit: int) -> None:
    """Set a bit of a header's bloom."""
    header["logsBloom"] = f"0x{int(header['logsBloom'], 16) | 1 << bit % 2048:0512x}"


def add(height: Height, transaction: dict[str, Json], receipt: dict[str, Json], logs: int = 0) -> None:
    """Put a transaction and its receipt, with `logs` logs numbered on, after those of a block."""
    index = len(height.block["transactions"])
    at = {
        "blockHash": height.block["hash"],
        "blockNumber": height.block["number"],
        "transactionIndex": hex(index),
    }
    tx_hash = digest("added", height.block["hash"], index)
    height.block["transactions"].append({**at, "hash": tx_hash, **transaction})
    height.receipts.append(
        {
            **at,
            "transactionHash": tx_hash,
            "from": transaction["from"],
            "to": transaction["to"],
            "type": transaction.get("type"),
            "status": "0x1",
            "contractAddress": None,
            "effectiveGasPrice": "0x0",
            "logsBloom": bloom(index) if logs else EMPTY_BLOOM,
            "logs": [log(height, at | {"transactionHash": tx_hash}, position) for position in range(logs)],
            **receipt,
        }
    )


def put_first(height: Height) -> None:
    """Make the last transaction of a block, which has no logs, the first one, as a system transaction is."""
    sent, receipts = height.block["transactions"], height.receipts
    sent.insert(0, sent.pop())
    receipts.insert(0, receipts.pop())
    used = int(receipts[0]["gasUsed"], 16)
    receipts[0]["cumulativeGasUsed"] = receipts[0]["gasUsed"]
    for receipt in receipts[1:]:
        receipt["cumulativeGasUsed"] = hex(int(receipt["cumulativeGasUsed"], 16) + used)
    for index, (transaction, receipt) in enumerate(zip(sent, receipts, strict=True)):
        for placed in (transaction, receipt, *receipt["logs"]):
            placed["transactionIndex"] = hex(index)


def log(height: Height, at: dict[str, Json], position: int) -> dict[str, Json]:
    """A log of a transaction of a block, numbered after those that are there."""
    before = sum(len(receipt["logs"]) for receipt in height.receipts)
    return {
        **at,
        "logIndex": hex(before + position),
        "address": address("system contract"),
        "topics": [digest("system topic")],
        "data": "0x",
        "removed": False,
    }


def legacy(sender: str, receiver: str, **fields: Json) -> dict[str, Json]:
    """A transaction of type 0x0 without value or fee."""
    return {
        "type": "0x0",
        "nonce": "0x0",
        "from": sender,
        "to": receiver,
        "value": "0x0",
        "input": "0x",
        "gas": "0x0",
        "gasPrice": "0x0",
        "v": "0x0",
        "r": "0x0",
        "s": "0x0",
        **fields,
    }
