"""`parquet_compact`: moves final hot rows to Parquet files, range by range.

This module holds only the declaration, so the platform can read it without the code that does the work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from operators.parquet_compact.config import NEUTRAL, ParquetCompactConfig
from operators.parquet_compact.schemas import cold_schema
from traceplane_sdk.operator import InputSchema, Operator, OperatorRefusal, OutputSchema, Storage


def _declare_outputs(
    config: ParquetCompactConfig, inputs: Sequence[InputSchema], outputs: Sequence[str]
) -> Mapping[str, OutputSchema]:
    triggers = [one for one in inputs if one.trigger]
    if len(triggers) != 1:
        raise OperatorRefusal("inputs", "needs exactly one input that triggers: the one that emits final ranges")
    pinned: dict[str, OutputSchema] = {}
    for position, one in enumerate(inputs):
        if one.trigger:
            continue
        if one.schema.storage is not Storage.POSTGRES:
            raise OperatorRefusal(
                f"inputs[{position}]", f"{one.name!r} is not a hot table, so there is nothing to move"
            )
        if one.name in pinned:
            raise OperatorRefusal(
                f"inputs[{position}]", f"two inputs are named {one.name!r}; compact them in two jobs"
            )
        pinned[one.name] = one.schema
        if not (one.name in outputs and config.delete_after_compact):
            continue
        if one.where:
            raise OperatorRefusal(
                f"inputs[{position}].where",
                "deleteAfterCompact would delete rows that were not copied; set config.deleteAfterCompact: false, "
                "or remove where",
            )
        if one.foreign:
            raise OperatorRefusal(
                f"inputs[{position}].from.asset",
                "deleteAfterCompact would delete rows of another DAG; set config.deleteAfterCompact: false to copy "
                "them",
            )
    known = ", ".join(pinned) or "there is none"
    for position, name in enumerate(outputs):
        if name not in pinned:
            raise OperatorRefusal(
                f"outputs[{position}]", f"{name!r} must be the name of an input with `trigger: false` ({known})"
            )
    return {name: cold_schema(pinned[name]) for name in outputs}


OPERATOR = Operator(
    name="parquet_compact",
    output_revision=1,
    summary="Moves final hot rows to Parquet, committed by manifest",
    config_model=ParquetCompactConfig,
    activations=frozenset({"Reactive"}),
    runtimes=frozenset({"Pod"}),
    execution_strategies=frozenset({"PerPartition"}),
    update_strategies=frozenset({"Replace"}),
    declare_outputs=_declare_outputs,
    entrypoint="operators.parquet_compact.run:run",
    neutral_config=NEUTRAL,
    applies_where=True,
)
