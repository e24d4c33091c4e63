"""The error of a task as people read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def words(error: Mapping[str, Any] | None, most: int) -> str:
    """Its code and message, of this at most so many characters."""
    given = error or {}
    return f"{given.get('code') or 'no code'}: {str(given.get('message') or '')[:most]}"
