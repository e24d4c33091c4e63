"""The types that a column of a dataset may have, and the form of each in every tier: one row a type.

A value is written into Postgres by COPY, leaves it as Arrow, rests in Parquet and is read by DuckDB. Every place
that must know a type's form in one of these reads it here: a new type is a member of `ColumnType` and a row of
`FORMS`. Plain data: operators' declarations, the controller and the query service load it without a driver.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Literal

from traceplane_sdk import constants, copytext


class ColumnType(StrEnum):
    """Names of the types, as operators declare them and as resources and manifests spell them."""

    INT32 = "Int32"
    INT64 = "Int64"
    FLOAT64 = "Float64"
    UINT256 = "UInt256"
    HEX = "Hex"
    TEXT = "Text"
    BOOL = "Bool"
    TIMESTAMP = "Timestamp"
    JSON = "Json"


Literals = Literal["integer", "whole", "boolean", "instant", "text"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One type in every tier."""

    postgres: str
    """Type of a hot table's column."""
    copy: copytext.Encoder
    """Values as fields of COPY's text format. TypeError, ValueError or OverflowError where one is refused."""
    arrow: tuple[str, ...]
    """Factory of pyarrow, and its arguments. Parquet's type follows from it."""
    duckdb: str
    """Type that a statement sees, hot and cold alike."""
    pushdown: Literals | None
    """Literals that Postgres compares with such a column exactly as DuckDB does, so that it may filter by them."""
    constant: constants.Reader | None
    """Constants of a `where`; None where no tier says of two values that they are equal as another does."""
    bounds: bool = False
    """Whether ranges may be of this type: it can be a dataset's scope column."""
    text: tuple[str, str] | None = None
    """Where cold values are text of a strict form: its regular expression, and what that means in words."""

    @property
    def cast_to_text(self) -> bool:
        """Whether a SELECT that reads Postgres as Arrow must cast the column to text first."""
        return self.arrow == _STRING and self.postgres != "text"

    @property
    def duckdb_at_rest(self) -> str:
        """Type that DuckDB finds in Parquet."""
        return "VARCHAR" if self.arrow == _STRING else self.duckdb


TYPE_MARK = "trace.type"
"""Key of an Arrow field's metadata (kept in Parquet) that names the `ColumnType`: several share an Arrow type."""

_STRING = ("string",)


def _digits_to(most: int) -> str:
    """A regular expression of the decimal digits of 0 to `most`, without leading zeros."""
    last = str(most)
    fewer = f"[1-9][0-9]{{0,{len(last) - 2}}}"
    less = [
        f"{last[:place]}[{int(not place)}-{int(digit) - 1}][0-9]{{{len(last) - place - 1}}}"
        for place, digit in enumerate(last)
        if int(digit) > int(not place)
    ]
    return f"^(0|{fewer}|{'|'.join(less)}|{last})$"


FORMS: Mapping[str, Form] = MappingProxyType(
    {
        ColumnType.INT32: Form(
            postgres="integer",
            copy=copytext.integers(-(2**31), 2**31 - 1),
            arrow=("int32",),
            duckdb="INTEGER",
            pushdown="integer",
            constant=constants.integers(-(2**31), 2**31 - 1),
            bounds=True,
        ),
        ColumnType.INT64: Form(
            postgres="bigint",
            copy=copytext.integers(-(2**63), 2**63 - 1),
            arrow=("int64",),
            duckdb="BIGINT",
            pushdown="integer",
            constant=constants.integers(-(2**63), 2**63 - 1),
            bounds=True,
        ),
        # No pushdown: the two order and compare NaN in their own ways.
        ColumnType.FLOAT64: Form(
            postgres="double precision",
            copy=copytext.each(copytext.real),
            arrow=("float64",),
            duckdb="DOUBLE",
            pushdown=None,
            constant=constants.real,
        ),
        # Decimal digits in Arrow and Parquet: Arrow's Decimal256 stops at 76 digits, and 2^256 has 78.
        ColumnType.UINT256: Form(
            postgres="numeric(78,0)",
            copy=copytext.integers(0, 2**256 - 1),
            arrow=_STRING,
            duckdb="BIGNUM",
            pushdown="whole",
            constant=constants.uint256,
            text=(_digits_to(2**256 - 1), "whole numbers from 0 to 2^256-1 as decimal digits"),
        ),
        ColumnType.HEX: Form(
            postgres="text",
            copy=copytext.texts,
            arrow=_STRING,
            duckdb="VARCHAR",
            pushdown="text",
            constant=constants.hexadecimal,
            text=(r"^0x[0-9a-f]*$", "lower-case hex digits after 0x"),
        ),
        ColumnType.TEXT: Form(
            postgres="text",
            copy=copytext.texts,
            arrow=_STRING,
            duckdb="VARCHAR",
            pushdown="text",
            constant=constants.text,
        ),
        ColumnType.BOOL: Form(
            postgres="boolean",
            copy=copytext.each(copytext.boolean),
            arrow=("bool_",),
            duckdb="BOOLEAN",
            pushdown="boolean",
            constant=constants.boolean,
        ),
        ColumnType.TIMESTAMP: Form(
            postgres="timestamptz",
            copy=copytext.timestamps,
            arrow=("timestamp", "us", "UTC"),
            duckdb="TIMESTAMP WITH TIME ZONE",
            pushdown="instant",
            constant=constants.instant,
        ),
        # No pushdown and no constants: Postgres compares jsonb by content, DuckDB the text of it.
        ColumnType.JSON: Form(
            postgres="jsonb",
            copy=copytext.each(copytext.json),
            arrow=_STRING,
            duckdb="VARCHAR",
            pushdown=None,
            constant=None,
        ),
    }
)
"""By name; a `ColumnType` is its name."""
