"""Rows have the columns of their table, in order; what is malformed is the provider's fault; nothing is lost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from operators.chain import decode
from operators.chain.block_data import BlockData, block_data
from operators.chain.faults import ProviderFault
from operators.chain.profiles import PROFILES, Profile, Rule
from operators.chain.schemas import BLOCKS, LOGS, OUTPUTS, TRANSACTIONS
from operators.chain.tests import objects

COLUMNS = {"blocks": BLOCKS, "transactions": TRANSACTIONS, "logs": LOGS}
UNNUMBERED = Profile(name="Custom", off=frozenset({Rule.LOG_INDEXES}))


def rows(whole: BlockData) -> dict[str, list[dict[str, Any]]]:
    """The rows of an answer, each with its columns' names."""
    found = decode.rows([whole], OUTPUTS)
    return {
        output: [dict(zip((c.name for c in COLUMNS[output]), row, strict=True)) for row in found[output]]
        for output in OUTPUTS
    }


def changed(what: str, **fields: Any) -> BlockData:
    """The answer with fields of its block, its second transaction, that one's receipt or its log changed."""
    block, receipts = objects.block(), objects.receipts()
    target = {
        "block": block,
        "transaction": block["transactions"][1],
        "receipt": receipts[1],
        "log": receipts[1]["logs"][0],
    }[what]
    target.update(fields)
    return objects.whole(block, receipts)


def test_a_block_becomes_a_row() -> None:
    (row,) = rows(objects.whole())["blocks"]
    assert (row["block_number"], row["block_timestamp"], row["transaction_count"]) == (objects.NUMBER, 100, 2)
    assert (row["uncles"], row["withdrawals"], row["base_fee_per_gas"], row["extra"]) == ([], None, None, None)


def test_a_transaction_and_its_receipt_become_one_row() -> None:
    row = rows(objects.whole())["transactions"][1]
    assert (row["block_number"], row["transaction_index"], row["transaction_hash"]) == (18, 1, objects.SECOND)
    assert (row["value"], row["gas_limit"], row["nonce"]) == (2**255, 21_000, 7)
    assert (row["gas_used"], row["cumulative_gas_used"], row["log_count"]) == (21_000, 42_000, 1)
    assert row["from_address"] == "0x" + "fa" * 20
    assert row["r"] == "0x" + "0" * 63 + "1"
    assert (row["to_address"], row["blob_gas_price"], row["block_timestamp"]) == (None, None, 100)
    assert (row["extra"], row["receipt_extra"]) == (None, None)


def test_a_log_becomes_a_row_with_null_for_topics_it_lacks() -> None:
    row = rows(objects.whole())["logs"][2]
    assert (row["transaction_index"], row["transaction_hash"]) == (1, objects.SECOND)
    assert (row["log_index"], row["data"], row["address"]) == (2, "0x", "0x" + "aa" * 20)
    assert [row[f"topic{n}"] for n in range(4)] == ["0x" + "0e" * 32, None, None, None]
    assert row["extra"] is None


def test_fields_without_a_column_are_kept_as_given_beside_their_object() -> None:
    given: dict[str, Any] = {"mint": "0xDE", "nested": {"a": [1, None, "\t\n\\"]}, "empty": None}
    assert rows(changed("block", **given))["blocks"][0]["extra"] == given
    found = rows(changed("transaction", **given))["transactions"]
    assert [row["extra"] for row in found] == [None, given]
    found = rows(changed("receipt", **given))["transactions"]
    assert [(row["extra"], row["receipt_extra"]) for row in found] == [(None, None), (None, given)]
    assert [row["extra"] for row in rows(changed("log", **given))["logs"]] == [None, None, given]


@pytest.mark.parametrize("what", ["block", "transaction", "receipt", "log"])
@pytest.mark.parametrize("value", ["a\0b", {"\0": 1}, "\ud800", 2**256, float("inf")], ids=ascii)
def test_an_unknown_field_that_no_database_holds_is_refused(what: str, value: Any) -> None:
    with pytest.raises(ProviderFault, match="an unknown field"):
        rows(changed(what, other=value))


@pytest.mark.parametrize(
    ("what", "field", "values"),
    [
        ("block", "hash", [None, "0x", "0x12", 5]),
        ("block", "timestamp", ["1700000000", hex(1_700_000_000_000), -5]),
        ("block", "miner", [None, "0x", ""]),
        ("block", "gasLimit", ["many", 21_000, "30000000", hex(2**256)]),
        ("block", "gasUsed", [None, hex(2**63), "-0x1", "0x_1"]),
        ("block", "stateRoot", ["ab", 5, "0x\t\n"]),
        ("block", "extraData", ["0x\t\n999999", "0x1", "x"]),
        ("block", "nonce", ["0x0", "0x" + "00" * 9]),
        ("block", "logsBloom", ["0x0", "0x" + "00" * 255]),
        ("block", "uncles", ["a\0"]),
        ("transaction", "from", [None, "", "0x"]),
        ("transaction", "to", ["0x12", "someone"]),
        ("transaction", "type", [hex(2**31), "legacy"]),
        ("transaction", "input", [None, "0xabc"]),
        ("transaction", "value", [None, 0, "0x"]),
        ("transaction", "s", ["0x" + "1" * 65]),
        ("receipt", "contractAddress", ["0x12", 0]),
        ("receipt", "gasUsed", [None, hex(2**63)]),
        ("receipt", "status", ["0x", True, hex(2**31)]),
        ("log", "address", [None, "", "0x"]),
        ("log", "data", [None, "", "0x1"]),
        ("log", "topics", [None, "0x00", {}, ["0x0"], [None], ["0x" + "00" * 32] * 5]),
    ],
)
def test_a_missing_or_malformed_field_is_named_with_its_height(what: str, field: str, values: list[Any]) -> None:
    for value in values:
        with pytest.raises(ProviderFault, match=f"^block {objects.NUMBER}: .*{field}"):
            rows(changed(what, **{field: value}))


