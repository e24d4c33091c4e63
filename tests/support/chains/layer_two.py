"""Rollups: the OP stack, Arbitrum, the ZK stack."""

from __future__ import annotations

from tests.support.chains.changing import ZERO_ADDRESS, Json, add, bloom, changed, legacy, put_first
from tests.support.fake_chain import EMPTY_BLOOM, Height, address, digest

DEPOSITOR = "0xdeaddeaddeaddeaddeaddeaddeaddeaddead0001"


def op_stack(count: int) -> list[Height]:
    """Deposits as op-geth answers them since Canyon (ethereum-optimism/op-geth#51, paradigmxyz/reth#6547).

    `nonce` is what the deposit's receipt says; before Regolith nodes answer numbers near 2^64.
    """

    def change(height: Height) -> None:
        for receipt in height.receipts:
            receipt |= {
                "l1Fee": "0x4319500e1c27",
                "l1FeeScalar": "0.684",
                "l1GasPrice": "0x64f4f7c52",
                "l1GasUsed": "0xf8c",
                "l1BlobBaseFee": "0x1",
            }
        deposit = legacy(DEPOSITOR, address("L1 block"), type="0x7e", input="0x440a5e20", gas="0xf4240")
        deposit |= {"nonce": hex(2**64 - 3), "sourceHash": digest("source", height.number), "mint": "0x0"}
        outcome = {"gasUsed": "0xb735", "depositNonce": "0x23e86", "depositReceiptVersion": "0x1"}
        add(height, deposit | {"isSystemTx": False}, outcome)
        put_first(height)
        height.block["gasUsed"] = hex(int(height.block["gasUsed"], 16) + 0xB735)

    return changed(count, change)


def arbitrum(count: int) -> list[Height]:
    """Blocks of Nitro, and as the first one of before: its receipt used more gas than its cumulative gas says.

    OffchainLabs/nitro#3407, OffchainLabs/arbitrum-docs#689. Four blocks a second: timestamps are equal.
    """

    def change(height: Height) -> None:
        height.block |= {
            "difficulty": "0x1",
            "gasLimit": "0x4000000000000",
            "l1BlockNumber": "0xc88509",
            "sendCount": "0x1b2c",
            "sendRoot": digest("send root", height.number),
            "timestamp": hex(1_700_000_000 + height.number // 4),
        }
        for receipt in height.receipts:
            receipt |= {"gasUsedForL1": "0xc9798", "l1BlockNumber": "0xc88509", "timeboosted": False}
        if height.number == 0:
            for sent, receipt in zip(height.block["transactions"], height.receipts, strict=True):
                sent["type"] = receipt["type"] = "0x78"
                receipt |= {"gasUsed": "0x15cac8", "cumulativeGasUsed": "0x93330"}
            return
        start = legacy("0x00000000000000000000000000000000000a4b05", "0x00000000000000000000000000000000000a4b05")
        add(height, start | {"type": "0x6a", "chainId": "0xa4b1"}, {"gasUsed": "0x0", "l1BlockNumber": "0xc88509"})
        put_first(height)

    return changed(count, change)


def zk_stack(count: int) -> list[Height]:
    """As zksync-era answers: no cumulative gas, no bloom in receipts, one on an empty block (zksync-era#4580).

    The batch of a new block is not known yet: `l1BatchNumber` is null.
    """

    def change(height: Height) -> None:
        batch: dict[str, Json] = {"l1BatchNumber": "0x7c6f7" if height.number < 3 else None}
        height.block |= batch | {"sealFields": [], "totalDifficulty": "0x0", "l1BatchTimestamp": None}
        for index, (sent, receipt) in enumerate(zip(height.block["transactions"], height.receipts, strict=True)):
            kind = "0xff" if index == 0 else "0x71"
            sent |= batch | {"type": kind, "l1BatchTxIndex": hex(index), "gas": "0x44aa200"}
            receipt |= batch | {"type": kind, "cumulativeGasUsed": "0x0", "logsBloom": EMPTY_BLOOM}
            receipt |= {"l2ToL1Logs": [], "contractAddress": None}
            receipt["to"] = ZERO_ADDRESS
            for position, one in enumerate(receipt["logs"]):
                one |= batch | {"transactionLogIndex": hex(position), "logType": None}
        if height.number == 2:
            height.block |= {"transactions": [], "gasUsed": "0x0", "logsBloom": bloom(2)}
            height.receipts = []

    return changed(count, change)
