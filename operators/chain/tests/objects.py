"""A block with its receipts as a provider would answer them: two transactions, three logs."""

from __future__ import annotations

from typing import Any

from operators.chain.block_data import BlockData, block_data
from operators.chain.profiles import ETHEREUM, Profile

BLOCK_HASH = "0x" + "b1" * 32
FIRST, SECOND = "0x" + "01" * 32, "0x" + "02" * 32
NUMBER = 18


def bloom(bits: int) -> str:
    """256 bytes of hex."""
    return f"0x{bits:0512x}"


def _log(transaction: int, index: int) -> dict[str, Any]:
    return {
        "blockHash": BLOCK_HASH,
        "blockNumber": hex(NUMBER),
        "transactionHash": (FIRST, SECOND)[transaction],
        "transactionIndex": hex(transaction),
        "logIndex": hex(index),
        "address": "0x" + "AA" * 20,
        "topics": ["0x" + "0e" * 32],
        "data": "0x",
    }


def _receipt(transaction: int, bits: int, gas: int, logs: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "blockHash": BLOCK_HASH,
        "blockNumber": hex(NUMBER),
        "transactionHash": (FIRST, SECOND)[transaction],
        "transactionIndex": hex(transaction),
        "type": "0x2",
        "logsBloom": bloom(bits),
        "gasUsed": hex(21_000),
        "cumulativeGasUsed": hex(gas),
        "status": "0x1",
        "logs": logs,
    }


def receipts() -> list[dict[str, Any]]:
    """One receipt per transaction, logs numbered through the block."""
    return [
        _receipt(0, 0b0011, 21_000, [_log(0, 0), _log(0, 1)]),
        _receipt(1, 0b0110, 42_000, [_log(1, 2)]),
    ]


def block() -> dict[str, Any]:
    """The block, with whole transactions; only fields that a row must have, besides those the checks read."""
    transactions = [
        {
            "blockHash": BLOCK_HASH,
            "blockNumber": hex(NUMBER),
            "transactionIndex": hex(index),
            "hash": tx_hash,
            "type": "0x2",
            "nonce": "0x7",
            "from": "0x" + "Fa" * 20,
            "to": None,
            "value": hex(2**255),
            "input": "0x",
            "gas": "0x5208",
            "r": "0x1",
        }
        for index, tx_hash in enumerate((FIRST, SECOND))
    ]
    roots = ("hash", "sha3Uncles", "stateRoot", "transactionsRoot", "receiptsRoot", "extraData")
    return {
        **dict.fromkeys(roots, BLOCK_HASH),
        "number": hex(NUMBER),
        "parentHash": "0x" + "b0" * 32,
        "timestamp": "0x64",
        "miner": "0x" + "cc" * 20,
        "logsBloom": bloom(0b0111),
        "difficulty": "0x0",
        "gasLimit": hex(30_000_000),
        "gasUsed": hex(42_000),
        "uncles": [],
        "transactions": transactions,
    }


def whole(
    header: dict[str, Any] | None = None, outcome: Any = None, profile: Profile = ETHEREUM, number: int = NUMBER
) -> BlockData:
    """The block, or another in its place, and its receipts, taken apart."""
    return block_data(
        number, block() if header is None else header, receipts() if outcome is None else outcome, profile
    )


NO_HEX: list[Any] = [
    None,
    5,
    5.0,
    True,
    [],
    {},
    "",
    "0x",
    "12",
    "30000000",
    "-0x1",
    "0x-1",
    "+0x1",
    "0x+1",
    "0x_1",
    "0x1_0",
    " 0x1",
    "0x1 ",
    "0x 1",
    "0x1\n",
    "0x1\t0x2",
    "0X1",
    "0x0x1",
    "0x1.0",
    "0xg",
    "0x\u0661",
    "0x１",
    "0x1\0",
    "0x" + "1" * 65,
    b"0x1",
]
"""Values that are neither a quantity nor data."""