@pytest.mark.parametrize(
    ("what", "fields", "said"),
    [
        ("block", {"stateRoot": "0x1"}, "field stateRoot"),
        ("transaction", {"value": "0x"}, "transaction 1: field value"),
        ("receipt", {"gasUsed": None}, "transaction 1: a required field is missing: gasUsed"),
        ("log", {"data": "0x1"}, "log 2: field data"),
        ("log", {"topics": [None]}, "log 2: field topics"),
        ("log", {"other": "\0"}, "log 2: an unknown field"),
    ],
)
def test_of_several_blocks_the_malformed_one_is_named_and_the_place_in_it(
    what: str, fields: dict[str, Any], said: str
) -> None:
    wrong = replace(changed(what, **fields), number=19)
    with pytest.raises(ProviderFault, match=f"^block 19: {said}"):
        decode.rows([objects.whole(), wrong, objects.whole()], OUTPUTS)


def test_blocks_decoded_together_have_the_rows_that_each_has() -> None:
    given = [
        objects.whole(),
        changed("receipt", logs=[]),
        changed("log", other=5, topics=[]),
        changed("transaction", mint="0x1", to=None),
        changed("block", baseFeePerGas="0x07"),
    ]
    together = decode.rows(given, OUTPUTS)
    assert together == {
        output: [row for one in given for row in decode.rows([one], OUTPUTS)[output]] for output in OUTPUTS
    }
    assert decode.rows([], OUTPUTS) == {output: [] for output in OUTPUTS}, "of a sparse chain none may be there"


def test_a_missing_field_without_a_default_is_null_where_its_column_is_nullable() -> None:
    block = {
        k: v for k, v in objects.block().items() if k not in {"difficulty", "gasLimit", "sha3Uncles", "uncles"}
    }
    (row,) = rows(objects.whole(block))["blocks"]
    assert [row[name] for name in ("difficulty", "gas_limit", "sha3_uncles", "uncles")] == [None] * 4
    assert rows(changed("transaction", type=None))["transactions"][1]["type"] is None


@pytest.mark.parametrize("empty", ["", "0x", None])
def test_an_empty_address_is_null_where_a_contract_is_created(empty: Any) -> None:
    assert rows(changed("transaction", to=empty))["transactions"][1]["to_address"] is None
    assert rows(changed("receipt", contractAddress=empty))["transactions"][1]["contract_address"] is None


def test_what_a_sender_states_may_be_any_unsigned_number_of_64_bits() -> None:
    most = 2**64 - 1
    row = rows(changed("transaction", gas=hex(most), nonce=hex(most)))["transactions"][1]
    assert (row["gas_limit"], row["nonce"]) == (most, most)
    assert rows(changed("block", gasLimit=hex(most)))["blocks"][0]["gas_limit"] == most


def test_logs_are_numbered_by_their_position_where_a_chain_does_not() -> None:
    receipts = objects.receipts()
    receipts[1]["logs"][0]["logIndex"] = "0x0"  # restarts with each transaction
    found = rows(objects.whole(outcome=receipts, profile=UNNUMBERED))["logs"]
    assert [(row["transaction_index"], row["log_index"]) for row in found] == [(0, 0), (0, 1), (1, 2)]
    assert [row["extra"] for row in found] == [None, None, {"logIndex": "0x0"}]
    del receipts[1]["logs"][0]["logIndex"]
    assert rows(objects.whole(outcome=receipts, profile=UNNUMBERED))["logs"][2]["log_index"] == 2


def test_a_receipt_without_a_transaction_has_its_logs_under_the_blocks_hash_and_the_rest_in_extra() -> None:
    own = {**objects.receipts()[1], "transactionHash": objects.BLOCK_HASH, "transactionIndex": "0x2"}
    own["logs"] = [{**own["logs"][0], "transactionHash": objects.BLOCK_HASH, "logIndex": "0x3"}]
    whole = block_data(objects.NUMBER, objects.block(), [*objects.receipts(), own], PROFILES["Celo"])
    found = rows(whole)
    assert [(row["transaction_index"], row["log_index"]) for row in found["logs"]] == [
        (0, 0),
        (0, 1),
        (1, 2),
        (2, 3),
    ]
    assert found["logs"][3]["transaction_hash"] == objects.BLOCK_HASH
    assert found["blocks"][0]["extra"] == {"blockReceipt": {k: v for k, v in own.items() if k != "logs"}}
    assert len(found["transactions"]) == found["blocks"][0]["transaction_count"] == 2


def test_only_the_tables_of_the_job_get_rows() -> None:
    assert set(decode.rows([objects.whole()], ["blocks"])) == {"blocks"}
