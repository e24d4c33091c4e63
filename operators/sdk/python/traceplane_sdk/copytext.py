"""Values as fields of COPY's text format (https://www.postgresql.org/docs/current/sql-copy.html). Pure.

Whatever an operator hands over came from somewhere: so every encoder takes the Python types that its column is
made of and no others, and text leaves escaped. A value of another type raises TypeError, one that the column
cannot hold ValueError or OverflowError; nothing is guessed from a string. NULL is not theirs to write: a row's
encoder writes it as an unescaped backslash and N.
"""

from __future__ import annotations

import json as _json
import operator
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def text(value: Any) -> str:
    """A str; what would end the field or the row is escaped, so that no value can add a column or a row."""
    if not isinstance(value, str):
        raise _other_type(value, "a str")
    # Hex, most of what is written, has nothing to escape: four searches are many times faster than a translation.
    if "\\" in value or "\t" in value or "\n" in value or "\r" in value:
        return value.translate(_ESCAPES)
    return value


def json(value: Any) -> str:
    """Whatever JSON can say; NaN and infinities are none of it."""
    # Escaped after encoding: JSON's own backslashes are COPY's escape character too.
    return _json.dumps(value, separators=(",", ":"), allow_nan=False).translate(_ESCAPES)


def integer(low: int, high: int) -> Callable[[Any], str]:
    """An encoder of whole numbers from `low` to `high`: an int, or what converts to one without loss."""

    def encode(value: Any) -> str:
        if type(value) is not int:  # a bool is an int to Python, and no number to the one who wrote it
            value = _whole(value)
        if not low <= value <= high:
            raise OverflowError(f"{value.bit_length()} bits do not fit")
        return str(value)

    return encode


def real(value: Any) -> str:
    """An int or a float, NaN and infinities included."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _other_type(value, "a float")
    return repr(float(value))


def timestamp(value: Any) -> str:
    """A datetime with a zone, or whole seconds since 1970."""
    if not isinstance(value, datetime):
        # By addition: `fromtimestamp` refuses years that a chain's clock may well say.
        return (_EPOCH + timedelta(seconds=_whole(value))).isoformat()
    if value.tzinfo is None:
        raise ValueError("a datetime without a zone is no moment")
    return value.isoformat()


def boolean(value: Any) -> str:
    """True or False."""
    if not isinstance(value, bool):
        raise _other_type(value, "a bool")
    return "t" if value else "f"


def _whole(value: Any) -> int:
    if isinstance(value, bool):
        raise _other_type(value, "an int")
    try:
        return operator.index(value)
    except TypeError:
        raise _other_type(value, "an int") from None


def _other_type(value: Any, due: str) -> TypeError:
    """Names the type, never the value: it may be of any length, and from anybody."""
    return TypeError(f"{type(value).__name__} where {due} is due")
