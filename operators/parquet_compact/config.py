"""What a user may set on a compaction. Nothing here changes a row, so every field is neutral."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class ParquetCompactConfig(BaseModel):
    """Config of `parquet_compact`; written in camelCase."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True)

    delete_after_compact: bool = Field(
        True, description="Delete the hot rows of a committed range, once no running query can need them."
    )
    max_rows_per_file: int = Field(
        10_000_000, ge=1, le=1_000_000_000, description="A new file is begun after this many rows."
    )
    row_group_rows: int = Field(
        122_880, ge=1, le=1_048_576, description="Rows in a row group; DuckDB's own default, one per scan thread."
    )


NEUTRAL = frozenset({"deleteAfterCompact", "maxRowsPerFile", "rowGroupRows"})
"""In the spelling of the YAML."""
