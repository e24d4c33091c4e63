"""`chain_sync`: plans the ranges of a chain for several streams, as fast as the jobs after it take them.

This module holds only the declaration, so the platform can read it without the code that does the work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from operators.chain_sync.config import NEUTRAL, ChainSyncConfig
from operators.ranges.schemas import RANGES
from traceplane_sdk.operator import InputSchema, Operator, OperatorRefusal, OutputSchema


def _declare_outputs(
    config: ChainSyncConfig, inputs: Sequence[InputSchema], outputs: Sequence[str]
) -> Mapping[str, OutputSchema]:
    if inputs:
        raise OperatorRefusal("inputs", "chain_sync is a source and takes no inputs")
    if unknown := sorted(set(config.chunk_blocks_of) - set(outputs)):
        known = ", ".join(outputs)
        raise OperatorRefusal(
            "config.chunkBlocksOf", f"{', '.join(unknown)}: no output of the job, which has {known}"
        )
    return dict.fromkeys(outputs, RANGES)


OPERATOR = Operator(
    name="chain_sync",
    output_revision=1,
    summary="Plans the ranges of a chain for several streams, as fast as they are worked off",
    config_model=ChainSyncConfig,
    activations=frozenset({"Source"}),
    runtimes=frozenset({"Pod"}),
    execution_strategies=frozenset(),
    update_strategies=frozenset({"Append"}),
    declare_outputs=_declare_outputs,
    entrypoint="operators.chain_sync.run:run",
    neutral_config=NEUTRAL,
    rpc_pools=lambda config: (config.rpc_pool,),
)
