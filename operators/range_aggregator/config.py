"""What a user may set on a range aggregator: how long a range is and which column it is cut along."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class RangeAggregatorConfig(BaseModel):
    """Config of `range_aggregator`; written in camelCase. Both fields decide rows, so none is neutral."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True)

    cursor_column: str = Field(
        pattern=r"^[a-z_][a-z0-9_]*$",
        max_length=63,
        description="Column that the input's cursor runs along; must be its scope column.",
    )
    range_size: int = Field(ge=1, le=100_000_000, description="Values in one range.")
