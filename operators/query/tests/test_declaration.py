"""What the operator accepts, and the statement a task sends."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from operators.block_follower import OPERATOR as FOLLOWER
from operators.query import OPERATOR
from operators.query.statement import shape
from traceplane_sdk import wire
from traceplane_sdk.operator import ColumnType, InputSchema, OperatorRefusal

CONFIG: dict[str, Any] = {
    "sql": "SELECT 1",
    "columns": [
        {"name": "block_number", "type": "Int64"},
        {"name": "address", "type": "Hex"},
        {"name": "note", "type": "Text", "nullable": True},
    ],
    "scopeColumn": "block_number",
    "uniqueKey": ["address", "block_number"],
}
PARTITION = wire.Partition("20-39", 20, 39)


def _input(name: str, trigger: bool) -> InputSchema:
    config = FOLLOWER.config_model.model_validate({"chainId": 1, "rpcPool": "local"})
    return InputSchema(name, FOLLOWER.declare_outputs(config, [], ["blocks"])["blocks"], trigger)


def test_the_output_is_what_the_config_declares_sorted_so_that_readers_can_skip() -> None:
    config = OPERATOR.config_model.model_validate(CONFIG)
    declared = OPERATOR.declare_outputs(config, [_input("ranges", True), _input("blocks", False)], ["found"])
    schema = declared["found"]
    assert [(one.name, one.type.value, one.nullable) for one in schema.columns] == [
        ("block_number", "Int64", False),
        ("address", "Hex", False),
        ("note", "Text", True),
    ]
    assert schema.unique_key == ("address", "block_number")
    assert schema.sort_by == ("block_number", "address")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"sql": ""}, "sql"),
        ({"sql": "x" * (64 * 1024 + 1)}, "sql"),
        ({"columns": []}, "columns"),
        ({"columns": [*CONFIG["columns"], {"name": "address", "type": "Text"}]}, "two have the same name"),
        ({"columns": [{"name": "A b", "type": "Text"}]}, "columns.0.name"),
        ({"columns": [{"name": "a", "type": "Decimal"}]}, "columns.0.type"),
        ({"scopeColumn": "height"}, "'height' is named as a key"),
        ({"scopeColumn": "address"}, "must have the type Int64"),
        ({"uniqueKey": ["address"]}, "must contain the scope column"),
        ({"uniqueKey": ["block_number", "block_number"]}, "names a column twice"),
        ({"uniqueKey": ["block_number", "note"]}, "cannot be nullable"),
        ({"timeoutSeconds": 0}, "timeoutSeconds"),
        ({"speed": 3}, "speed"),
    ],
)
def test_a_wrong_config_is_refused_by_field(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        OPERATOR.config_model.model_validate({**CONFIG, **changed})
    assert said in str(refused.value)


def test_an_answer_in_order_is_final_and_begins_where_its_trigger_does() -> None:
    config = OPERATOR.config_model.model_validate({**CONFIG, "storage": "Postgres"})
    trigger = _input("blocks", True)
    for strategy, said in (("PerPartition", (None, None)), ("PerUpdate", (0, 7))):
        begins = replace(trigger, schema=replace(trigger.schema, first_value=7), execution_strategy=strategy)
        schema = OPERATOR.declare_outputs(config, [begins], ["found"])["found"]
        assert (schema.finality_depth, schema.first_value) == said


@pytest.mark.parametrize("unknown", ["finality_depth", "first_value"])
def test_what_is_never_final_is_not_read_per_update(unknown: str) -> None:
    config = OPERATOR.config_model.model_validate({**CONFIG, "storage": "Postgres"})
    trigger = _input("blocks", True)
    never = replace(trigger, schema=replace(trigger.schema, **{unknown: None}), execution_strategy="PerUpdate")
    with pytest.raises(OperatorRefusal, match="it is never final") as refused:
        OPERATOR.declare_outputs(config, [_input("other", False), never], ["found"])
    assert refused.value.field == "inputs[1]"


@pytest.mark.parametrize(
    ("inputs", "outputs", "field"),
    [
        ([], ["found"], "inputs"),
        ([("ranges", True), ("more", True), ("blocks", False)], ["found"], "inputs"),
        ([("ranges", True), ("blocks", False)], ["found", "more"], "outputs"),
    ],
)
def test_what_it_cannot_use_is_refused_by_field(
    inputs: list[tuple[str, bool]], outputs: list[str], field: str
) -> None:
    config = OPERATOR.config_model.model_validate(CONFIG)
    with pytest.raises(OperatorRefusal) as refused:
        OPERATOR.declare_outputs(config, [_input(*one) for one in inputs], outputs)
    assert refused.value.field == field


def test_a_task_asks_for_the_partition_the_types_and_the_order() -> None:
    columns = [wire.ColumnDef("a", "Int64"), wire.ColumnDef("b", "UInt256", nullable=True)]
    assert shape(columns, ["a", "b"], PARTITION) == wire.AnswerShape(
        parameters={"partition_start": 20, "partition_end": 39},
        columns=[wire.AnswerColumn("a", ColumnType.INT64), wire.AnswerColumn("b", ColumnType.UINT256)],
        sort_by=["a", "b"],
    )


def test_what_the_platform_checks_is_what_a_task_asks_for() -> None:
    config = OPERATOR.config_model.model_validate(CONFIG)
    checked = OPERATOR.statement(config)
    assert checked is not None
    columns = [wire.ColumnDef(column.name, column.type) for column in checked.output.columns]
    asked = shape(columns, checked.output.sort_by, PARTITION)
    assert (checked.field, checked.sql, checked.columns_field) == ("config.sql", "SELECT 1", "config.columns")
    assert [column.name for column in asked.columns] == [column["name"] for column in CONFIG["columns"]]
    assert set(asked.parameters) == set(checked.parameters)
