"""The right decoding of an answer, by regular expressions and a table of its own, to compare a follower's with.

A row is right where each column is what its field says, in the form that the field must have; what is in no column
is in `extra`. Nothing here is shared with `operators.chain.decode` or `values`.
"""

from __future__ import annotations

import re
from typing import Any

from operators.chain.fetch import Batch
from operators.chain.schemas import BLOCKS, LOGS, TRANSACTIONS

Json = Any

_QUANTITY = re.compile(r"0x[0-9a-fA-F]{1,64}\Z")
# Column, JSON-RPC field, form: q a quantity, w one as a word, d data, a number of bytes, j JSON as given. With a
# question mark: may be null.
_BLOCK = """
block_number number q, block_hash hash 32, block_timestamp timestamp q, parent_hash parentHash 32, sha3_uncles
sha3Uncles 32?, miner miner 20, state_root stateRoot 32, transactions_root transactionsRoot 32, receipts_root
receiptsRoot 32, logs_bloom logsBloom 256?, difficulty difficulty q?, gas_limit gasLimit q?, gas_used gasUsed q,
extra_data extraData d?, mix_hash mixHash 32?, nonce nonce 8?, base_fee_per_gas baseFeePerGas q?, withdrawals_root
withdrawalsRoot 32?, blob_gas_used blobGasUsed q?, excess_blob_gas excessBlobGas q?, parent_beacon_block_root
parentBeaconBlockRoot 32?, requests_hash requestsHash 32?, size size q?, uncles
uncles j?, withdrawals withdrawals j?
"""
_SENT = """
block_number blockNumber q, block_hash blockHash 32, transaction_index transactionIndex q, transaction_hash hash 32,
type type q?, chain_id chainId q?, nonce nonce q?, from_address from 20, to_address to 20?, value value q, input
input d, gas_limit gas q?, gas_price gasPrice q?, max_fee_per_gas maxFeePerGas q?, max_priority_fee_per_gas
maxPriorityFeePerGas q?, max_fee_per_blob_gas maxFeePerBlobGas q?, access_list accessList j?, blob_versioned_hashes
blobVersionedHashes j?, authorization_list authorizationList j?, v v q?, y_parity yParity q?, r r w?, s s w?
"""
_OUTCOME = """
block_number blockNumber q, block_hash blockHash 32, transaction_index transactionIndex q, transaction_hash
transactionHash 32, status status q?, root root 32?, gas_used gasUsed q, cumulative_gas_used cumulativeGasUsed q?,
effective_gas_price effectiveGasPrice q?, contract_address contractAddress 20?, logs_bloom logsBloom 256?,
blob_gas_used blobGasUsed q?, blob_gas_price blobGasPrice q?
"""
_LOG = """
block_number blockNumber q, block_hash blockHash 32, transaction_index transactionIndex q, transaction_hash
transactionHash 32, address address 20, data data d
"""
_BESIDE = {
    "blocks": {"transactions", "blockReceipt"},
    "sent": {"blockTimestamp"},
    "outcome": {"blockTimestamp", "from", "to", "type", "logs"},
    "logs": {"blockTimestamp", "topics", "removed", "logIndex"},
}


def accepts(batch: Batch, said: dict[str, list[Json]]) -> None:
    """Assert that a batch has one row for each object in the answers `said` by method, and no other."""
    blocks = [block for block in said["eth_getBlockByNumber"] if block is not None]
    answered = [answer for answer in said.get("eth_getBlockReceipts", []) if isinstance(answer, list)]
    singles = [one for one in said.get("eth_getTransactionReceipt", []) if one is not None]
    receipts = [receipt for answer in answered for receipt in answer] + singles
    sent = [one for block in blocks for one in block["transactions"]] + said.get("eth_getTransactionByHash", [])
    named = {"blocks": BLOCKS, "transactions": TRANSACTIONS, "logs": LOGS}
    rows = {
        output: [dict(zip((column.name for column in columns), row, strict=True)) for row in batch.rows[output]]
        for output, columns in named.items()
    }
    assert len(rows["blocks"]) == len(blocks)
    for row, block in zip(rows["blocks"], blocks, strict=True):
        _holds(row, block, _BLOCK, "blocks", row["extra"])
        own = [one for one in rows["transactions"] if one["block_number"] == row["block_number"]]
        assert row["transaction_count"] == len(own)
        assert [one["transaction_index"] for one in own] == list(range(len(own)))
    assert len(rows["transactions"]) == len(sent)
    for row in rows["transactions"]:
        _one(row, sent, "hash", _SENT, "sent", row["extra"])
        receipt = _one(row, receipts, "transactionHash", _OUTCOME, "outcome", row["receipt_extra"])
        assert row["log_count"] == len(receipt["logs"])
    logs = [log for receipt in receipts for log in receipt["logs"]]
    assert len(rows["logs"]) == len(logs)
    for row in rows["logs"]:
        same = [log for log in logs if _text(log["transactionHash"]) == row["transaction_hash"]]
        assert any(_log_holds(row, log) for log in same), row


def _one(row: dict[str, Any], objects: list[Json], name: str, fields: str, kind: str, extra: Json) -> Json:
    """The object that a row is of."""
    found = [
        one
        for one in objects
        if _text(one[name]) == row["transaction_hash"]
        and int(one["transactionIndex"], 16) == row["transaction_index"]
        and int(one["blockNumber"], 16) == row["block_number"]
    ]
    assert len(found) == 1, (row, found)
    _holds(row, found[0], fields, kind, extra)
    return found[0]


def _log_holds(row: dict[str, Any], log: Json) -> bool:
    topics = [row[f"topic{n}"] for n in range(4)]
    if [topic for topic in topics if topic is not None] != [_text(topic) for topic in log["topics"]]:
        return False
    try:
        _holds(row, log, _LOG, "logs", row["extra"])
    except AssertionError:
        return False
    return True


def _holds(row: dict[str, Any], source: Json, fields: str, kind: str, extra: Json) -> None:
    names = set()
    for entry in fields.split(","):
        column, name, form = entry.split()
        names.add(name)
        assert row[column] == _value(source.get(name), form), (column, row[column], source.get(name))
    others = {name: value for name, value in source.items() if name not in names | _BESIDE[kind]}
    kept = {name: value for name, value in (extra or {}).items() if name not in {"logIndex", "blockReceipt"}}
    assert repr(kept) == repr(others)


def _value(value: Json, form: str) -> Any:
    nullable, form = form.endswith("?"), form.rstrip("?")
    if value is None or (form == "20" and nullable and value in ("", "0x")):
        assert nullable
        return None
    if form == "j":
        return value
    assert isinstance(value, str)
    if form in "qw":
        assert _QUANTITY.match(value), value
        return int(value, 16) if form == "q" else "0x" + value[2:].lower().rjust(64, "0")
    digits = r"(?:[0-9a-fA-F]{2})*" if form == "d" else f"[0-9a-fA-F]{{{2 * int(form)}}}"
    assert re.match(rf"0x{digits}\Z", value), value
    return value.lower()


def _text(value: Json) -> str:
    assert isinstance(value, str)
    return value.lower()
