"""A `where` lets the same rows through in every tier, for every type that it may name."""

from __future__ import annotations

import random
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from tests.support.wheres import TYPES, canonical, expected, made_rows, made_where, written
from traceplane_sdk import where
from traceplane_sdk.columns import FORMS, ColumnType
from traceplane_sdk.parquet import arrow_type


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return made_rows(random.Random(5), 400)


@pytest.fixture(scope="module")
def table(rows: list[dict[str, Any]]) -> pa.Table:
    fields = [pa.field("n", pa.int64()), *(pa.field(name, arrow_type(kind)) for name, kind in TYPES.items())]
    return pa.Table.from_pylist(rows, pa.schema(fields))


@pytest.fixture(scope="module")
def plain(table: pa.Table) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"threads": 1})
    connection.register("files", table)
    connection.execute("CREATE TABLE rested AS FROM files")
    return connection


@pytest.mark.parametrize("seed", range(150))
def test_duckdb_and_arrow_let_through_what_equals(
    rows: list[dict[str, Any]], table: pa.Table, plain: duckdb.DuckDBPyConnection, seed: int
) -> None:
    given = made_where(random.Random(seed))
    wanted, read = expected(rows, given), canonical(given)
    found = plain.execute(f"SELECT n FROM rested WHERE {where.duckdb(read, TYPES)} ORDER BY n").fetchall()
    assert [n for (n,) in found] == wanted, given
    assert table.filter(where.arrow(read, TYPES)).column("n").to_pylist() == wanted, given


def test_random_wheres_find_rows_and_find_none(rows: list[dict[str, Any]]) -> None:
    counts = [len(expected(rows, made_where(random.Random(seed)))) for seed in range(150)]
    assert min(counts) == 0
    assert sum(count > 0 for count in counts) > 50


def test_no_where_is_no_condition() -> None:
    assert (where.duckdb({}, TYPES), where.postgres({}, TYPES), where.arrow({}, TYPES)) == ("", "", None)


def test_a_column_may_be_named_as_sql_is() -> None:
    name = 'order" --'
    assert where.duckdb({name: ["1"]}, {name: "Int64"}) == '"order"" --" IN (CAST(\'1\' AS BIGINT))'


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("Int32", 5, "5"),
        ("Float64", 5, "5.0"),
        ("Float64", -0.0, "0.0"),
        ("UInt256", 2**63 - 1, str(2**63 - 1)),
        ("UInt256", str(2**256 - 1), str(2**256 - 1)),
        ("Bool", True, "true"),
        ("Timestamp", "2026-01-31T13:00:00+01:00", "2026-01-31T12:00:00+00:00"),
        ("Timestamp", "2026-01-31T12:00:00.50Z", "2026-01-31T12:00:00.500000+00:00"),
    ],
)
def test_a_value_has_one_text(kind: ColumnType, value: Any, text: str) -> None:
    constant = FORMS[kind].constant
    assert constant is not None
    assert constant(value) == text


@pytest.mark.parametrize(
    ("kind", "values", "due"),
    [
        ("Int32", [2**31, "5", 5.0, True, []], "whole number from -2147483648 to 2147483647, without quotes"),
        ("Int64", [2**63, -(2**63) - 1, "5", None], "a whole number from -9223372036854775808"),
        ("Float64", [float("nan"), float("inf"), "0.1", False, 2**53 + 1], "a finite number without quotes"),
        ("UInt256", [-1, 2**63, str(2**256), "05", "0x5", " 5", "５", 5.0, True], "in quotes where it is beyond"),
        ("Hex", [5, "ab", "0xg", "", True, "0x" + "0" * 2000], "hex digits after 0x, in quotes"),
        (
            "Hex",
            ["0x5FbDB2315678afecb367f032d93F642f64180aa3"],
            "in lower case, as the column is: '0x5fbdb2315678afecb367f032d93f642f64180aa3'",
        ),
        ("Text", [5, True, "x" * 1025, "a\0b", None], "text, in quotes"),
        ("Text", ["\ud800"], "half of a surrogate pair"),
        ("Bool", ["true", 1, 0], "true or false, without quotes"),
        (
            "Timestamp",
            [
                *("2026-01-31", "2026-01-31T12:00:00", "2026-02-30T00:00:00Z", "2026-01-31T12:00:00.1234567Z", 0),
                *("0001-01-01T00:00:00+01:00", "2026-01-31t12:00:00z"),
            ],
            "a time with its zone",
        ),
    ],
)
def test_a_value_of_another_type_is_refused_with_what_is_due(kind: ColumnType, values: list[Any], due: str) -> None:
    constant = FORMS[kind].constant
    assert constant is not None
    for value in values:
        with pytest.raises(ValueError, match=re.escape(due)):
            constant(value)


def test_every_whole_second_has_a_text_that_casts_back() -> None:
    constant, chance = FORMS[ColumnType.TIMESTAMP].constant, random.Random(3)
    assert constant is not None
    for _ in range(200):
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=chance.randrange(-(10**15), 10**16))
        assert datetime.fromisoformat(constant(written(moment))) == moment
