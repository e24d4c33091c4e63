"""What a sync accepts."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from operators.chain_sync import OPERATOR
from operators.chain_sync.config import NEUTRAL, ChainSyncConfig
from operators.ranges.schemas import RANGES
from traceplane_sdk.operator import InputSchema, OperatorRefusal


def _config(**more: Any) -> ChainSyncConfig:
    return ChainSyncConfig.model_validate({"chainId": 1, "rpcPool": "local", **more})


def test_each_output_is_a_stream_of_ranges_with_a_size_of_its_own() -> None:
    config = _config(chunkBlocksOf={"traces": 100})
    declared = OPERATOR.declare_outputs(config, [], ["logs", "traces"])
    assert declared == {"logs": RANGES, "traces": RANGES}
    assert (config.chunk("logs"), config.chunk("traces")) == (1000, 100)


def test_what_it_cannot_use_is_refused_by_field() -> None:
    with pytest.raises(OperatorRefusal) as refusal:
        OPERATOR.declare_outputs(_config(), [InputSchema("ranges", RANGES, True)], ["logs"])
    assert refusal.value.field == "inputs"
    with pytest.raises(OperatorRefusal, match="traces: no output of the job, which has logs") as refusal:
        OPERATOR.declare_outputs(_config(chunkBlocksOf={"traces": 100}), [], ["logs"])
    assert refusal.value.field == "config.chunkBlocksOf"


@pytest.mark.parametrize(
    "wrong",
    [
        {"chainId": 0},
        {"rpcPool": "A"},
        {"startBlock": 10, "targetBlock": 9},
        {"lagBlocks": -1},
        {"chunkBlocks": 0},
        {"chunkBlocksOf": {"logs": 0}},
        {"maxInFlight": 0},
        {"streams": []},
    ],
)
def test_a_wrong_config_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        _config(**wrong)


def test_what_decides_ranges_is_not_neutral() -> None:
    fields = {field.alias for field in ChainSyncConfig.model_fields.values()}
    assert fields - NEUTRAL == {"chainId", "startBlock", "targetBlock", "chunkBlocks", "chunkBlocksOf"}
