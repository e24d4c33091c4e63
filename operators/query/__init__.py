"""`query`: one SELECT over the job's inputs, partition by partition, into Parquet.

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
    if sum(one.trigger for one in inputs) != 1:
        raise OperatorRefusal("inputs", "needs exactly one input that triggers: the one that emits the partitions")
    if all(one.trigger for one in inputs):
        raise OperatorRefusal("inputs", "needs an input with `trigger: false`: what the statement reads")
    if len(outputs) != 1:
        raise OperatorRefusal("outputs", "needs exactly one output, the answer")
    return {outputs[0]: output_schema(config)}


OPERATOR = Operator(
    name="query",
    output_revision=1,
    summary="One SELECT over the job's inputs, partition by partition, into Parquet",
    config_model=QueryConfig,
    activations=frozenset({"Reactive"}),
    runtimes=frozenset({"Pod"}),
    execution_strategies=frozenset({"PerPartition"}),
    update_strategies=frozenset({"Replace"}),
    declare_outputs=_declare_outputs,
    entrypoint="operators.query.run:run",
    neutral_config=NEUTRAL,
    statement=declared,
    applies_where=True,
)
