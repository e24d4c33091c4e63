"""What a user may set on a query: the statement, and the columns of its answer.

The columns are declared, not guessed: readers of the dataset must know them before the first task has run, and a
statement whose answer does not fit them is a mistake that must be reported.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from traceplane_sdk.operator import ColumnType
from traceplane_sdk.wire import MAX_ANSWER_COLUMNS

MAX_SQL = 64 * 1024
Name = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]*$", max_length=63)]


class AnswerColumn(BaseModel):
    """One column of the answer."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True)

    name: Name = Field(description="As the statement names it; lower case with underscores.")
    type: ColumnType
    nullable: bool = Field(False, description="Whether it may hold NULL.")
    pii: bool = Field(False, description="Whether it holds personal data; reads of it are then audited.")
    description: str = Field("", max_length=1024, description="For its readers: what a value is.")


class QueryConfig(BaseModel):
    """Config of `query`; written in camelCase."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True)

    sql: str = Field(
        min_length=1,
        max_length=MAX_SQL,
        description="One SELECT. `$partition_start` and `$partition_end` (inclusive) stand for the range asked of.",
    )
    storage: Literal["S3", "Postgres"] = Field(
        "S3", description="Where the answer goes: Parquet, a file for each partition, or a hot table."
    )
    slice_size: int = Field(
        100,
        ge=1,
        le=10_000_000,
        description="PerUpdate only: how many values are answered for at a time, once all of them are final.",
    )
    columns: tuple[AnswerColumn, ...] = Field(min_length=1, max_length=MAX_ANSWER_COLUMNS)
    scope_column: Name = Field(description="Int64 column that places a row in its partition.")
    unique_key: tuple[Name, ...] = Field(
        min_length=1, max_length=32, description="Columns that identify a row, the scope column among them."
    )
    timeout_seconds: float | None = Field(
        None,
        gt=0,
        le=86_400,
        description="Longest run of the statement; the query service's own limit where unset.",
    )

    @model_validator(mode="after")
    def _keys_are_columns(self) -> Self:
        named = [column.name for column in self.columns]
        if len(set(named)) != len(named):
            raise ValueError("columns: two have the same name")
        types = {column.name: column for column in self.columns}
        for name in (self.scope_column, *self.unique_key):
            if name not in types:
                raise ValueError(f"{name!r} is named as a key, but is not among the columns")
            if types[name].nullable:
                raise ValueError(f"{name!r} is a key, so it cannot be nullable")
        if types[self.scope_column].type is not ColumnType.INT64:
            raise ValueError(f"scopeColumn: {self.scope_column!r} must have the type Int64")
        if len(set(self.unique_key)) != len(self.unique_key):
            raise ValueError("uniqueKey: names a column twice")
        if self.scope_column not in self.unique_key:
            raise ValueError(f"uniqueKey: must contain the scope column, {self.scope_column!r}")
        return self


NEUTRAL = frozenset({"timeoutSeconds", "columns"})
"""In the spelling of the YAML. Of the columns, name, type and nullability count as part of the output's schema."""
