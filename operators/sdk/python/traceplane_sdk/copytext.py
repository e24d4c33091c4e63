"""Values as fields of COPY's text format (https://www.postgresql.org/docs/current/sql-copy.html). Pure.

NULL is not theirs to write: a row's encoder writes it as an unescaped backslash and N.
"""

from __future__ import annotations

import json as _json
from datetime import UTC, datetime, timedelta
from typing import Any

_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def text(value: Any) -> str:
    """Any text; what would end the field or the row is escaped, so that no value can add a column or a row."""
    field = str(value)
    # Hex, most of what is written, has nothing to escape: four searches are many times faster than a translation.
    if "\\" in field or "\t" in field or "\n" in field or "\r" in field:
        return field.translate(_ESCAPES)
    return field


def json(value: Any) -> str:
    """Whatever JSON can say."""
    # Escaped after encoding: JSON's own backslashes are COPY's escape character too.
    return _json.dumps(value, separators=(",", ":")).translate(_ESCAPES)


def timestamp(value: datetime | int) -> str:
    """A datetime with a zone, or whole seconds since 1970."""
    # By addition: `fromtimestamp` refuses years that a chain's clock may well say.
    moment = value if isinstance(value, datetime) else _EPOCH + timedelta(seconds=value)
    return moment.isoformat()


def boolean(value: Any) -> str:
    """By its truth."""
    return "t" if value else "f"
