"""The output of a query as its config declares it."""

from __future__ import annotations

from operators.query.config import QueryConfig
from traceplane_sdk.operator import Column, OutputSchema, Storage


def output_schema(config: QueryConfig) -> OutputSchema:
    """Cold, sorted by the scope column and then by the rest of its key, so that readers can skip."""
    rest = tuple(name for name in config.unique_key if name != config.scope_column)
    return OutputSchema(
        storage=Storage.S3,
        columns=tuple(Column(one.name, one.type, one.nullable, one.pii, one.description) for one in config.columns),
        unique_key=config.unique_key,
        scope_column=config.scope_column,
        sort_by=(config.scope_column, *rest),
    )
