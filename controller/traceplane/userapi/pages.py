"""Pages of a list: which one a request wants, and how an answer names the next.

A cursor is the key of the last row, as base64url of JSON. It is not secret and not trusted: it is only ever
compared with keys, in a statement that checks the organisation itself.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from starlette.requests import Request

from traceplane.errors import Refused

DEFAULT_LIMIT = 100
MAX_LIMIT = 500
MAX_CURSOR = 1024


def limit(request: Request) -> int:
    """`?limit=`, from 1 to MAX_LIMIT. Raises Refused."""
    text = request.query_params.get("limit", str(DEFAULT_LIMIT))
    # The length is checked first: `int` of a long text costs time that grows with its square.
    number = int(text) if text.isdecimal() and len(text) <= len(str(MAX_LIMIT)) else 0
    if not 1 <= number <= MAX_LIMIT:
        raise Refused(f"limit: a number from 1 to {MAX_LIMIT}")
    return number


def after(request: Request, kinds: Sequence[type | tuple[type, ...]]) -> list[Any] | None:
    """The key in `?cursor=`, one value per kind (or of one of several); None for the first page. Raises Refused."""
    text = request.query_params.get("cursor")
    if text is None:
        return None
    try:
        if len(text) > MAX_CURSOR:
            raise ValueError
        key = orjson.loads(base64.urlsafe_b64decode(text.encode() + b"=" * (-len(text) % 4)))
    except (ValueError, binascii.Error):
        raise Refused("cursor: not one that a page gave") from None
    if not isinstance(key, list) or len(key) != len(kinds) or not all(map(_is, key, kinds)):
        raise Refused("cursor: not one that a page gave")
    return key


def _is(part: Any, kind: type | tuple[type, ...]) -> bool:
    return type(part) in (kind if isinstance(kind, tuple) else (kind,))  # not isinstance: a bool is no number here


def page(rows: Sequence[Mapping[str, Any]], size: int, key: Sequence[str]) -> dict[str, Any]:
    """`rows` (of which one more than `size` was fetched) as a page; `key` names the columns of the cursor."""
    items = [dict(row) for row in rows[:size]]
    following = None
    if len(rows) > size:
        values = [items[-1][name] for name in key]
        plain = [value if isinstance(value, int | str | None) else str(value) for value in values]
        following = base64.urlsafe_b64encode(orjson.dumps(plain)).rstrip(b"=").decode()
    return {"items": items, "next_cursor": following}
