"""What the splitter accepts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import ValidationError

from operators.range_splitter import OPERATOR
from operators.ranges.schemas import RANGES
from traceplane_sdk.operator import InputSchema, OperatorRefusal

CONFIG = OPERATOR.config_model.model_validate({"chunkSize": 10})
RANGE = InputSchema("ranges", RANGES, True)


def test_it_declares_one_output_keyed_by_its_range() -> None:
    assert OPERATOR.declare_outputs(CONFIG, [RANGE], ["chunks"])["chunks"].unique_key == ("dedupe_key",)


@pytest.mark.parametrize(
    ("inputs", "outputs", "field"),
    [
        ([], ["chunks"], "inputs"),
        ([RANGE, RANGE], ["chunks"], "inputs"),
        ([replace(RANGE, trigger=False)], ["chunks"], "inputs"),
        ([RANGE], ["chunks", "more"], "outputs"),
    ],
)
def test_what_it_cannot_use_is_refused_by_field(inputs: list[InputSchema], outputs: list[str], field: str) -> None:
    with pytest.raises(OperatorRefusal) as refusal:
        OPERATOR.declare_outputs(CONFIG, inputs, outputs)
    assert refusal.value.field == field


@pytest.mark.parametrize("config", [{}, {"chunkSize": 0}, {"chunkSize": 1, "rangeSize": 3}])
def test_a_wrong_config_is_refused(config: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        OPERATOR.config_model.model_validate(config)
