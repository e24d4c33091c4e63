"""Any number of rows as one parameter: a JSON document that a statement unpacks with `jsonb_to_recordset`.

So a statement costs one round trip and is prepared once, whether it writes three rows or three thousand.
"""

from __future__ import annotations

import msgspec


def document(value: object) -> str:
    """`value` as JSON for `%(name)s::jsonb`: dicts, sequences, dataclasses, UUIDs, integers of any size."""
    return msgspec.json.encode(value).decode()
