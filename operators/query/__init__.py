"""`query`: one SELECT over the job's inputs, range by range, into Parquet or a hot table.

This module holds only the declaration, so the platform can read it without the code that does the work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from operators.query.config import NEUTRAL, QueryConfig
from operators.query.schemas import output_schema
from operators.query.statement import declared
from traceplane_sdk.operator import InputSchema, Operator, OperatorRefusal, OutputSchema


def _declare_outputs(
    config: QueryConfig, inputs: Sequence[InputSchema], outputs: Sequence[str]
) -> Mapping[str, OutputSchema]:
    triggers = [one for one in inputs if one.trigger]
    if len(triggers) != 1:
        raise OperatorRefusal(
            "inputs", "needs exactly one input that triggers: the one whose ranges are answered for"
        )
    if len(outputs) != 1:
        raise OperatorRefusal("outputs", "needs exactly one output, the answer")
    (trigger,) = triggers
    if trigger.execution_strategy != "PerUpdate":
        return {outputs[0]: output_schema(config)}
    if trigger.schema.finality_depth is None or trigger.schema.first_value is None:
        raise OperatorRefusal(
            f"inputs[{inputs.index(trigger)}]",
            "its dataset states no finality depth and first value, so it is never final: use PerPartition",
        )
    return {outputs[0]: output_schema(config, trigger.schema.first_value)}


OPERATOR = Operator(
    name="query",
    output_revision=1,
    summary="One SELECT over the job's inputs, range by range, into Parquet or a hot table",
    config_model=QueryConfig,
    activations=frozenset({"Reactive"}),
    runtimes=frozenset({"Pod"}),
    execution_strategies=frozenset({"PerPartition", "PerUpdate"}),
    update_strategies=frozenset({"Append", "Replace"}),
    declare_outputs=_declare_outputs,
    entrypoint="operators.query.run:run",
    neutral_config=NEUTRAL,
    statement=declared,
    applies_where=True,
)
