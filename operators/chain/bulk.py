"""Many values of one field at once, by the grammar of `values`. Pure.

What holds of nearly all of them (quantities in their one canonical form, hex in lower case) is proven for the whole
list by a few passes in C. Where that proof fails, each is looked at by itself: so a list is decoded as its values
are one by one, or refused where one of them is, and only the time differs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from operators.chain import values as one

Decode = Callable[[Any], Any]
Many = Callable[[Sequence[Any]], Sequence[Any]]
"""Values of a field -> what they stand for, as many. Raises ValueError or TypeError where one is malformed."""


def many(decode: Decode) -> Many:
    """The decoder of lists that does what `decode`, one of `values`, does for each of their values."""
    known = _FAST.get(decode)
    return known if known is not None else lambda values: list(map(decode, values))


def _integers(decode: Decode, most: int) -> Many:
    def decode_all(values: Sequence[Any]) -> Sequence[Any]:
        try:
            few = set(values)
            given = values if 2 * len(few) > len(values) else list(few)
            numbers = [int(value, 16) for value in given]
        except (TypeError, ValueError):
            return list(map(decode, values))
        # int() forgives much; what hex() writes again, and is not below zero, was a canonical quantity.
        if list(map(hex, numbers)) != given or min(numbers, default=0) < 0 or max(numbers, default=0) > most:
            return list(map(decode, values))
        if given is values:
            return numbers
        return list(map(dict(zip(given, numbers, strict=True)).__getitem__, values))

    return decode_all


def _repeated(decode: Decode) -> Many:
    def decode_all(values: Sequence[Any]) -> Sequence[Any]:
        try:
            known = {value: decode(value) for value in set(values)}
        except TypeError:
            return list(map(decode, values))
        return list(map(known.__getitem__, values))

    return decode_all


def _fixed(decode: Decode, length: int) -> Many:
    """Of data of `length` bytes."""
    size = 2 + 2 * length

    def decode_all(values: Sequence[Any]) -> Sequence[Any]:
        try:
            text = "".join(values)
            if (
                set(map(len, values)) <= {size}
                and text[0::size] == "0" * len(values)
                # As many are no hex as there are prefixes, and each prefix has one: so the rest is.
                and text[1::size] == "x" * len(values) == _not_hex(text)
            ):
                return values
        except (TypeError, UnicodeEncodeError):
            pass
        return list(map(decode, values))

    return decode_all


def _data(values: Sequence[Any]) -> Sequence[Any]:
    try:
        text = "".join(values)
        if (
            not any(map((1).__and__, map(len, values)))
            and [value[:2] for value in values] == ["0x"] * len(values)
            and _not_hex(text) == "x" * len(values)
        ):
            return values
    except (TypeError, UnicodeEncodeError):
        pass
    return list(map(one.data, values))


def _words(values: Sequence[Any]) -> Sequence[Any]:
    try:
        if {_WORD}.issuperset(map(len, values)):
            return _hashes(values)
        # Of those that are 32 bytes long nothing is known yet, the others are whole afterwards.
        return _hashes([value if len(value) == _WORD else one.word(value) for value in values])
    except TypeError:
        return list(map(one.word, values))


def _not_hex(text: str) -> str:
    """What of a text is no lower-case digit of hex."""
    return text.encode().translate(None, b"0123456789abcdef").decode()


_WORD = 2 + 64
_hashes = _fixed(one.hash32, 32)


def _json(decode: Decode) -> Many:
    def check_all(values: Sequence[Any]) -> Sequence[Any]:
        for value in filter(None, values):  # whatever is empty, or zero, is JSON
            decode(value)
        return values

    return check_all


_FAST: Mapping[Decode, Many] = {
    one.int32: _integers(one.int32, one.INT32_MAX),
    one.int64: _integers(one.int64, one.INT64_MAX),
    one.quantity: _integers(one.quantity, one.UINT256_MAX),
    one.hash32: _hashes,
    one.word: _words,
    one.block_nonce: _fixed(one.block_nonce, 8),
    one.data: _data,
    one.address_or_none: _repeated(one.address_or_none),
    one.json_value: _json(one.json_value),
}
"""Addresses, topics and blooms repeat: these are remembered one by one, which is faster still."""
