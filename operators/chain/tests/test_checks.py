"""Each rule finds what breaks it, and a right block breaks none."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from operators.chain import checks
from operators.chain.block_data import BlockData, block_data
from operators.chain.faults import Kind, ProviderFault
from operators.chain.links import BrokenChain, Header, check_links
from operators.chain.profiles import ETHEREUM, PROFILES, Profile, Rule
from operators.chain.tests import objects

Change = Callable[[dict[str, Any], list[dict[str, Any]]], Any]
EMPTY: dict[str, Any] = {"transactions": [], "logsBloom": objects.bloom(0), "gasUsed": "0x0"}


def test_a_right_block_breaks_no_rule() -> None:
    checks.check(objects.whole(), ETHEREUM)


def test_an_empty_block_breaks_no_rule() -> None:
    checks.check(objects.whole(objects.block() | EMPTY, []), ETHEREUM)


def _set(target: dict[str, Any], **fields: Any) -> None:
    target.update(fields)


def _without_bloom(block: dict[str, Any], receipt: dict[str, Any]) -> None:
    _set(receipt, logsBloom=objects.bloom(0))
    _set(block, logsBloom=objects.bloom(0b0110))  # of the other receipt, so that the header is right


BROKEN: list[tuple[checks.Check, Change]] = [
    (checks.height, lambda block, _: _set(block, number=hex(objects.NUMBER + 1))),
    (checks.receipt_count, lambda _, receipts: receipts.pop()),
    (checks.receipt_count, lambda block, _: block["transactions"].pop()),
    (checks.same_block, lambda block, _: _set(block, hash="0x00")),
    (checks.same_block, lambda block, _: _set(block["transactions"][1], blockHash="0x00")),
    (checks.same_block, lambda block, _: _set(block["transactions"][1], blockNumber="0xf423f")),
    (checks.same_block, lambda block, _: _set(block["transactions"][1], transactionIndex="0x0")),
    (checks.same_block, lambda _, receipts: _set(receipts[1], blockHash="0x00")),
    (checks.same_block, lambda _, receipts: _set(receipts[1], blockNumber="0xf423f")),
    (checks.same_block, lambda _, receipts: _set(receipts[1], transactionHash=objects.FIRST)),
    (checks.same_block, lambda _, receipts: _set(receipts[1], transactionIndex="0x0")),
    (checks.same_block, lambda _, receipts: _set(receipts[0]["logs"][1], blockHash="0x00")),
    (checks.same_block, lambda _, receipts: _set(receipts[0]["logs"][1], blockNumber="0xf423f")),
    (checks.same_block, lambda _, receipts: _set(receipts[0]["logs"][1], transactionIndex="0x1")),
    (checks.same_block, lambda _, receipts: _set(receipts[0]["logs"][1], transactionHash=objects.SECOND)),
    (checks.same_block, lambda _, receipts: _set(receipts[0]["logs"][1], removed=True)),
    (checks.fields, lambda block, _: block.pop("difficulty")),
    (checks.fields, lambda block, _: block["transactions"][1].pop("type")),
    (checks.fields, lambda _, receipts: receipts[0].pop("cumulativeGasUsed")),
    (checks.transaction_types, lambda _, receipts: _set(receipts[1], type="0x1")),
    (checks.transaction_types, lambda block, _: _set(block["transactions"][1], type="0x102")),
    (checks.log_indexes, lambda _, receipts: receipts[0]["logs"].pop()),
    (checks.log_indexes, lambda _, receipts: _set(receipts[1]["logs"][0], logIndex="0x3")),
    (checks.receipt_blooms, lambda block, receipts: _without_bloom(block, receipts[0])),
    (checks.receipt_blooms, lambda _, receipts: _set(receipts[1], logs=[])),
    (checks.header_bloom, lambda block, _: _set(block, logsBloom=objects.bloom(3))),
    (checks.gas, lambda block, _: _set(block, gasUsed=hex(42_001))),
    (checks.gas, lambda _, receipts: _set(receipts[1], cumulativeGasUsed=hex(21_000))),
]
IDS = [f"{n}-{rule.__name__}" for n, (rule, _) in enumerate(BROKEN)]


def _broken(change: Change, profile: Profile = ETHEREUM) -> BlockData:
    block, receipts = objects.block(), objects.receipts()
    change(block, receipts)
    if block["transactions"][-1].get("type") == "0x102":
        receipts[-1]["type"] = "0x102"
    return objects.whole(block, receipts, profile)


@pytest.mark.parametrize(("rule", "change"), BROKEN, ids=IDS)
def test_a_block_that_breaks_a_rule_is_refused_by_that_rule(rule: checks.Check, change: Change) -> None:
    whole = _broken(change)
    assert next(check for check in checks.CHECKS.values() if check(whole) is not None) is rule
    with pytest.raises(ProviderFault, match=f"^block {objects.NUMBER}: "):
        checks.check(whole, ETHEREUM)


def test_every_rule_is_shown_to_find_something() -> None:
    assert [rule.__name__ for rule in dict(BROKEN)] == list(checks.CHECKS)


SWITCHED = [(rule, change) for rule, change in BROKEN if rule.__name__ in set(Rule)]


@pytest.mark.parametrize(("rule", "change"), SWITCHED)
def test_a_rule_that_is_off_refuses_nothing_and_is_listed(rule: checks.Check, change: Change) -> None:
    profile = Profile(name="Custom", off=frozenset({Rule(rule.__name__)}))
    checks.check(_broken(change, profile), profile)
    assert profile.unverified == (rule.__name__,)


def test_what_decides_a_rows_place_cannot_be_switched_off() -> None:
    assert not {"height", "receipt_count", "same_block", "links"} & set(Rule)
    assert set(Rule) - {Rule.CONSECUTIVE_HEIGHTS} <= set(checks.CHECKS)


def test_a_field_that_a_chain_may_lack_is_not_demanded_and_is_listed() -> None:
    celo = PROFILES["Celo"]
    whole = _broken(lambda block, _: block.pop("difficulty"), celo)
    checks.check(whole, celo)
    assert celo.unverified == ("fields: difficulty, gasLimit, sha3Uncles, uncles",)
    with pytest.raises(ProviderFault, match="the header lacks extraData"):
        checks.check(_broken(lambda block, _: block.pop("extraData"), celo), celo)


@pytest.mark.parametrize("used", [0, 21_000, 41_999, 42_001, 63_000])
def test_gas_of_the_receipts_is_the_headers_gas_to_the_unit(used: int) -> None:
    assert checks.gas(objects.whole()) is None
    with pytest.raises(ProviderFault, match="gas of the receipts"):
        checks.check(objects.whole(objects.block() | {"gasUsed": hex(used)}), ETHEREUM)


def test_a_block_without_transactions_used_no_gas() -> None:
    with pytest.raises(ProviderFault, match="gas of the receipts"):
        checks.check(objects.whole(objects.block() | EMPTY | {"gasUsed": "0x1"}, []), ETHEREUM)


def _refused(block: Any, receipts: Any, profile: Profile = ETHEREUM) -> str:
    with pytest.raises(ProviderFault) as refused:
        checks.check(block_data(objects.NUMBER, block, receipts, profile), profile)
    return str(refused.value)


@pytest.mark.parametrize(
    ("block", "said"),
    [
        (None, "not there"),
        ([], "not there"),
        ({}, "transactions"),
        ({"transactions": []}, "number"),
        ({**objects.block(), "transactions": {}}, "transactions"),
        ({**objects.block(), "transactions": "none"}, "transactions"),
        ({**objects.block(), "transactions": [objects.FIRST, objects.SECOND]}, "transactions"),
        ({**objects.block(), "gasUsed": None}, "gasUsed"),
        ({**objects.block(), "gasUsed": "42000"}, "gasUsed is no quantity"),
        ({**objects.block(), "number": 18}, "number is no quantity"),
        ({**objects.block(), "logsBloom": "0x0"}, "logsBloom is not 256 bytes"),
    ],
)
def test_what_is_no_block_is_the_providers_fault(block: Any, said: str) -> None:
    assert said in _refused(block, objects.receipts())


@pytest.mark.parametrize("receipts", [None, {}, "", [None, None], [[], []], [{}, {}], [{"logs": ""}, {"logs": {}}]])
def test_what_are_no_receipts_is_the_providers_fault(receipts: Any) -> None:
    assert str(objects.NUMBER) in _refused(objects.block(), receipts)


def test_a_receipt_that_is_not_there_blames_nobody() -> None:
    with pytest.raises(ProviderFault, match="some of its receipts are not there") as fault:
        block_data(objects.NUMBER, objects.block(), [objects.receipts()[0], None], ETHEREUM)
    assert fault.value.kind is Kind.NOT_THERE_YET


def test_logs_that_no_header_vouches_for_are_let_in_by_no_other_profile() -> None:
    """A receipt without a transaction, and a state-sync transaction, are true on some chains alone."""
    zero = "0x" + "00" * 20
    extra = {**objects.receipts()[1], "transactionHash": objects.BLOCK_HASH, "transactionIndex": "0x2", "logs": []}
    with_receipt = [*objects.receipts(), extra | {"logsBloom": objects.bloom(0)}]
    sync = {**objects.block()["transactions"][1], "from": zero, "to": zero, "gas": "0x0"}
    sync |= {"transactionIndex": "0x2", "hash": "0x" + "03" * 32}
    block = objects.block()
    block["transactions"].append(sync)
    log = {**objects.receipts()[1]["logs"][0], "transactionIndex": "0x2", "logIndex": "0x3"}
    logs = [log | {"transactionHash": sync["hash"]}]
    outcome = {**extra, "transactionHash": sync["hash"], "logs": logs, "logsBloom": objects.bloom(0b11000)}
    with_sync = [*objects.receipts(), outcome | {"cumulativeGasUsed": "0x0"}]
    for profile in PROFILES.values():
        if profile.name == "Celo":
            checks.check(objects.whole(outcome=with_receipt, profile=profile), profile)
        else:
            assert "receipts" in _refused(objects.block(), with_receipt, profile)
        if profile.name == "PolygonPos":
            checks.check(objects.whole(block, with_sync, profile), profile)
        elif Rule.HEADER_BLOOM not in profile.off:
            assert "bloom" in _refused(block, with_sync, profile)


def _header(number: int, parent: str) -> Header:
    return Header(number, f"h{number}", parent, datetime(2026, 1, 1, tzinfo=UTC))


def test_links_hold_from_block_to_block() -> None:
    check_links("h4", [_header(5, "h4"), _header(6, "h5")])
    check_links(None, [_header(5, "unknown"), _header(6, "h5")])
    check_links("h4", [])


@pytest.mark.parametrize(("parent", "second", "broken"), [("h3", "h5", 5), ("h4", "other", 6), (None, "other", 6)])
def test_the_first_block_that_does_not_link_is_named(parent: str | None, second: str, broken: int) -> None:
    with pytest.raises(BrokenChain) as raised:
        check_links(parent, [_header(5, "h4"), _header(6, second)])
    assert raised.value.number == broken
