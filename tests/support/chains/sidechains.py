"""Chains of their own: Polygon PoS, BNB Smart Chain, Avalanche's C-chain, Celo, and one that nobody knows."""

from __future__ import annotations

from typing import Any

from tests.support.chains.changing import ZERO_ADDRESS, Json, add, bloom, changed, legacy, log, with_bit
from tests.support.fake_chain import Height, address, digest

SPRINT = 4
"""Blocks of a sprint, at whose end state is synced; the real one has 16."""


def polygon(count: int) -> list[Height]:
    """State-sync transactions of before Madhugiri: neither in the header's bloom nor in its gas (bor#90)."""

    def change(height: Height) -> None:
        if height.number % SPRINT == SPRINT - 1:
            outcome = {"gasUsed": "0x0", "cumulativeGasUsed": "0x0", "logsBloom": bloom(1500), "type": "0x0"}
            add(height, legacy(ZERO_ADDRESS, ZERO_ADDRESS), outcome, logs=2)

    return changed(count, change)


def _is_sync(source: Json) -> bool:
    return isinstance(source, dict) and source.get("from") == source.get("to") == ZERO_ADDRESS


def without_receipt(method: str, _params: list[Json], result: Json) -> Json:
    """What a node answers that keeps state-sync receipts apart (0xPolygon/bor#1654)."""
    if method == "eth_getBlockReceipts" and result and _is_sync(result[-1]):
        return result[:-1]
    return result


def without_transaction(method: str, params: list[Json], result: Json) -> Json:
    """What a node answers whose blocks lack state-sync transactions (erigontech/erigon#6276)."""
    full = method == "eth_getBlockByNumber" and params[1] and result
    if full and result["transactions"] and _is_sync(result["transactions"][-1]):
        return result | {"transactions": result["transactions"][:-1]}
    return result


def bsc(count: int) -> list[Height]:
    """System transactions pay nothing and may use any gas; three blocks have one timestamp (BEP-520)."""

    def change(height: Height) -> None:
        seconds = 1_700_000_000 + height.number // 3
        height.block |= {"timestamp": hex(seconds), "milliTimestamp": hex(seconds * 1000 + height.number % 3 * 450)}
        most = 2**63 - 1 if height.number % 2 else 2**64 - 1
        used = int(height.block["gasUsed"], 16) + 0x8F5C
        system = legacy(height.block["miner"], "0x" + "00" * 18 + "1000", gas=hex(most), input="0xf340fa01")
        add(height, system, {"gasUsed": "0x8f5c", "cumulativeGasUsed": hex(used)})
        height.block["gasUsed"] = hex(used)

    return changed(count, change)


def avalanche(count: int) -> list[Height]:
    """Atomic transactions are bytes of the block (ava-labs/coreth#57)."""

    def change(height: Height) -> None:
        height.block |= {
            "blockExtraData": "0x000000000000000000057f" if height.number % 2 else "0x",
            "extDataHash": digest("ext data", height.number),
            "extDataGasUsed": "0x2b74",
            "blockGasCost": "0x0",
            "totalDifficulty": height.block["number"],
            "difficulty": "0x1",
            "timestampMilliseconds": hex(int(height.block["timestamp"], 16) * 1000 + 250),
        }

    return changed(count, change)


def celo(count: int) -> list[Height]:
    """Of before Gingerbread (celo-org/celo-blockchain#1945, #2214, #1628): headers lack fields.

    Logs of system calls have a receipt under the block's hash, which the header's bloom covers.
    """

    def change(height: Height) -> None:
        for name in ("difficulty", "gasLimit", "sha3Uncles", "uncles", "mixHash", "nonce", "baseFeePerGas"):
            del height.block[name]
        height.block |= {
            "randomness": {"committed": digest("c"), "revealed": digest("r")},
            "totalDifficulty": "0x1",
        }
        for sent in height.block["transactions"]:
            sent |= {"feeCurrency": address("cUSD"), "gatewayFee": "0x0", "gatewayFeeRecipient": None}
        if height.number % 2 == 0:
            return
        at = {"blockHash": height.block["hash"], "blockNumber": height.block["number"]}
        at |= {"transactionHash": height.block["hash"], "transactionIndex": hex(len(height.receipts))}
        own = log(height, at, 0)
        nobody: dict[str, Any] = {"from": ZERO_ADDRESS, "to": None, "contractAddress": None, "status": "0x1"}
        none = {"gasUsed": "0x0", "cumulativeGasUsed": "0x0", "effectiveGasPrice": "0x0"}
        height.receipts.append({**at, **nobody, **none, "logsBloom": bloom(999), "logs": [own]})
        with_bit(height.block, 999)

    return changed(count, change)


def unknown(count: int) -> list[Height]:
    """Logs are numbered within their transaction (Zilliqa/zq2#2188, skalenetwork/skaled#1907).

    Nothing has a type (bobanetwork/boba_legacy#1314).
    """

    def change(height: Height) -> None:
        for sent, receipt in zip(height.block["transactions"], height.receipts, strict=True):
            del sent["type"], receipt["type"]
            for position, one in enumerate(receipt["logs"]):
                one["logIndex"] = hex(position)

    return changed(count, change)
