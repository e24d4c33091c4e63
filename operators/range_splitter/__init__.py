"""`range_splitter`: cuts each partition of its input into chunks of one size.

This module holds only the declaration, so the platform can read it without the code that does the work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from operators.range_splitter.config import RangeSplitterConfig
from operators.ranges.schemas import RANGES
from traceplane_sdk.operator import InputSchema, Operator, OperatorRefusal, OutputSchema


def _declare_outputs(
    _config: RangeSplitterConfig, inputs: Sequence[InputSchema], outputs: Sequence[str]
) -> Mapping[str, OutputSchema]:
    if len(inputs) != 1 or not inputs[0].trigger:
        raise OperatorRefusal(
            "inputs", "needs exactly one input, and it must trigger: the one that emits partitions"
        )
    if len(outputs) != 1:
        raise OperatorRefusal("outputs", "needs exactly one output, the chunks")
    return {outputs[0]: RANGES}


OPERATOR = Operator(
    name="range_splitter",
    output_revision=1,
    summary="Cuts each partition into chunks of one size, each exactly once",
    config_model=RangeSplitterConfig,
    activations=frozenset({"Reactive"}),
    runtimes=frozenset({"Dispatcher", "Pod"}),
    execution_strategies=frozenset({"PerPartition"}),
    update_strategies=frozenset({"Append"}),
    declare_outputs=_declare_outputs,
    entrypoint="operators.range_splitter.run:run",
)
