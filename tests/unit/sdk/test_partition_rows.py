"""What must not be committed: each check fails for one reason, across the borders of row groups too."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pytest

from traceplane_sdk import wire
from traceplane_sdk.errors import OperatorError
from traceplane_sdk.parquet import arrow_schema
from traceplane_sdk.partition_rows import RowCheck

COLUMNS = [
    wire.ColumnDef("block_number", "Int64"),
    wire.ColumnDef("address", "Hex"),
    wire.ColumnDef("value", "UInt256", nullable=True),
]
PARTITION = wire.Partition("20-39", 20, 39)
ZERO = "00000000-0000-4000-8000-000000000000"
Row = tuple[int | None, str | None, str | None]


def _check(*tables: Sequence[Row], key: Sequence[str] = ("block_number", "address")) -> None:
    output = wire.TaskOutput(
        name="found",
        dataset=ZERO,
        version=ZERO,
        storage="S3",
        location="s3://b/x/",
        columns=COLUMNS,
        unique_key=["address", "block_number"],
        scope_column="block_number",
        sort_by=["block_number", "address"],
    )
    check, schema = RowCheck(output, PARTITION, key), arrow_schema(COLUMNS)
    for rows in tables:
        columns = list(zip(*rows, strict=True)) or [(), (), ()]
        arrays = [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)]
        check.take(pa.Table.from_arrays(arrays, schema=schema))


def test_a_right_answer_passes_in_any_cut() -> None:
    rows: list[Row] = [(20, "0x", "0"), (20, "0xab", None), (39, "0x", str(2**256 - 1))]
    _check(rows)
    _check(rows[:1], [], rows[1:2], rows[2:])
    _check()


@pytest.mark.parametrize(
    ("tables", "code"),
    [
        ([[(20, None, "1")]], "NullInAnswer"),
        ([[(None, "0x", "1")]], "NullInAnswer"),
        ([[(19, "0x", "1")]], "RowOutsidePartition"),
        ([[(20, "0x", "1")], [(40, "0x", "1")]], "RowOutsidePartition"),
        ([[(20, "0x", "1"), (20, "0x", "2")]], "RowTwice"),
        ([[(20, "0x", "1")], [(20, "0x", "2")]], "RowTwice"),
        ([[(20, "0x", "1")], [], [(20, "0x", "2")]], "RowTwice"),
        ([[(20, "0x", "-1")]], "TextOutOfForm"),
        ([[(20, "0x", "1e10")]], "TextOutOfForm"),
        ([[(20, "0x", "01")]], "TextOutOfForm"),
        ([[(20, "0xAB", "1")]], "TextOutOfForm"),
        ([[(20, "ab", "1")]], "TextOutOfForm"),
    ],
)
def test_a_wrong_answer_is_refused_for_good(tables: list[list[Row]], code: str) -> None:
    with pytest.raises(OperatorError) as refused:
        _check(*tables)
    assert (refused.value.code, refused.value.retryable) == (code, False)


def test_rows_that_nothing_identifies_may_be_equal() -> None:
    _check([(20, "0x", "1"), (20, "0x", "1")], key=())
