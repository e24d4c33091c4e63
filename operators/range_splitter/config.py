"""What a user may set on a range splitter: how long a chunk is."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class RangeSplitterConfig(BaseModel):
    """Config of `range_splitter`; written in camelCase. The field decides rows, so it is not neutral."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True)

    chunk_size: int = Field(ge=1, le=100_000_000, description="Values in one chunk.")
