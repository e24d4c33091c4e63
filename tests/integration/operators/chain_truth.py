"""What a chain says, field by field, asked one call at a time and decoded by other code than the follower's."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tests.services import Chain


def number(value: str | None) -> int | None:
    return None if value is None else int(value, 16)


def word(value: str | None) -> str | None:
    return None if value is None else "0x" + value[2:].rjust(64, "0")


def moment(value: str) -> datetime:
    return datetime.fromtimestamp(int(value, 16), UTC)


# Written out, not derived from the follower's columns: a field that it forgets is one that this list misses.
BLOCK_FIELDS = """
    number hash parentHash timestamp sha3Uncles miner stateRoot transactionsRoot receiptsRoot logsBloom difficulty
    gasLimit gasUsed extraData mixHash nonce baseFeePerGas withdrawalsRoot blobGasUsed excessBlobGas
    parentBeaconBlockRoot requestsHash size transactions uncles withdrawals
"""
PLACE = "blockHash blockNumber blockTimestamp transactionIndex"
TRANSACTION_FIELDS = f"""
    {PLACE} hash type chainId nonce from to value input gas gasPrice maxFeePerGas maxPriorityFeePerGas
    maxFeePerBlobGas accessList blobVersionedHashes authorizationList v yParity r s
"""
RECEIPT_FIELDS = f"""
    {PLACE} transactionHash type from to status root gasUsed cumulativeGasUsed effectiveGasPrice contractAddress
    logsBloom logs blobGasUsed blobGasPrice
"""
LOG_FIELDS = f"{PLACE} transactionHash logIndex address topics data removed"


def others(source: dict[str, Any], fields: str) -> dict[str, Any] | None:
    """What a node says beyond the fields that have a column."""
    return {name: value for name, value in source.items() if name not in fields.split()} or None


def blocks(chain: Chain, start: int, end: int) -> list[dict[str, Any]]:
    """Rows of `blocks` for an inclusive range."""
    rows = []
    for height in range(start, end + 1):
        if (block := chain.block(height)) is None:
            continue  # of a chain where a height may have none
        rows.append(
            {
                "block_number": number(block["number"]),
                "block_hash": block["hash"],
                "block_timestamp": moment(block["timestamp"]),
                "parent_hash": block["parentHash"],
                "sha3_uncles": block.get("sha3Uncles"),
                "miner": block["miner"],
                "state_root": block["stateRoot"],
                "transactions_root": block["transactionsRoot"],
                "receipts_root": block["receiptsRoot"],
                "logs_bloom": block.get("logsBloom"),
                "difficulty": number(block.get("difficulty")),
                "gas_limit": number(block.get("gasLimit")),
                "gas_used": number(block["gasUsed"]),
                "extra_data": block.get("extraData"),
                "mix_hash": block.get("mixHash"),
                "nonce": block.get("nonce"),
                "base_fee_per_gas": number(block.get("baseFeePerGas")),
                "withdrawals_root": block.get("withdrawalsRoot"),
                "blob_gas_used": number(block.get("blobGasUsed")),
                "excess_blob_gas": number(block.get("excessBlobGas")),
                "parent_beacon_block_root": block.get("parentBeaconBlockRoot"),
                "requests_hash": block.get("requestsHash"),
                "size": number(block.get("size")),
                "transaction_count": len(block["transactions"]),
                "uncles": block.get("uncles"),
                "withdrawals": block.get("withdrawals"),
                "extra": others(block, BLOCK_FIELDS),
            }
        )
    return rows


def transactions(chain: Chain, start: int, end: int) -> list[dict[str, Any]]:
    """Rows of `transactions` for an inclusive range."""
    rows = []
    for height in range(start, end + 1):
        block = chain.block(height)
        for tx in block["transactions"] if block else []:
            receipt = chain.rpc("eth_getTransactionReceipt", tx["hash"])
            rows.append(
                {
                    "block_number": height,
                    "block_hash": block["hash"],
                    "block_timestamp": moment(block["timestamp"]),
                    "transaction_index": number(tx["transactionIndex"]),
                    "transaction_hash": tx["hash"],
                    "type": number(tx.get("type")),
                    "chain_id": number(tx.get("chainId")),
                    "nonce": number(tx.get("nonce")),
                    "from_address": tx["from"],
                    "to_address": tx["to"],
                    "value": number(tx["value"]),
                    "input": tx["input"],
                    "gas_limit": number(tx.get("gas")),
                    "gas_price": number(tx.get("gasPrice")),
                    "max_fee_per_gas": number(tx.get("maxFeePerGas")),
                    "max_priority_fee_per_gas": number(tx.get("maxPriorityFeePerGas")),
                    "max_fee_per_blob_gas": number(tx.get("maxFeePerBlobGas")),
                    "access_list": tx.get("accessList"),
                    "blob_versioned_hashes": tx.get("blobVersionedHashes"),
                    "authorization_list": tx.get("authorizationList"),
                    "v": number(tx.get("v")),
                    "y_parity": number(tx.get("yParity")),
                    "r": word(tx.get("r")),
                    "s": word(tx.get("s")),
                    "status": number(receipt.get("status")),
                    "root": receipt.get("root"),
                    "gas_used": number(receipt["gasUsed"]),
                    "cumulative_gas_used": number(receipt.get("cumulativeGasUsed")),
                    "effective_gas_price": number(receipt.get("effectiveGasPrice")),
                    "contract_address": receipt.get("contractAddress"),
                    "logs_bloom": receipt.get("logsBloom"),
                    "log_count": len(receipt["logs"]),
                    "blob_gas_used": number(receipt.get("blobGasUsed")),
                    "blob_gas_price": number(receipt.get("blobGasPrice")),
                    "extra": others(tx, TRANSACTION_FIELDS),
                    "receipt_extra": others(receipt, RECEIPT_FIELDS),
                }
            )
    return rows


def logs(chain: Chain, start: int, end: int) -> list[dict[str, Any]]:
    """Rows of `logs` for an inclusive range, by eth_getLogs: another call than the follower uses."""
    rows = []
    blocks = [block for height in range(start, end + 1) if (block := chain.block(height)) is not None]
    times = {int(block["number"], 16): moment(block["timestamp"]) for block in blocks}
    for log in chain.rpc("eth_getLogs", {"fromBlock": hex(start), "toBlock": hex(end)}):
        topics = [*log["topics"], None, None, None, None]
        height = int(log["blockNumber"], 16)
        rows.append(
            {
                "block_number": height,
                "block_hash": log["blockHash"],
                "block_timestamp": times[height],
                "transaction_index": number(log["transactionIndex"]),
                "transaction_hash": log["transactionHash"],
                "log_index": number(log["logIndex"]),
                "address": log["address"],
                "topic0": topics[0],
                "topic1": topics[1],
                "topic2": topics[2],
                "topic3": topics[3],
                "data": log["data"],
                "extra": others(log, LOG_FIELDS),
            }
        )
    return rows


TABLES = {"blocks": blocks, "transactions": transactions, "logs": logs}
