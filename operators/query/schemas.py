"""The output of a query as its config declares it."""

from __future__ import annotations

from operators.query.config import QueryConfig
from traceplane_sdk.operator import Column, OutputSchema, Storage


def output_schema(config: QueryConfig, first_value: int | None = None) -> OutputSchema:
    """Sorted by the scope column and then by the rest of its key, so that readers can skip.

    `first_value`: of a PerUpdate job, where its trigger begins. Its answers come in order and are of final values,
    and so final themselves; partitions come in any order, and nothing can be said of all up to one.
    """
    rest = tuple(name for name in config.unique_key if name != config.scope_column)
    ordered = first_value is not None
    return OutputSchema(
        storage=Storage(config.storage),
        columns=tuple(Column(one.name, one.type, one.nullable, one.pii, one.description) for one in config.columns),
        unique_key=config.unique_key,
        scope_column=config.scope_column,
        sort_by=(config.scope_column, *rest),
        finality_depth=0 if ordered else None,
        first_value=first_value,
        # Keyed by its scope column alone it could be taken for one row of each value: the others are recorded.
        sparse=ordered and not rest,
    )
