"""When a range may be replaced by a file, and what the compaction declares."""

from __future__ import annotations

import pytest

from operators.block_follower import OPERATOR as FOLLOWER
from operators.parquet_compact import OPERATOR
from operators.parquet_compact.coverage import check_final, check_not_corrected, check_whole, is_witness
from operators.parquet_compact.source import quoted, select
from operators.ranges.schemas import RANGES
from traceplane_sdk import wire
from traceplane_sdk.errors import OperatorError
from traceplane_sdk.operator import InputSchema, OperatorRefusal, Storage

PARTITION = wire.Partition("100-199", 100, 199)
ID = "00000000-0000-7000-8000-000000000001"


def _input(**changes: object) -> wire.TaskInput:
    given: dict[str, object] = {
        "position": 1,
        "name": "blocks",
        "dataset": ID,
        "version": ID,
        "storage": "Postgres",
        "location": "hot.d_1",
        "columns": [wire.ColumnDef("block_number", "Int64"), wire.ColumnDef("value", "UInt256")],
        "scope_column": "block_number",
        "sort_by": ["block_number"],
        "finality_depth": 10,
        "trigger": False,
    }
    return wire.TaskInput(**(given | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(("rows", "distinct"), [(99, 99), (101, 100), (100, 99), (0, 0)])
def test_a_range_that_is_not_whole_is_refused(rows: int, distinct: int) -> None:
    with pytest.raises(OperatorError, match="100 are due") as error:
        check_whole("blocks", PARTITION, rows, distinct, 0)
    assert error.value.code == "RangeNotWhole"


def test_a_whole_range_passes() -> None:
    check_whole("blocks", PARTITION, 100, 100, 0)


@pytest.mark.parametrize(("rows", "whole"), [(97, True), (96, False), (98, False)])
def test_values_recorded_as_empty_are_not_due_and_a_hole_beside_them_is(rows: int, whole: bool) -> None:
    if whole:
        check_whole("blocks", PARTITION, rows, rows, 3)
    else:
        with pytest.raises(OperatorError, match="where 97 are due"):
            check_whole("blocks", PARTITION, rows, rows, 3)


@pytest.mark.parametrize(("highest", "final"), [(209, True), (208, False), (None, False)])
def test_finality_counts_from_the_highest_row(highest: int | None, final: bool) -> None:
    if final:
        check_final(_input(), PARTITION, highest)
    else:
        with pytest.raises(OperatorError, match="may still change"):
            check_final(_input(), PARTITION, highest)


@pytest.mark.parametrize(("said", "final"), [(199, True), (198, False)])
def test_what_the_source_says_is_final_outranks_the_depth(said: int, final: bool) -> None:
    if final:
        check_final(_input(final=said), PARTITION, 199)
    else:
        with pytest.raises(OperatorError, match="final up to 198"):
            check_final(_input(final=said), PARTITION, 10_000)


def test_only_a_dataset_with_one_row_per_value_is_a_witness() -> None:
    assert is_witness(_input())
    assert not is_witness(_input(sort_by=["block_number", "log_index"]))
    assert not is_witness(_input(finality_depth=None))


@pytest.mark.parametrize(
    ("low", "high", "refused"), [(0, 99, False), (0, 100, True), (199, 300, True), (200, 300, False)]
)
def test_a_correction_of_a_range_that_was_moved_is_refused(low: int, high: int, refused: bool) -> None:
    source = _input(relocated=[wire.Relocated(ID, [(low, high)])])
    check_not_corrected("Event", [source], PARTITION)
    if refused:
        with pytest.raises(OperatorError, match="before its rows were corrected"):
            check_not_corrected("Invalidation", [source], PARTITION)
    else:
        check_not_corrected("Invalidation", [source], PARTITION)


@pytest.mark.parametrize(("high", "final"), [(199, True), (198, False)])
def test_a_range_whose_end_was_moved_is_final(high: int, final: bool) -> None:
    source = _input(relocated=[wire.Relocated(ID, [(0, high)])])
    if final:
        check_final(source, PARTITION, None)
    else:
        with pytest.raises(OperatorError, match="may still change"):
            check_final(source, PARTITION, None)


def test_the_query_quotes_names_and_reads_wide_integers_as_text() -> None:
    query = select(_input(location='hot.d_"x'), ["block_number"], 1, 2)
    assert query == (
        'select "block_number", "value"::text as "value" from "hot"."d_""x" as source'
        ' where source."block_number" between 1 and 2 order by source."block_number"'
    )
    assert quoted('a"b') == '"a""b"'


def test_the_query_reads_the_rows_of_a_where_and_quotes_its_constants() -> None:
    source = _input(where={"value": ["7"], "block_number": ["1", "2"]})
    assert (
        " between 1 and 2 and \"value\" IN (CAST('7' AS numeric(78,0)))"
        " AND \"block_number\" IN (CAST('1' AS bigint), CAST('2' AS bigint)) order by "
    ) in select(source, ["block_number"], 1, 2)
    text = [wire.ColumnDef("t", "Text")]
    assert "CAST('it''s' AS text)" in select(_input(where={"t": ["it's"]}, columns=text), ["t"], 1, 2)
    assert r"E'\\'''" in select(_input(where={"t": ["\\'"]}, columns=text), ["t"], 1, 2)


def test_a_filtered_input_is_compacted_only_where_its_hot_rows_stay() -> None:
    config = FOLLOWER.config_model.model_validate({"chainId": 1, "rpcPool": "local"})
    schemas = FOLLOWER.declare_outputs(config, [], ["blocks", "logs"])
    ranges, blocks = InputSchema("ranges", RANGES, True), InputSchema("blocks", schemas["blocks"], False)
    logs = InputSchema("logs", schemas["logs"], False, {"topic0": ["0x00"]})
    with pytest.raises(OperatorRefusal, match="deleteAfterCompact: false") as refusal:
        _declared([ranges, blocks, logs], ["blocks", "logs"])
    assert refusal.value.field == "inputs[2].where"
    assert _declared([ranges, blocks, logs], ["blocks"]), "the logs are not moved"
    kept = OPERATOR.config_model.model_validate({"deleteAfterCompact": False})
    assert set(OPERATOR.declare_outputs(kept, [ranges, blocks, logs], ["logs"])) == {"logs"}


def _declared(inputs: list[InputSchema], outputs: list[str]) -> object:
    return OPERATOR.declare_outputs(OPERATOR.config_model.model_validate({}), inputs, outputs)


def test_outputs_are_cold_twins_of_pinned_inputs() -> None:
    config = FOLLOWER.config_model.model_validate({"chainId": 1, "rpcPool": "local"})
    blocks = FOLLOWER.declare_outputs(config, [], ["blocks"])["blocks"]
    ranges = InputSchema("ranges", RANGES, True)
    pinned = InputSchema("blocks", blocks, False)
    declared = OPERATOR.declare_outputs(OPERATOR.config_model.model_validate({}), [ranges, pinned], ["blocks"])
    assert declared["blocks"].storage is Storage.S3
    assert declared["blocks"].columns == blocks.columns
    for inputs, outputs, field in (
        ([pinned], ["blocks"], "inputs"),
        ([ranges, ranges, pinned], ["blocks"], "inputs"),
        ([ranges, pinned], ["logs"], "outputs[0]"),
        ([ranges], ["ranges"], "outputs[0]"),
        ([ranges, pinned, pinned], ["blocks"], "inputs[2]"),
        ([ranges, InputSchema("blocks", declared["blocks"], False)], ["blocks"], "inputs[1]"),
    ):
        with pytest.raises(OperatorRefusal) as refusal:
            _declared(inputs, outputs)
        assert refusal.value.field == field
