"""Each rule finds what breaks it, and a right block breaks none."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from operators.chain import checks
from operators.chain.faults import ProviderFault
from operators.chain.links import BrokenChain, Header, check_links
from operators.chain.tests import objects

Change = Callable[[dict[str, Any], list[dict[str, Any]]], Any]


def test_a_right_block_breaks_no_rule() -> None:
    checks.check_block(objects.NUMBER, objects.block(), objects.receipts())


def test_an_empty_block_breaks_no_rule() -> None:
    empty = objects.block() | {"transactions": [], "logsBloom": "0x0", "gasUsed": "0x0"}
    checks.check_block(objects.NUMBER, empty, [])


def _set(target: dict[str, Any], **fields: Any) -> None:
    target.update(fields)


BROKEN: list[tuple[checks.Check, Change]] = [
    (checks.height, lambda block, _: _set(block, number=hex(objects.NUMBER + 1))),
    (checks.receipt_count, lambda _, receipts: receipts.pop()),
    (checks.receipt_count, lambda block, _: block["transactions"].pop()),
    (checks.receipt_count, lambda _, receipts: receipts.__setitem__(1, None)),
    (checks.same_block, lambda block, _: _set(block, hash="0x00")),
    (checks.same_block, lambda block, _: _set(block["transactions"][1], blockHash="0x00")),
    (checks.same_block, lambda _, receipts: _set(receipts[1], blockHash="0x00")),
    (checks.same_block, lambda _, receipts: _set(receipts[1], transactionHash=objects.FIRST)),
    (checks.same_block, lambda _, receipts: _set(receipts[1], transactionIndex="0x0")),
    (checks.same_block, lambda _, receipts: _set(receipts[0]["logs"][1], blockHash="0x00")),
    (checks.same_block, lambda _, receipts: _set(receipts[0]["logs"][1], transactionIndex="0x1")),
    (checks.log_indexes, lambda _, receipts: receipts[0]["logs"].pop()),
    (checks.log_indexes, lambda _, receipts: _set(receipts[1]["logs"][0], logIndex="0x3")),
    (checks.blooms, lambda block, _: _set(block, logsBloom="0x3")),
    (checks.blooms, lambda _, receipts: _set(receipts[0], logsBloom="0x0")),
    (checks.blooms, lambda _, receipts: _set(receipts[1], logs=[])),
    (checks.gas, lambda block, _: _set(block, gasUsed=hex(42_001))),
    (checks.gas, lambda _, receipts: _set(receipts[1], cumulativeGasUsed=hex(21_000))),
]


@pytest.mark.parametrize(
    ("rule", "change"), BROKEN, ids=[f"{n}-{rule.__name__}" for n, (rule, _) in enumerate(BROKEN)]
)
def test_a_block_that_breaks_a_rule_is_refused_by_that_rule(rule: checks.Check, change: Change) -> None:
    block, receipts = objects.block(), objects.receipts()
    change(block, receipts)
    broken = next(check for check in checks.CHECKS if check(objects.NUMBER, block, receipts) is not None)
    assert broken is rule
    with pytest.raises(ProviderFault, match=f"^block {objects.NUMBER}: "):
        checks.check_block(objects.NUMBER, block, receipts)


@pytest.mark.parametrize("used", [0, 21_000, 41_999, 42_001, 63_000])
def test_gas_of_the_receipts_is_the_headers_gas_to_the_unit(used: int) -> None:
    block, receipts = objects.block(), objects.receipts()
    assert checks.gas(objects.NUMBER, block, receipts) is None
    with pytest.raises(ProviderFault, match="gas of the receipts"):
        checks.check_block(objects.NUMBER, block | {"gasUsed": hex(used)}, receipts)


def test_a_block_without_transactions_used_no_gas() -> None:
    empty = objects.block() | {"transactions": [], "logsBloom": "0x0", "gasUsed": "0x1"}
    with pytest.raises(ProviderFault, match="gas of the receipts"):
        checks.check_block(objects.NUMBER, empty, [])


def test_every_rule_is_shown_to_find_something() -> None:
    assert {rule for rule, _ in BROKEN} == set(checks.CHECKS)


@pytest.mark.parametrize(
    "block", [None, [], {}, {**objects.block(), "gasUsed": None}, {**objects.block(), "number": 18}]
)
def test_what_is_no_block_is_the_providers_fault(block: Any) -> None:
    with pytest.raises(ProviderFault):
        checks.check_block(objects.NUMBER, block, objects.receipts())


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
