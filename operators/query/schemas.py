"""The output of a query as its config declares it."""

from __future__ import annotations

from operators.query.config import QueryConfig
from traceplane_sdk.operator import Column, OutputSchema, Storage


def output_schema(config: QueryConfig, first_value: int | None = None) -> OutputSchema:
    """Sorted by the scope column and then by the rest of its key, so that readers can skip.

    A hot answer is of final values, and so final itself; it begins where its input does.
    """
    rest = tuple(name for name in config.unique_key if name != config.scope_column)
    hot = config.storage == "Postgres"
    return OutputSchema(
        storage=Storage(config.storage),
        columns=tuple(Column(one.name, one.type, one.nullable, one.pii, one.description) for one in config.columns),
        unique_key=config.unique_key,
        scope_column=config.scope_column,
        sort_by=(config.scope_column, *rest),
        finality_depth=0 if hot else None,
        first_value=first_value if hot else None,
    )
