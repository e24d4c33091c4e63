"""`block_follower`: follows the tip of an EVM chain into the hot tables blocks, transactions and logs.

This module holds only the declaration, so the platform can read it without the code that does the work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from operators.block_follower.config import NEUTRAL, BlockFollowerConfig
from operators.chain.schemas import OUTPUTS, schema_of
from traceplane_sdk.operator import InputSchema, Operator, OperatorRefusal, OutputSchema


def _declare_outputs(
    config: BlockFollowerConfig, inputs: Sequence[InputSchema], outputs: Sequence[str]
) -> Mapping[str, OutputSchema]:
    if inputs:
        raise OperatorRefusal("inputs", "block_follower is a source and takes no inputs")
    for position, name in enumerate(outputs):
        if name not in OUTPUTS:
            raise OperatorRefusal(f"outputs[{position}]", f"{name!r} is none of {', '.join(OUTPUTS)}")
    if "blocks" not in outputs:
        raise OperatorRefusal("outputs", "needs 'blocks': gaps and reorgs are found by the stored headers")
    depth, first = config.finality_depth_blocks, config.start_block
    return {name: schema_of(name, config.profile, depth, first) for name in outputs}


OPERATOR = Operator(
    name="block_follower",
    output_revision=2,
    summary="Follows the tip of an EVM chain into hot tables, through reorgs",
    config_model=BlockFollowerConfig,
    activations=frozenset({"Source"}),
    runtimes=frozenset({"Pod"}),
    execution_strategies=frozenset(),
    update_strategies=frozenset({"Replace"}),
    declare_outputs=_declare_outputs,
    entrypoint="operators.block_follower.run:run",
    neutral_config=NEUTRAL,
    rpc_pools=lambda config: (config.rpc_pool,),
    calls_per_value=2,  # the block with its transactions, and its receipts
)
