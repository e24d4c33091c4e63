"""Every profile's chain passes its rules; one that breaks a rule is refused, or the rule is off and named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from operators.block_follower import OPERATOR
from operators.chain.checks import CHECKS
from operators.chain.faults import ProviderFault
from operators.chain.profiles import PROFILES, Rule
from operators.chain.schemas import BLOCKS, LOGS, TRANSACTIONS
from tests.support.chains import CHAINS, Shape, filecoin
from tests.support.chains.changing import ZERO_ADDRESS, with_bit
from tests.support.chains.direct import config_of, fetcher_of
from tests.support.fake_chain import EMPTY_BLOOM, FakeChain, Height

COLUMNS = {"blocks": BLOCKS, "transactions": TRANSACTIONS, "logs": LOGS}
everywhere = pytest.mark.parametrize("shape", CHAINS.values(), ids=list(CHAINS))


def rows(shape: Shape) -> dict[str, list[dict[str, Any]]]:
    """All rows of a shape's chain, each with its columns' names."""
    chain = shape.chain()
    batch = fetcher_of(shape, chain).batch(0, chain.head)
    return {
        output: [dict(zip((c.name for c in columns), row, strict=True)) for row in batch.rows[output]]
        for output, columns in COLUMNS.items()
    }


@everywhere
def test_a_chain_of_the_profile_passes_its_rules_with_every_transaction_and_log(shape: Shape) -> None:
    heights = shape.chain().heights
    found = rows(shape)
    assert [row["block_number"] for row in found["blocks"]] == sorted(heights)
    assert len(found["transactions"]) == sum(len(height.block["transactions"]) for height in heights.values())
    logs = [row for height in heights.values() for receipt in height.receipts for row in receipt["logs"]]
    assert len(found["logs"]) == len(logs) > 0
    for number in heights:
        indexes = [row["log_index"] for row in found["logs"] if row["block_number"] == number]
        assert indexes == list(range(len(indexes)))


def test_every_profile_has_a_chain() -> None:
    assert {shape.profile for shape in CHAINS.values()} == {*PROFILES, "Custom"}
    for shape in CHAINS.values():
        assert config_of(shape).profile.name == shape.profile


def _break_types(height: Height) -> None:
    height.receipts[0]["type"] = "0x3"


def _with_logs(height: Height) -> dict[str, Any]:
    """The first receipt with logs: a system transaction at the start of a block has none."""
    return next(receipt for receipt in height.receipts if receipt["logs"])


BREAKS: dict[str, Callable[[Height], Any]] = {
    "height": lambda height: height.block.update(number="0xf423f"),
    "receipt_count": lambda height: height.receipts.pop(0),
    "same_block": lambda height: height.receipts[0].update(blockHash="0x" + "ab" * 32),
    "fields": lambda height: height.block.pop("extraData"),
    "transaction_types": _break_types,
    "log_indexes": lambda height: _with_logs(height)["logs"][0].update(logIndex="0x63"),
    "receipt_blooms": lambda height: _with_logs(height).update(logsBloom=EMPTY_BLOOM),
    "header_bloom": lambda height: with_bit(height.block, 77),
    "gas": lambda height: height.block.update(gasUsed="0x1"),
}
IMPLIED = {"receipt_blooms": Rule.HEADER_BLOOM}
"""A receipt without its bloom is found by this rule too."""
AT = 3
"""The block that is broken: of each shape one with transactions and logs."""


def _broken(shape: Shape, rule: str) -> Callable[[str, list[Any], Any], Any]:
    honest = shape.chain().heights[AT]
    broken = shape.chain().heights[AT]
    BREAKS[rule](broken)
    lie = shape.manners.lie or (lambda _method, _params, result: result)

    def answered(method: str, params: list[Any], result: Any) -> Any:
        if result == honest.block:
            result = broken.block
        elif result == honest.receipts:
            result = broken.receipts
        return lie(method, params, result)

    return answered


@everywhere
@pytest.mark.parametrize("rule", CHECKS)
def test_a_chain_that_breaks_a_rule_is_refused_unless_the_rule_is_off(shape: Shape, rule: str) -> None:
    chain = shape.chain()
    off = config_of(shape).profile.off
    fetcher = fetcher_of(shape, chain, _broken(shape, rule))
    if rule in off and IMPLIED.get(rule, rule) in off:
        fetcher.batch(0, chain.head)
        return
    if shape.profile == "Custom" and rule == "transaction_types":
        return  # its chain says no types, so none can differ
    with pytest.raises(ProviderFault, match=f"block {AT}: "):
        fetcher.batch(0, chain.head)


def test_every_rule_is_broken_once() -> None:
    assert list(BREAKS) == list(CHECKS)


@everywhere
def test_what_is_off_is_declared_as_unverified(shape: Shape) -> None:
    config = config_of(shape)
    for schema in OPERATOR.declare_outputs(config, [], list(COLUMNS)).values():
        assert schema.unverified == config.profile.unverified
        assert {rule.value for rule in config.profile.off} <= set(schema.unverified)
        assert schema.sparse is (shape.profile == "Filecoin")


@everywhere
def test_a_height_without_a_block_is_refused_where_heights_are_consecutive(shape: Shape) -> None:
    kept = [height for number, height in shape.chain().heights.items() if number != AT]
    chain = FakeChain(shape.chain_id, kept)
    fetcher = fetcher_of(shape, chain)
    if shape.profile == "Filecoin":
        assert AT not in [header.number for header in fetcher.batch(0, chain.head).headers]
        return
    with pytest.raises(ProviderFault, match=f"block {AT} is not there"):
        fetcher.batch(0, chain.head)


def test_deposits_keep_what_has_no_column_and_a_nonce_of_64_bits() -> None:
    deposit = rows(CHAINS["OpStack"])["transactions"][0]
    assert (deposit["type"], deposit["nonce"], deposit["gas_price"]) == (0x7E, 2**64 - 3, 0)
    assert set(deposit["extra"]) == {"sourceHash", "mint", "isSystemTx"}
    assert deposit["receipt_extra"] == {"depositNonce": "0x23e86", "depositReceiptVersion": "0x1"}
    ordinary = rows(CHAINS["OpStack"])["transactions"][1]
    assert ordinary["receipt_extra"]["l1FeeScalar"] == "0.684"


@pytest.mark.parametrize("name", [name for name in CHAINS if name.startswith("PolygonPos")])
def test_a_state_sync_transaction_has_its_row_and_logs_whatever_half_the_node_left_out(name: str) -> None:
    found = rows(CHAINS[name])
    assert found == rows(CHAINS["PolygonPos"])
    sync = [row for row in found["transactions"] if row["from_address"] == ZERO_ADDRESS]
    assert [(row["block_number"], row["transaction_index"], row["log_count"]) for row in sync] == [(3, 2, 2)]
    assert [
        row["log_index"] for row in found["logs"] if row["transaction_hash"] == sync[0]["transaction_hash"]
    ] == [4, 5]


def test_a_system_transaction_may_use_any_gas_of_64_bits_and_blocks_share_a_second() -> None:
    found = rows(CHAINS["Bsc"])
    assert {row["gas_limit"] for row in found["transactions"]} == {100_000, 2**63 - 1, 2**64 - 1}
    assert len({row["block_timestamp"] for row in found["blocks"]}) == 2
    assert found["blocks"][1]["extra"] == {"milliTimestamp": hex(1_700_000_000_450)}


def test_columns_that_a_chain_lacks_are_null() -> None:
    block = rows(CHAINS["Celo"])["blocks"][1]
    lacking = ("difficulty", "gas_limit", "sha3_uncles", "uncles", "mix_hash", "nonce", "base_fee_per_gas")
    assert [block[name] for name in lacking] == [None] * len(lacking)
    assert set(block["extra"]) == {"randomness", "totalDifficulty", "blockReceipt"}
    assert {row["type"] for row in rows(CHAINS["Custom"])["transactions"]} == {None}


def test_log_indexes_that_restart_are_numbered_by_position_and_kept() -> None:
    logs = rows(CHAINS["Custom"])["logs"][:4]
    assert [(row["log_index"], row["extra"]) for row in logs] == [
        (0, None),
        (1, None),
        (2, {"logIndex": "0x0"}),
        (3, {"logIndex": "0x1"}),
    ]


def test_null_rounds_have_no_row() -> None:
    numbers = {row["block_number"] for row in rows(CHAINS["Filecoin"])["blocks"]}
    assert set(range(max(numbers) + 1)) - numbers == filecoin.NULL_ROUNDS
