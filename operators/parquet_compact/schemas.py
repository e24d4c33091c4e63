"""A compaction's outputs are its pinned inputs, cold: same columns, same keys, other storage."""

from __future__ import annotations

from dataclasses import replace

from traceplane_sdk.operator import OutputSchema, Storage


def cold_schema(hot: OutputSchema) -> OutputSchema:
    """The cold twin of a hot schema. It has no finality depth, since only final rows are moved."""
    return replace(hot, storage=Storage.S3, indexes=(), finality_depth=None)
