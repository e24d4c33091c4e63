"""`range_aggregator`: turns a cursor that moves on into fixed ranges, each exactly once and only when final.

This module holds only the declaration, so the platform can read it without the code that does the work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from operators.range_aggregator.config import RangeAggregatorConfig
from operators.ranges.schemas import RANGES
from traceplane_sdk.operator import InputSchema, Operator, OperatorRefusal, OutputSchema


def _declare_outputs(
    config: RangeAggregatorConfig, inputs: Sequence[InputSchema], outputs: Sequence[str]
) -> Mapping[str, OutputSchema]:
    if len(inputs) != 1 or not inputs[0].trigger:
        raise OperatorRefusal("inputs", "needs exactly one input, and it must trigger")
    schema = inputs[0].schema
    if config.cursor_column != schema.scope_column:
        raise OperatorRefusal("config.cursorColumn", f"must be the input's scope column, {schema.scope_column!r}")
    if schema.finality_depth is None or schema.first_value is None:
        raise OperatorRefusal(
            "inputs[0]", "its dataset states no finality depth and first value, so no range of it is ever final"
        )
    if len(outputs) != 1:
        raise OperatorRefusal("outputs", "needs exactly one output, the ranges")
    return {outputs[0]: RANGES}


OPERATOR = Operator(
    name="range_aggregator",
    output_revision=1,
    summary="Turns ordered cursors into fixed, final ranges, each exactly once",
    config_model=RangeAggregatorConfig,
    activations=frozenset({"Reactive"}),
    runtimes=frozenset({"Dispatcher", "Pod"}),
    execution_strategies=frozenset({"PerUpdate"}),
    update_strategies=frozenset({"Append"}),
    declare_outputs=_declare_outputs,
    entrypoint="operators.range_aggregator.run:run",
    applies_where=True,
)
