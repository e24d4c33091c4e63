"""Types of manifest fields that several kinds share, with the bounds that the API server enforces.

Every string, list and map has a bound: the API server estimates the cost of a CEL rule from them and refuses a
CRD whose rules could be expensive (Kubernetes, "Resource use by validation functions"), and nothing in Trace
should have to think about a megabyte of name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

MAX_JOBS = 5000
MAX_INPUTS = 64
MAX_OUTPUTS = 32
MAX_COLUMNS = 16
MAX_INT32: Final = 2_147_483_647

LABEL: Final = "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
"""A DNS-1123 label (RFC 1123), the form of names that become label values and parts of object names."""
ASSET_NAME: Final = "^[a-z][-a-z0-9]{0,126}[a-z0-9]$|^[a-z]$"
"""An object name that is `^[a-z][a-z0-9_]{0,127}$` as a table, with `-` as `_`."""
LABEL_VALUE: Final = "^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$"
SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION: Final = "([1-9][0-9]{0,5}[smhd]){1,4}"

SNAKE: Final = "^[a-z][a-z0-9_]{0,62}$"
COLUMN: Final = "^[a-z_][a-z0-9_]{0,62}$"
DURATION: Final = f"^{_DURATION}$"
IDLE: Final = f"^(0|0s|never|{_DURATION})$"
QUANTITY: Final = r"^[0-9]{1,12}(\.[0-9]{1,9})?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$"

S3_URI: Final = "^s3://[a-z0-9][-.a-z0-9]{1,61}[a-z0-9]/[^*?]{1,900}$"
SOURCE_URI: Final = "^s3://[a-z0-9][-.a-z0-9]{1,61}[a-z0-9]/[^\\s]{0,900}$"
TABLE: Final = "^[a-z_][a-z0-9_]{0,62}[.][a-z_][a-z0-9_]{0,62}$"
SHA256: Final = "^[0-9a-f]{64}$"
NAMESPACES: Final = r"^(\*|[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)$"
ROLE: Final = "^[A-Za-z0-9][-A-Za-z0-9_.:]{0,62}$"

MEANINGS: Final[Mapping[str, str]] = {
    LABEL: "a DNS-1123 label: a-z, 0-9 and -, at most 63, no - at either end",
    ASSET_NAME: "an asset name: a-z, 0-9 and -, beginning with a letter, at most 128",
    LABEL_VALUE: "a label's value: letters, digits and -_. between letters or digits, at most 63",
    SNAKE: "a-z, 0-9 and _, beginning with a letter, at most 63",
    COLUMN: "a column name: a-z, 0-9 and _, at most 63",
    DURATION: "a duration such as 90s, 5m, 1h30m or 2d, without zeros in front",
    IDLE: 'a duration such as 5m, or "0" to leave at once, or never',
    QUANTITY: "a quantity such as 500m, 2 or 1.5Gi",
    S3_URI: "an object's address, s3://bucket/key, without * and ?",
    SOURCE_URI: "s3://bucket/ with a prefix that ends in /, a key, or a pattern with * and ?, without spaces",
    TABLE: "schema.name of a table, both of a-z, 0-9 and _",
    SHA256: "a SHA-256 as 64 lower-case hex digits",
    NAMESPACES: "a namespace, or * for all of them",
    ROLE: "a role name: letters, digits and -_.: beginning with a letter or digit, at most 63",
}
"""What a pattern means, for people."""

Label = Annotated[str, Field(pattern=LABEL, max_length=63)]
OutputName = Annotated[str, Field(pattern=SNAKE, max_length=63)]
"""Outputs are parts of file names, so they have no `-`, which separates the ends of a range there."""
ColumnName = Annotated[str, Field(pattern=COLUMN, max_length=63)]
OperatorName = Annotated[str, Field(pattern=SNAKE, max_length=63)]
AssetName = Annotated[str, Field(pattern=ASSET_NAME, max_length=128)]
Duration = Annotated[str, Field(pattern=DURATION, max_length=32)]
"""Such as `90s`, `5m`, `1h30m`, `2d`; never zero."""
IdleTimeout = Annotated[str, Field(pattern=IDLE, max_length=32)]
Seconds = Annotated[int, Field(ge=1, le=31 * 86400)]
Count = Annotated[int, Field(ge=0, le=MAX_INT32)]
ScopeValue = Annotated[int, Field(ge=0, le=2**53 - 1)]
"""Such as a block number; JSON readers that know doubles only keep it exact."""
Priority = Literal["Normal", "Bulk"]
QueueDepth = Annotated[int, Field(ge=1, le=10_000_000)]
Text = Annotated[str, Field(max_length=1024)]


def _quantity(value: object) -> str | int:
    """Text or a whole number, as the API server takes either (its int-or-string)."""
    if (isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_INT32) or (
        isinstance(value, str) and len(value) <= 32 and re.fullmatch(QUANTITY, value)
    ):
        return value
    raise PydanticCustomError("quantity", "must be " + MEANINGS[QUANTITY])


Quantity = Annotated[
    str | int,
    PlainValidator(_quantity),
    WithJsonSchema(
        {
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "x-kubernetes-int-or-string": True,
            "pattern": QUANTITY,
            "maxLength": 32,
        }
    ),
]
"""A Kubernetes resource quantity: `500m`, `2`, `1.5Gi`."""

FreeForm = Annotated[
    dict[str, Any],
    Field(max_length=128),
    WithJsonSchema({"type": "object", "maxProperties": 128, "x-kubernetes-preserve-unknown-fields": True}),
]
"""An object whose fields somebody else knows: an operator's config."""


def seconds(duration: str) -> int:
    """Seconds of a `Duration`, such as 5400 for `1h30m`. ValueError where it is none."""
    if not re.fullmatch(_DURATION, duration):
        raise ValueError(f"{duration!r} is no duration such as 90s, 5m or 1h30m")
    return sum(int(count) * SECONDS[unit] for count, unit in re.findall("([0-9]+)([smhd])", duration))


def idle_seconds(text: str) -> int | None:
    """Seconds of an `IdleTimeout`: 0 for `"0"`, None for `never`."""
    if text == "never":
        return None
    return 0 if text in ("0", "0s") else seconds(text)
