"""What the aggregator accepts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import ValidationError

from operators.block_follower import OPERATOR as FOLLOWER
from operators.range_aggregator import OPERATOR
from traceplane_sdk.operator import InputSchema, OperatorRefusal, OutputSchema

CONFIG = OPERATOR.config_model.model_validate({"cursorColumn": "block_number", "rangeSize": 10})


def _blocks() -> OutputSchema:
    config = FOLLOWER.config_model.model_validate({"chainId": 1, "rpcPool": "local"})
    return FOLLOWER.declare_outputs(config, [], ["blocks"])["blocks"]


def _refused(inputs: list[InputSchema], outputs: list[str], cursor: str = "block_number") -> str:
    config = OPERATOR.config_model.model_validate({"cursorColumn": cursor, "rangeSize": 10})
    with pytest.raises(OperatorRefusal) as refusal:
        OPERATOR.declare_outputs(config, inputs, outputs)
    return refusal.value.field


def test_it_declares_one_output_keyed_by_its_range() -> None:
    declared = OPERATOR.declare_outputs(CONFIG, [InputSchema("blocks", _blocks(), True)], ["ranges"])
    assert declared["ranges"].unique_key == ("dedupe_key",)


def test_what_it_cannot_use_is_refused_by_field() -> None:
    blocks = InputSchema("blocks", _blocks(), True)
    assert _refused([], ["ranges"]) == "inputs"
    assert _refused([blocks, blocks], ["ranges"]) == "inputs"
    assert _refused([replace(blocks, trigger=False)], ["ranges"]) == "inputs"
    assert _refused([blocks], ["ranges", "more"]) == "outputs"
    assert _refused([blocks], ["ranges"], cursor="gas_used") == "config.cursorColumn"
    unending = replace(blocks, schema=replace(blocks.schema, finality_depth=None))
    assert _refused([unending], ["ranges"]) == "inputs[0]"


@pytest.mark.parametrize("config", [{"rangeSize": 0}, {"cursorColumn": "a b"}, {"size": 3}])
def test_a_wrong_config_is_refused(config: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        OPERATOR.config_model.model_validate({"cursorColumn": "block_number", "rangeSize": 10, **config})
