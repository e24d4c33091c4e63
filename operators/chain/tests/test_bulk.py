"""A list of values is decoded as its values are one by one, or refused where one of them is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.chain import values
from operators.chain.bulk import many
from operators.chain.tests.objects import NO_HEX

DECODERS: Sequence[Callable[[Any], Any]] = (
    values.int32,
    values.int64,
    values.quantity,
    values.seconds,
    values.hash32,
    values.word,
    values.block_nonce,
    values.data,
    values.address,
    values.address_or_none,
    values.topic,
    values.bloom,
    values.json_value,
)

HEX = "0123456789abcdef"


def digits(alphabet: str, low: int, high: int) -> st.SearchStrategy[str]:
    return st.text(alphabet, min_size=low, max_size=high).map(lambda text: "0x" + text)


RIGHT = (
    st.integers(0, 2**256 - 1).map(hex)
    | st.integers(0, 300).map(hex)
    | digits(HEX, 64, 64)
    | digits(HEX, 40, 40)
    | digits(HEX, 16, 16)
    | digits(HEX, 0, 6)
    | st.sampled_from(["", "0x", "0x" + "00" * 32, "0x" + "0" * 63 + "1", "0x" + "00" * 256])
)
WRONG = (
    st.sampled_from([value for value in NO_HEX if value is not None])
    | digits(HEX + "ABCDEFx _-\n\t\u0661\ud800", 0, 66)
    | digits(HEX.upper(), 64, 64)
    | st.integers(2**31, 2**300).map(hex)
    | st.sampled_from([True, 2.5, float("nan"), ["a\0"], {"a": float("inf")}, [[]], 2**300])
)


def outcome(decode: Callable[[], Sequence[Any]]) -> Any:
    """What comes of it; that it is refused is all that counts, as it is then looked at one by one."""
    try:
        return [(type(value), value) for value in decode()]
    except (ValueError, TypeError):
        return "refused"


@pytest.mark.parametrize("decode", DECODERS, ids=lambda one: getattr(one, "__qualname__", repr(one)))
@given(right=st.lists(RIGHT, max_size=12), wrong=st.lists(WRONG, max_size=2), seed=st.randoms())
def test_a_list_is_decoded_as_its_values_are(
    decode: Callable[[Any], Any], right: list[Any], wrong: list[Any], seed: Any
) -> None:
    given_values = right + wrong
    seed.shuffle(given_values)
    assert outcome(lambda: many(decode)(given_values)) == outcome(lambda: [decode(one) for one in given_values])


@pytest.mark.parametrize(
    ("decode", "right"),
    [
        (values.hash32, "0x" + "ab" * 32),
        (values.data, "0xabcd"),
        (values.word, "0x" + "ab" * 32),
        (values.block_nonce, "0x" + "ab" * 8),
    ],
)
def test_what_one_value_lacks_another_does_not_make_up_for(decode: Callable[[Any], Any], right: str) -> None:
    """Lists whose text as a whole looks right: as many prefixes, digits and bytes as there should be."""
    moved = [[right[2:] + "0x", right], ["0x" + right[4:] + "0x", right], [right[:-1], right + "0"]]
    moved += [["x0" + right[2:]] * 2, ["0x" + "x" + right[3:], "00" + right[2:]], [right[:-2] + "0x", right]]
    for pair in moved:
        with pytest.raises(ValueError, match=r"is no|are more"):
            many(decode)(pair)


def test_numbers_that_differ_only_in_how_they_are_written_are_the_same() -> None:
    given_values = ["0x1", "0x01", "0x1", "0xA", "0xa", "0x1"]
    assert many(values.int64)(given_values) == [1, 1, 1, 10, 10, 1]
    assert many(values.word)(["0x1", "0x" + "0" * 63 + "1"]) == ["0x" + "0" * 63 + "1"] * 2
    assert many(values.hash32)(["0x" + "AB" * 32]) == ["0x" + "ab" * 32]
