"""From the hex of JSON-RPC to values: one strict grammar for whatever a provider sends. Pure.

Quantities are `0x` and hex digits, data is `0x` and an even number of them (Ethereum JSON-RPC, "Hex value
encoding"). Nothing else is read as a number: no sign, no underscore, no whitespace, no decimal, no JSON number,
though Python's own `int` takes them all. Leading zeros of a quantity are accepted, against the letter of the
specification: many nodes pad, and the value is the same. Each function raises ValueError for what is none; the
messages never quote the value, which may be of any length and hold whatever its sender liked.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

_MAX_QUANTITY_TEXT = 2 + 64
"""0x and 256 bits; what pads beyond that is refused."""
INT32_MAX, INT64_MAX, UINT256_MAX = 2**31 - 1, 2**63 - 1, 2**256 - 1
_LAST_SECOND = 253_402_300_799
"""9999-12-31T23:59:59Z, the last second that a datetime holds. Milliseconds since 1978 lie above it, and so do
smaller units."""
_REMEMBERED = 1 << 14
"""Values of a kind that are not looked at again: few addresses and topics are most of what a chain repeats."""
MAX_DEPTH = 64
"""Levels of nesting in a JSON column. The deepest that a chain is known to have is 5 (an access list)."""
_MAX_JSON_INTEGER = 2**256
"""Integers of a JSON column; beyond it jsonb's text, Arrow and DuckDB would no longer agree."""


def _bounded(most: int) -> Callable[[Any], int]:
    """A decoder of integers from 0 to `most`."""

    def bounded(value: Any) -> int:
        try:
            number = int(value, 16)
        except (ValueError, TypeError):
            raise _no_quantity(value) from None
        # What hex() writes again was a canonical quantity: nearly all there is, and by far the cheapest proof.
        if hex(number) != value or number < 0:
            number = _padded(value)
        if number > most:
            raise ValueError(f"{number.bit_length()} bits are more than its column holds")
        return number

    return bounded


def _padded(value: Any) -> int:
    """Of leading zeros or upper-case digits."""
    # isalnum and isascii rule out what int() would forgive: signs, underscores, spaces, digits of other scripts.
    if (
        type(value) is not str
        or value[:2] != "0x"
        or len(value) > _MAX_QUANTITY_TEXT
        or not value.isalnum()
        or not value.isascii()
    ):
        raise _no_quantity(value)
    return int(value, 16)


quantity = _bounded(UINT256_MAX)
"""An integer of at most 256 bits."""
int32 = lru_cache(_REMEMBERED)(_bounded(INT32_MAX))
"""An integer that fits Postgres's integer. Raises TypeError as well, for lists and objects."""
int64 = _bounded(INT64_MAX)
"""An integer that fits Postgres's bigint."""


def seconds(value: Any) -> int:
    """A block's time: whole seconds since 1970."""
    number = quantity(value)
    if number > _LAST_SECOND:
        raise ValueError("lies beyond the year 9999 in seconds: is it in milliseconds or a smaller unit?")
    return number


def data(value: Any) -> str:
    """Bytes of any length, as lower-case hex: the one spelling that equality in SQL can rely on."""
    if value == "0x":
        return "0x"
    try:
        # fromhex skips spaces: they are missed in the number of bytes.
        if value[:2] == "0x" and 2 * len(bytes.fromhex(value[2:])) == len(value) - 2:
            return str(value.lower())
    except (ValueError, TypeError, AttributeError):
        pass
    raise ValueError(f"is no data: 0x and an even number of hex digits are due, {_kind(value)} is not")


def fixed(length: int) -> Callable[[Any], str]:
    """A decoder of data of exactly `length` bytes."""
    text_length = 2 + 2 * length

    def exactly(value: Any) -> str:
        # Length first: a text of megabytes is refused without a look at it.
        if type(value) is str and len(value) == text_length and value[:2] == "0x":
            try:
                if len(bytes.fromhex(value[2:])) == length:
                    return value.lower()
            except ValueError:
                pass
        raise ValueError(f"is not {length} bytes of hex: {_kind(value)}")

    return exactly


hash32 = fixed(32)
"""A hash or a root."""
# TypeError as well, for lists and objects.
address = lru_cache(_REMEMBERED)(fixed(20))
topic = lru_cache(_REMEMBERED)(hash32)
bloom = lru_cache(_REMEMBERED >> 4)(fixed(256))
block_nonce = fixed(8)


def bloom_bits(value: Any) -> int:
    """A bloom as the integer of its bits."""
    return int.from_bytes(bytes.fromhex(bloom(value)[2:]))


def address_or_none(value: Any) -> str | None:
    """An address, or None for the empty ones that nodes send where a contract is created: "" and "0x"."""
    return None if value == "0x" or value == "" else address(value)


def word(value: Any) -> str:
    """A 256-bit quantity as 32 bytes of hex: providers drop leading zeros of signatures."""
    if type(value) is str and len(value) == _MAX_QUANTITY_TEXT:
        return hash32(value)
    return f"0x{quantity(value):064x}"


def json_value(value: Any) -> Any:
    """JSON as given, where every tier can hold it.

    Postgres's jsonb has no U+0000 and no lone surrogate (RFC 8259, 8.2), no tier a float that is not finite.
    """
    _check_json(value, MAX_DEPTH)
    return value


def _check_json(value: Any, depth: int) -> None:
    kind = type(value)
    if kind is str:
        _check_text(value)
    elif kind is dict or kind is list:
        if depth == 0:
            raise ValueError(f"is nested deeper than {MAX_DEPTH} levels")
        if kind is dict:
            for name in value:
                _check_text(name)
        for member in value.values() if kind is dict else value:
            _check_json(member, depth - 1)
    elif kind is int:
        if not -_MAX_JSON_INTEGER < value < _MAX_JSON_INTEGER:
            raise ValueError("has a number of more than 256 bits")
    elif kind is float:
        if value - value != 0:  # of infinities and NaN alone
            raise ValueError("has a number that is not finite")
    elif value is not None and kind is not bool:
        raise ValueError(f"is no JSON: {kind.__name__}")


def _check_text(value: Any) -> None:
    if type(value) is not str:
        raise ValueError("has a name that is no text")
    if "\0" in value:
        raise ValueError("has text with U+0000")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError("has text with a lone surrogate") from None


def _no_quantity(value: Any) -> ValueError:
    return ValueError(f"is no quantity: 0x and at most 64 hex digits are due, {_kind(value)} is not")


def _kind(value: Any) -> str:
    """What a value is, without quoting it."""
    return f"text of {len(value)} characters" if isinstance(value, str) else f"a JSON {type(value).__name__}"
