"""What an extraction accepts, and which columns its output has."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from operators.cryo_ingest import OPERATOR
from operators.cryo_ingest.config import NEUTRAL, CryoIngestConfig
from operators.cryo_ingest.datasets import DATASETS
from operators.cryo_ingest.extract import arguments
from operators.ranges.schemas import RANGES
from traceplane_sdk.columns import ColumnType
from traceplane_sdk.operator import InputSchema, OperatorRefusal, OutputSchema
from traceplane_sdk.wire import Partition

RANGE = InputSchema("ranges", RANGES, True)
ADDRESS, WORD, OTHER = "0x" + "aB" * 20, "0x" + "Cd" * 32, "0x" + "dC" * 32


def _config(dataset: str, **more: Any) -> CryoIngestConfig:
    return CryoIngestConfig.model_validate({"chainId": 1, "rpcPool": "local", "dataset": dataset, **more})


def _declared(config: CryoIngestConfig) -> OutputSchema:
    return OPERATOR.declare_outputs(config, [RANGE], ["found"])["found"]


def _least(dataset: str) -> CryoIngestConfig:
    """The shortest config of a dataset."""
    values: dict[str, Any] = {
        "address": [ADDRESS],
        "contract": [ADDRESS],
        "slot": [WORD],
        "call_data": ["0x18160ddd"],
        "js_tracer": "{}",
    }
    names = {"call_data": "callData", "js_tracer": "jsTracer"}
    needs = {names.get(name, name): values[name] for name in DATASETS[dataset].needs}
    return _config(dataset, parameters=needs)


@pytest.mark.parametrize("dataset", sorted(DATASETS))
def test_every_dataset_is_keyed_sorted_and_placed_by_block(dataset: str) -> None:
    schema = _declared(_least(dataset))
    columns = {column.name: column for column in schema.columns}
    assert schema.scope_column == schema.sort_by[0] == "block_number"
    assert (columns["block_number"].type, columns["block_number"].nullable) == (ColumnType.INT64, False)
    assert set(schema.sort_by) <= set(columns)
    assert schema.unique_key in ((), schema.sort_by)
    assert not any(columns[name].nullable for name in schema.unique_key)


def test_types_are_those_of_the_other_tables_of_a_chain() -> None:
    types = {
        column.name: column.type for column in _declared(_config("transactions", columns=["timestamp"])).columns
    }
    assert types == {
        "block_number": ColumnType.INT64,
        "transaction_index": ColumnType.INT64,
        "timestamp": ColumnType.TIMESTAMP,
    }
    types = {column.name: column.type for column in _declared(_config("transactions")).columns}
    assert types["from_address"] is types["transaction_hash"] is ColumnType.HEX
    assert types["value"] is types["nonce"] is types["gas_price"] is ColumnType.UINT256
    assert types["gas_used"] is types["chain_id"] is ColumnType.INT64
    assert types["success"] is ColumnType.BOOL


def test_what_it_cannot_use_is_refused_by_field() -> None:
    config = _config("blocks")
    for inputs, outputs, field in (
        ([], ["found"], "inputs"),
        ([RANGE, RANGE], ["found"], "inputs"),
        ([replace(RANGE, trigger=False)], ["found"], "inputs"),
        ([RANGE], ["found", "more"], "outputs"),
    ):
        with pytest.raises(OperatorRefusal) as refusal:
            OPERATOR.declare_outputs(config, inputs, outputs)
        assert refusal.value.field == field


@pytest.mark.parametrize(
    ("dataset", "more", "said"),
    [
        ("block", {}, r"cryo has no 'block'; it has address_appearances, .*vm_traces"),
        ("blocks", {"columns": ["hash"]}, r"columns: blocks has no hash; it has block_number, .*size"),
        ("blocks", {"columns": ["size", "size"]}, "names a column twice"),
        ("blocks", {"columns": []}, "columns"),
        ("balances", {}, "parameters: balances needs address"),
        ("slots", {"parameters": {"address": [ADDRESS]}}, "parameters: slots needs slot"),
        ("blocks", {"parameters": {"topic0": [WORD]}}, "blocks takes no topic0; it takes none"),
        ("logs", {"parameters": {"fromAddress": [ADDRESS]}}, "logs takes no fromAddress; it takes address, topic0"),
        # cryo would read a file of that name
        ("logs", {"parameters": {"address": ["/etc/passwd"]}}, "parameters.address"),
        ("logs", {"parameters": {"address": [ADDRESS + "00"]}}, "parameters.address"),
        ("logs", {"parameters": {"topic0": [ADDRESS]}}, "parameters.topic0"),
        ("logs", {"parameters": {"address": [ADDRESS] * 1001}}, "parameters.address"),
        (
            "logs",
            {"parameters": {"address": [ADDRESS, ADDRESS.lower()]}},
            f"address\n.*names {ADDRESS.lower()} twice",
        ),
        ("logs", {"parameters": {"topic0": [WORD, OTHER, WORD]}}, f"topic0\n.*names {WORD.lower()} twice"),
        ("logs", {"chunkBlocks": 0}, "chunkBlocks"),
        ("logs", {"timeoutSeconds": 0}, "timeoutSeconds"),
        ("logs", {"rpc": "http://x"}, "rpc"),
    ],
)
def test_a_config_that_cryo_would_refuse_is_refused_by_field(dataset: str, more: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        _config(dataset, **more)


def test_what_decides_rows_is_not_neutral() -> None:
    fields = {field.alias for field in CryoIngestConfig.model_fields.values()}
    assert fields - NEUTRAL == {"chainId", "dataset", "parameters"}


def test_cryo_is_called_with_the_range_its_columns_and_parameters_in_one_spelling() -> None:
    config = _config("logs", columns=["data"], parameters={"address": [ADDRESS], "topic0": [WORD, OTHER]})
    given = arguments(config, Partition("5-9", 5, 9), Path("/scratch"), "http://node")
    assert given["blocks"] == ["5:10"]
    assert given["columns"] == ["block_number", "log_index", "data"]
    assert (given["address"], given["topic0"]) == ([ADDRESS.lower()], [WORD.lower(), OTHER.lower()])
    assert "topic1" not in given


def test_the_readme_lists_every_dataset() -> None:
    text = (Path(__file__).parents[1] / "README.md").read_text()
    listed = text.split("Datasets: ")[1].split(". ")[0].replace(",", " ").split()
    assert listed == sorted(DATASETS)
