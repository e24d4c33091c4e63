"""Rows have the columns of their table, in order; what is malformed is the provider's fault."""

from __future__ import annotations

from typing import Any

import pytest

from operators.chain import decode
from operators.chain.faults import ProviderFault
from operators.chain.schemas import BLOCKS, LOGS, TRANSACTIONS
from operators.chain.tests import objects
from traceplane_sdk.operator import Column


def _named(columns: tuple[Column, ...], row: decode.Row) -> dict[str, Any]:
    return dict(zip((column.name for column in columns), row, strict=True))


def test_a_block_becomes_a_row() -> None:
    row = _named(BLOCKS, decode.block_row(objects.block()))
    assert (row["block_number"], row["block_timestamp"], row["transaction_count"]) == (objects.NUMBER, 100, 2)
    assert (row["uncles"], row["withdrawals"], row["base_fee_per_gas"]) == ([], None, None)


def test_a_transaction_and_its_receipt_become_one_row() -> None:
    block = objects.block()
    row = _named(TRANSACTIONS, decode.transaction_row(block, block["transactions"][1], objects.receipts()[1]))
    assert (row["transaction_index"], row["value"], row["gas_limit"]) == (1, 2**255, 21_000)
    assert (row["gas_used"], row["cumulative_gas_used"], row["log_count"]) == (21_000, 42_000, 1)
    assert row["from_address"] == "0x" + "fa" * 20
    assert row["r"] == "0x" + "0" * 63 + "1"
    assert (row["to_address"], row["blob_gas_price"], row["block_timestamp"]) == (None, None, 100)


def test_a_log_becomes_a_row_with_null_for_topics_it_lacks() -> None:
    log = objects.receipts()[1]["logs"][0]
    row = _named(LOGS, decode.log_row(objects.block(), log))
    assert (row["log_index"], row["data"], row["address"]) == (2, "0x", "0x" + "aa" * 20)
    assert [row[f"topic{n}"] for n in range(4)] == ["0x" + "0e" * 32, None, None, None]


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"gasLimit": None}, "gasLimit"),
        ({"gasLimit": "many"}, "gasLimit"),
        ({"gasLimit": 21_000}, "gasLimit"),
        ({"gasLimit": hex(2**63)}, "gasLimit"),
        ({"stateRoot": "ab"}, "stateRoot"),
        ({"stateRoot": 5}, "stateRoot"),
    ],
)
def test_a_missing_or_malformed_field_is_named(changed: dict[str, Any], field: str) -> None:
    with pytest.raises(ProviderFault, match=field):
        decode.block_row(objects.block() | changed)


def test_a_log_of_five_topics_is_refused() -> None:
    log = objects.receipts()[0]["logs"][0] | {"topics": ["0x00"] * 5}
    with pytest.raises(ProviderFault, match="5 topics"):
        decode.log_row(objects.block(), log)
