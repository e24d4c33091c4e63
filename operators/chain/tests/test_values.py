"""One strict grammar: `0x` and hex digits of the right length, whatever else Python would take."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.chain import values
from operators.chain.tests.objects import NO_HEX


@pytest.mark.parametrize("value", NO_HEX, ids=repr)
@pytest.mark.parametrize("decode", [values.quantity, values.int32, values.int64, values.seconds, values.word])
def test_what_is_no_quantity_is_refused(decode: Callable[[Any], Any], value: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        decode(value)


@given(st.integers(0, 2**256 - 1), st.integers(0, 63))
def test_a_quantity_is_read_with_and_without_leading_zeros(number: int, zeros: int) -> None:
    digits = f"{number:X}"
    padded = "0x" + ("0" * zeros + digits)[-max(64, len(digits)) :]
    assert values.quantity(hex(number)) == number == values.quantity(padded)
    assert values.word(hex(number)) == f"0x{number:064x}"


@given(st.text() | st.text("0x123abc_+- \t\n", max_size=70))
def test_text_is_a_quantity_only_if_the_grammar_says_so(text: str) -> None:
    digits = text[2:]
    grammatical = text.startswith("0x") and 0 < len(digits) <= 64 and set(digits) <= set("0123456789abcdefABCDEF")
    try:
        assert values.quantity(text) == int(digits, 16)
        assert grammatical
    except ValueError:
        assert not grammatical


@pytest.mark.parametrize(
    ("decode", "most"),
    [
        (values.int32, 2**31 - 1),
        (values.int64, 2**63 - 1),
        (values.quantity, 2**256 - 1),
        (values.seconds, 253402300799),
    ],
)
def test_a_number_is_held_up_to_what_its_column_holds(decode: Callable[[Any], int], most: int) -> None:
    assert decode(hex(most)) == most
    with pytest.raises(ValueError):
        decode(hex(most + 1))


@pytest.mark.parametrize("unit", [10**3, 10**6, 10**9])
def test_a_time_in_another_unit_than_seconds_is_refused(unit: int) -> None:
    now = 1_700_000_000
    assert values.seconds(hex(now)) == now
    with pytest.raises(ValueError, match="milliseconds"):
        values.seconds(hex(now * unit))


@pytest.mark.parametrize(
    "value", [*(one for one in NO_HEX if one != "0x"), "0x1", "0x123", "0x12 34", "0x12\n34"], ids=repr
)
def test_what_is_no_data_is_refused(value: Any) -> None:
    if value == "0x" + "1" * 65:
        value += "z"
    with pytest.raises(ValueError):
        values.data(value)


def test_data_is_of_any_even_length_and_in_lower_case() -> None:
    assert values.data("0x") == "0x"
    assert values.data("0xABcd") == "0xabcd"
    assert values.data("0x" + "Ab" * 50_000) == "0x" + "ab" * 50_000


@pytest.mark.parametrize(
    ("decode", "length"), [(values.hash32, 32), (values.address, 20), (values.bloom, 256), (values.block_nonce, 8)]
)
def test_what_has_a_length_has_no_other(decode: Callable[[Any], str], length: int) -> None:
    assert decode("0x" + "aB" * length) == "0x" + "ab" * length
    for wrong in (
        "0x",
        "0x" + "ab" * (length - 1),
        "0x" + "ab" * (length + 1),
        "0x" + "a" * (2 * length - 1),
        None,
        7,
    ):
        with pytest.raises(ValueError):
            decode(wrong)
    with pytest.raises(ValueError):
        decode("0x" + "ab" * (length - 1) + " a")


def test_an_empty_address_is_none_where_a_contract_is_created_and_refused_elsewhere() -> None:
    assert values.address_or_none("0x") is None is values.address_or_none("")
    assert values.address_or_none("0x" + "AA" * 20) == "0x" + "aa" * 20
    for empty in ("0x", ""):
        with pytest.raises(ValueError):
            values.address(empty)


def _nested(levels: int) -> Any:
    value: Any = "end"
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        "a\0b",
        {"a\0": 1},
        [{"x": "\ud800"}],
        {"\udfff": 1},
        float("inf"),
        [float("nan")],
        2**256,
        [-(2**256)],
        _nested(values.MAX_DEPTH + 1),
        {"a": b"bytes"},
        {5: 1},
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_json_that_a_tier_cannot_hold_is_refused(value: Any) -> None:
    with pytest.raises(ValueError):
        values.json_value(value)


@pytest.mark.parametrize(
    "value",
    [None, True, "tab\t, newline\n, \\ and \u20ac \U0001f600", 2**256 - 1, 0.25, {}, [], _nested(values.MAX_DEPTH)],
)
def test_other_json_is_kept_as_given(value: Any) -> None:
    assert values.json_value(value) is value
    assert json.loads(json.dumps(value)) == value


def test_a_message_does_not_quote_what_a_provider_sent() -> None:
    for decode in (values.quantity, values.data, values.hash32, values.json_value):
        with pytest.raises(ValueError) as refused:
            decode("secret-key\0")
        assert "secret" not in str(refused.value)
