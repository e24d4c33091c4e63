"""What a cell's view of cold files reads of them."""

from __future__ import annotations

from pathlib import Path

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from traceplane.query import wire
from traceplane.query.cell import views
from traceplane.query.exact import bound, u256
from traceplane_sdk import where

RELATION = wire.RelationSpec(
    names=[("", "t")],
    columns=[("n", "BIGINT"), ("value", "BIGNUM"), ("tip", "BIGNUM")],
    hot=False,
    cold=True,
    scope_column="n",
)
GROUPS = [("5", "7", None), ("80", "81", str(85 * 10**70))]
"""The `value`s of the row groups."""
NO_BROKER = None


@pytest.fixture
def database() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"threads": 1})
    u256.install(connection)
    return connection


def built(
    database: duckdb.DuckDBPyConnection, folder: Path, sql: str, *ranges: tuple[int, int], where: str = ""
) -> str:
    """What runs for `sql` over one file, after the relation was made by the filters of its plan."""
    relation = msgspec.structs.replace(RELATION, where=where)
    shadow = duckdb.connect(config={"threads": 1})
    u256.install(shadow, planning=True)
    bound.limit_optimizers(shadow)
    planned = views.planned(shadow, sql, [relation])
    values = [value for group in GROUPS for value in group]
    table = pa.table({"n": [*range(6)], "value": values, "tip": ["1", "2", "3", "1", "2", "3"]})
    pq.write_table(table, folder / "0-0-0.parquet", row_group_size=3)
    run = wire.Run([[(1, list(ranges))]], "[]")
    views.build(database, str(folder), [relation], run, NO_BROKER, planned)  # type: ignore[arg-type]
    return planned.sql


def spoil(file: Path, group: int) -> None:
    """Overwrite a row group, so that nothing can be read of it."""
    metadata = pq.ParquetFile(file).metadata.row_group(group)
    data = bytearray(file.read_bytes())
    for column in map(metadata.column, range(metadata.num_columns)):
        start = column.dictionary_page_offset or column.data_page_offset
        data[start : start + column.total_compressed_size] = b"x" * column.total_compressed_size
    file.write_bytes(data)


@pytest.mark.parametrize(
    ("condition", "found", "left_out"),
    [
        ("value = 5", [0], 1),
        ("value = 7 AND n > 0", [1], 1),
        ("value IN (7, 5, 6)", [0, 1], 1),
        ("value = 5 OR value = 7", [0, 1], 1),
        ("value = 5 AND tip = 2", [], 1),
        ("value = len('numbers')", [1], 1),
        (f"value = {85 * 10**70}", [5], 0),
        ("value IN (80, 81)", [3, 4], 0),
        ("value = 80 OR n = 0", [0, 3], None),
        ("value = 80 OR value < 6", [0, 3], None),
        ("value <> 80", [0, 1, 4, 5], None),
        ("value IS NULL", [2], None),
    ],
)
def test_a_row_group_without_such_a_256_bit_integer_is_not_read(
    condition: str, found: list[int], left_out: int | None, database: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    sql = built(database, tmp_path, f"SELECT n FROM t WHERE {condition} ORDER BY n")
    if left_out is not None:
        spoil(tmp_path / "0-0-0.parquet", left_out)
    assert [n for (n,) in database.execute(sql).fetchall()] == found


@pytest.mark.parametrize(
    ("fields", "left_out"),
    [
        ({"value": ["5", "7"]}, 1),
        ({"value": [str(85 * 10**70)]}, 0),
        ({"n": ["1", "2"]}, 1),
        ({"n": ["4"], "value": ["81"]}, 0),
    ],
)
def test_a_statement_sees_the_rows_of_a_where_alone_and_reads_no_more_row_groups(
    fields: dict[str, list[str]], left_out: int, database: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    types = {"n": "Int64", "value": "UInt256"}
    rows = zip(range(6), [value for group in GROUPS for value in group], strict=True)
    seen = [n for n, value in rows if str(n) in fields.get("n", str(n)) and value in fields.get("value", [value])]
    condition = where.duckdb(fields, types)
    sql = built(database, tmp_path, "SELECT n FROM t AS x ORDER BY n", where=condition)
    spoil(tmp_path / "0-0-0.parquet", left_out)
    assert [n for (n,) in database.execute(sql).fetchall()] == seen


def test_a_relation_that_is_scanned_twice_has_the_rows_of_both(
    database: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    sql = built(database, tmp_path, "SELECT (SELECT n FROM t WHERE value = 5), (SELECT n FROM t WHERE value = 80)")
    assert database.execute(sql).fetchall() == [(0, 3)]


def test_rows_outside_the_ranges_stay_out(database: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    sql = built(database, tmp_path, "SELECT n FROM t WHERE value = 5 OR value = 80", (1, 2), (4, 5))
    assert database.execute(sql).fetchall() == []
