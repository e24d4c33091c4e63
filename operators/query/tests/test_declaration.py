"""What the operator accepts, and the statement a task sends."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from operators.block_follower import OPERATOR as FOLLOWER
from operators.query import OPERATOR
from operators.query.statement import statement
from traceplane_sdk import wire
from traceplane_sdk.operator import InputSchema, OperatorRefusal

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


@pytest.mark.parametrize(
    ("inputs", "outputs", "field"),
    [
        ([], ["found"], "inputs"),
        ([("ranges", True)], ["found"], "inputs"),
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


@pytest.mark.parametrize("sql", ["SELECT $partition_start AS a, $partition_end AS b", "SELECT 20 AS a, 39 AS b;\n"])
def test_the_statement_has_the_partition_the_types_and_the_order(sql: str) -> None:
    columns = [wire.ColumnDef("a", "Int64"), wire.ColumnDef("b", "UInt256")]
    assert statement(sql, columns, ["a", "b"], PARTITION) == (
        'SELECT CAST(answer."a" AS BIGINT) AS "a", CAST(answer."b" AS VARCHAR) AS "b"\n'
        "FROM (\nSELECT 20 AS a, 39 AS b\n) AS answer\n"
        'ORDER BY "a", "b"'
    )


def test_a_name_that_only_begins_like_a_parameter_is_left_alone() -> None:
    assert "$partition_starts" in statement("SELECT $partition_starts", [], ["a"], PARTITION)
