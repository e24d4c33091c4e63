"""Constants that a person compares a column with, each as the one text that every tier casts to the column's type.
Pure.

Postgres, DuckDB and Arrow read the text as the same value, and a value has one text: so what compares alike hashes
alike, and no tier needs to know more of a type than its name. Nothing is guessed: a number is no text, and a text
is no number, but for 256-bit integers, which Kubernetes does not keep whole as numbers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

Reader = Callable[[Any], str]
"""A value as JSON has it -> its text. ValueError with what it must be: `a whole number, without quotes`."""

MAX_TEXT = 1024
"""Characters of a text."""
_EXACT = 2**63 - 1
"""The largest number that Kubernetes keeps as it was written."""
_DIGITS = re.compile(r"0|[1-9][0-9]{0,77}", re.ASCII)
_HEX = re.compile(r"0[xX][0-9a-fA-F]*")
_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?(Z|[+-]\d{2}:\d{2})", re.ASCII)


def integers(low: int, high: int) -> Reader:
    """Of whole numbers from `low` to `high`."""

    def read(value: Any) -> str:
        if type(value) is not int or not low <= value <= high:  # a bool is an int to Python
            raise ValueError(f"a whole number from {low} to {high}, without quotes")
        return str(value)

    return read


def uint256(value: Any) -> str:
    """Of a whole number below 2^256, or its decimal digits."""
    if type(value) is int and 0 <= value <= _EXACT:
        return str(value)
    if isinstance(value, str) and _DIGITS.fullmatch(value) and int(value) < 2**256:
        return value
    raise ValueError("a whole number from 0 to 2^256-1, in quotes where it is beyond 2^63-1")


def real(value: Any) -> str:
    """Of a number that a double holds exactly as it was written."""
    if type(value) is float and math.isfinite(value):
        return repr(value + 0.0)  # -0.0 equals 0.0
    if type(value) is int and abs(value) <= 2**53:
        return repr(float(value))
    raise ValueError("a finite number without quotes; a whole one from -2^53 to 2^53")


def boolean(value: Any) -> str:
    """Of true or false."""
    if type(value) is not bool:
        raise ValueError("true or false, without quotes")
    return "true" if value else "false"


def hexadecimal(value: Any) -> str:
    """Of hex digits as columns hold them. Explorers' mixed case would never equal, so it is refused."""
    if not isinstance(value, str) or not _HEX.fullmatch(value) or len(value) > MAX_TEXT:
        raise ValueError(f"hex digits after 0x, in quotes, at most {MAX_TEXT} characters")
    if value != value.lower():
        raise ValueError(f"in lower case, as the column is: '{value.lower()}'")
    return value


def text(value: Any) -> str:
    """Of a text that Postgres can hold."""
    if not isinstance(value, str) or len(value) > MAX_TEXT or "\0" in value:
        raise ValueError(f"text, in quotes where it looks like something else, of at most {MAX_TEXT} characters")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError("text without half of a surrogate pair") from error
    return value


def instant(value: Any) -> str:
    """Of an RFC 3339 time, to the microsecond; its text is in UTC."""
    try:
        if isinstance(value, str) and _INSTANT.fullmatch(value):
            return datetime.fromisoformat(value).astimezone(UTC).isoformat()
    except (ValueError, OverflowError):
        pass  # the 30th of February, or a time before the year 1
    raise ValueError("a time with its zone and at most six decimals of a second, as '2026-01-31T12:00:00Z'")
