"""Columns of values as fields of COPY's text format (https://www.postgresql.org/docs/current/sql-copy.html). Pure.

Whatever an operator hands over came from somewhere: so every encoder takes the Python types that its column is
made of and no others, and text leaves escaped. A value of another type raises TypeError, one that the column
cannot hold ValueError or OverflowError; nothing is guessed from a string. None is a NULL.

An encoder takes the values of many rows at once: what is true of nearly all (hex has nothing to escape, integers
fit) is then found by a few passes in C, where a call a value would cost more than all else that is done for a row.
"""

from __future__ import annotations

import json as _json
import operator
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

Encoder = Callable[[Sequence[Any]], Sequence[str]]
"""Values of one column -> their fields, as many."""

NULL = "\\N"
"""An unescaped backslash and N, which no encoded text is."""
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_JSON = _json.JSONEncoder(separators=(",", ":"), allow_nan=False)


def each(encode: Callable[[Any], str]) -> Encoder:
    """An encoder that calls `encode` with every value but None."""

    def encode_all(values: Sequence[Any]) -> Sequence[str]:
        return [NULL if value is None else encode(value) for value in values]

    return encode_all


def texts(values: Sequence[Any]) -> Sequence[str]:
    """Of str; what would end the field or the row is escaped, so that no value can add a column or a row."""
    present = [value for value in values if value is not None]
    try:
        joined = "".join(present)
    except TypeError:
        return each(_text)(values)  # names the type that is no str
    if "\\" in joined or "\t" in joined or "\n" in joined or "\r" in joined:
        return each(_text)(values)
    return values if len(present) == len(values) else [NULL if value is None else value for value in values]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _other_type(value, "a str")
    return value.translate(_ESCAPES)


def json(value: Any) -> str:
    """Whatever JSON can say; NaN and infinities are none of it."""
    if type(value) is list and not value:
        return "[]"  # of most values of a chain's lists, in a tenth of the time
    # Escaped after encoding: JSON's own backslashes are COPY's escape character too.
    return _JSON.encode(value).translate(_ESCAPES)


def integers(low: int, high: int) -> Encoder:
    """Of whole numbers from `low` to `high`: an int, or what converts to one without loss."""

    def encode(value: Any) -> str:
        if type(value) is not int:  # a bool is an int to Python, and no number to the one who wrote it
            value = _whole(value)
        if not low <= value <= high:
            raise OverflowError(f"{value.bit_length()} bits do not fit")
        return str(value)

    def encode_all(values: Sequence[Any]) -> Sequence[str]:
        present = [value for value in values if value is not None]
        if set(map(type, present)) == {int}:
            few = set(present)
            if low <= min(few) and max(few) <= high:
                if 2 * len(few) > len(values):
                    return [NULL if value is None else str(value) for value in values]
                known: dict[int | None, str] = {None: NULL} | {value: str(value) for value in few}
                return list(map(known.__getitem__, values))
        return each(encode)(values)

    return encode_all


def real(value: Any) -> str:
    """An int or a float, NaN and infinities included."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _other_type(value, "a float")
    return repr(float(value))


def timestamps(values: Sequence[Any]) -> Sequence[str]:
    """Of datetimes with a zone, or whole seconds since 1970."""
    if set(map(type, values)) == {int}:
        # The rows of a block share its time.
        known = {value: _timestamp(value) for value in set(values)}
        return [known[value] for value in values]
    return each(_timestamp)(values)


def _timestamp(value: Any) -> str:
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
