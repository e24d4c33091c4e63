"""The one output of an operator that emits ranges: a row per range."""

from __future__ import annotations

from traceplane_sdk.operator import Column, ColumnType, OutputSchema, Storage

RANGES = OutputSchema(
    storage=Storage.POSTGRES,
    columns=(
        Column("dedupe_key", ColumnType.TEXT, description="Key of the partition: its range, as start-end."),
        Column("range_start", ColumnType.INT64, description="First value of the range."),
        Column("range_end", ColumnType.INT64, description="Last value of the range."),
    ),
    unique_key=("dedupe_key",),
    scope_column="range_start",
    sort_by=("range_start",),
)
"""`range_start` and `range_end` are inclusive; `dedupe_key` is `start-end`, the key of the partition it fires."""
