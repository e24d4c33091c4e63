"""`cryo_ingest`: runs cryo over each range of blocks, into Parquet.

This module holds only the declaration, so the platform can read it without the code that does the work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from operators.cryo_ingest.config import NEUTRAL, CryoIngestConfig
from operators.cryo_ingest.schemas import output_schema
from traceplane_sdk.operator import InputSchema, Operator, OperatorRefusal, OutputSchema


def _declare_outputs(
    config: CryoIngestConfig, inputs: Sequence[InputSchema], outputs: Sequence[str]
) -> Mapping[str, OutputSchema]:
    if len(inputs) != 1 or not inputs[0].trigger:
        raise OperatorRefusal("inputs", "needs exactly one input, and it must trigger: the one that emits ranges")
    if len(outputs) != 1:
        raise OperatorRefusal(
            "outputs", "needs exactly one output, the dataset; extract another one in another job"
        )
    return {outputs[0]: output_schema(config)}


OPERATOR = Operator(
    name="cryo_ingest",
    output_revision=1,
    summary="Runs cryo over ranges of blocks, into Parquet",
    config_model=CryoIngestConfig,
    activations=frozenset({"Reactive"}),
    runtimes=frozenset({"Pod"}),
    execution_strategies=frozenset({"PerPartition"}),
    update_strategies=frozenset({"Replace"}),
    declare_outputs=_declare_outputs,
    entrypoint="operators.cryo_ingest.run:run",
    neutral_config=NEUTRAL,
    rpc_pools=lambda config: (config.rpc_pool,),
)
