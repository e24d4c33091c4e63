"""What a statement's values become: DuckDB's own, in every form, whatever their types and their columns' names."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.query.answers import FORMS, TEXTS, failed, literal, served
from traceplane.query import wire
from traceplane.query.cell.answers import lossless
from traceplane_sdk.columns import TYPE_MARK


def rows(sql: str, form: str = "json") -> list[Any]:
    result, body = served(sql, form)
    assert isinstance(result, wire.Result), result
    if form == "json":
        return list(json.loads(b"[" + body + b"]"))
    if form == "csv":
        return list(csv.reader(io.StringIO(body.decode())))[1:]
    table = pa.ipc.open_stream(body).read_all() if form == "arrow" else pq.ParquetFile(io.BytesIO(body)).read()
    return [list(row) for row in zip(*(column.to_pylist() for column in table.columns), strict=True)]


def values(sql: str) -> list[Any]:
    """The one row of an answer as JSON; the same as CSV."""
    (row,) = rows(sql)
    (fields,) = rows(sql, "csv")
    for value, text in zip(row, fields, strict=True):
        assert text == ("" if value is None else value if isinstance(value, str) else _json(value))
    return list(row)


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("sql", "names", "expected"),
    [
        (
            'SELECT sum(v)::HUGEINT AS total, count(*) AS "Total" FROM (VALUES (5), (6)) t(v)',
            ["total", "Total"],
            [11, 2],
        ),
        ('SELECT 1::HUGEINT AS a, 2 AS "A"', ["a", "A"], [1, 2]),
        ("SELECT 1::HUGEINT AS a, 2 AS a, 3::UHUGEINT AS a", ["a", "a", "a"], [1, 2, "3"]),
        ("SELECT 1 AS c2, 2::HUGEINT AS c1", ["c2", "c1"], [1, 2]),
    ],
)
def test_columns_whose_names_are_alike_keep_their_values(
    form: str, sql: str, names: list[str], expected: list[Any]
) -> None:
    (row,) = rows(sql, form)
    assert row == ([str(value) for value in expected] if form == "csv" else expected)
    result, body = served(sql, form)
    assert [name for name, _ in result.columns] == names
    if form == "arrow":
        assert pa.ipc.open_stream(body).schema.names == names
    if form == "parquet":
        assert pq.ParquetFile(io.BytesIO(body)).schema_arrow.names == names
    if form == "csv":
        assert body.decode().splitlines()[0] == ",".join(names)


LOSSY = [
    (
        "[340282366920938463463374607431768211455::UHUGEINT, NULL]",
        ["340282366920938463463374607431768211455", None],
    ),
    ("['01:02:03+04'::TIMETZ]", ["01:02:03+04"]),
    ("['101'::BIT]", ["101"]),
    ("['-12345678901234567890123456789012345678901234567890'::BIGNUM]", ["-" + "1234567890" * 5]),
    ("[INTERVAL 1 MONTH]", ["1 month"]),
    ("[1::VARIANT, 'x'::VARIANT]", ["1", "x"]),
    ("[TIME_NS '01:02:03.123456789']", ["01:02:03.123456789"]),
    ("[[1::HUGEINT], NULL]::HUGEINT[1][]", [[1], None]),
    ("{'a b': {'q\"': 1::HUGEINT}, 'n': 1, 'e': 'p'::ENUM('p', 'it''s')}", {"a b": {'q"': 1}, "n": 1, "e": "p"}),
]


@pytest.mark.parametrize(("sql", "expected"), LOSSY)
def test_what_arrow_cannot_carry_is_text_at_any_depth(sql: str, expected: Any) -> None:
    assert values(f"SELECT {sql} AS x, 1 AS y") == [expected, 1]
    for form in ("arrow", "parquet"):
        assert rows(f"SELECT {sql} AS x, 1 AS y", form) == [[expected, 1]]


@pytest.mark.parametrize("form", FORMS)
def test_a_sum_of_whole_numbers_is_a_number(form: str) -> None:
    (row,) = rows("SELECT sum(v) AS a, sum(v) FILTER (v < 0) AS b FROM range(5) t(v)", form)
    assert row == (["10", ""] if form == "csv" else [10, None])
    (row,) = rows(f"SELECT {'9' * 38}::HUGEINT AS a, -{'9' * 38}::HUGEINT AS b, {2**63}::HUGEINT AS c", form)
    wanted = [int("9" * 38), -int("9" * 38), 2**63]
    assert row == ([str(value) for value in wanted] if form == "csv" else wanted)
    if form in ("arrow", "parquet"):
        _, body = served("SELECT sum(1) AS a", form)
        table = pa.ipc.open_stream(body).read_all() if form == "arrow" else pq.read_table(io.BytesIO(body))
        assert table.schema.field("a").type == pa.decimal128(38, 0)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("sql", [f"{10**38}::HUGEINT", f"[{-(10**38)}::HUGEINT]"])
def test_a_number_of_more_than_38_digits_is_refused_with_the_remedy(form: str, sql: str) -> None:
    for source in ("", " FROM range(5000) t(v) WHERE v = 4000"):
        refused = failed(f'SELECT 1 AS a, {sql} AS "b"{source}', form)
        assert refused.kind == "TooManyDigits"
        assert refused.message == (
            'column "b" is of type HUGEINT and holds a number of more than 38 digits: cast it to VARCHAR'
        )
    assert rows(f"SELECT ({sql})::VARCHAR AS b", form) == [[sql.split(":")[0] + ("]" if "[" in sql else "")]]


def test_maps_and_unions_hold_what_arrow_cannot_carry_as_text() -> None:
    assert values("SELECT MAP{(2::HUGEINT ** 100)::HUGEINT: ['1'::BIT], 1: NULL} AS m") == [
        [[2**100, ["1"]], [1, None]]
    ]
    union = "SELECT unnest([union_value(n := 1::HUGEINT)]::UNION(s VARCHAR, n HUGEINT)[] || ['x', NULL]) AS u"
    assert rows(union) == [[1], ["x"], [None]]
    assert rows(union, "arrow") == [[1], ["x"], [None]]


def test_a_row_without_field_names_is_a_list() -> None:
    assert values(
        "SELECT (1, 2), row(1, 2::HUGEINT), [(1, {'a': (NULL, 'x')}), NULL], NULL::STRUCT(a INTEGER)"
    ) == [
        [1, 2],
        [1, 2],
        [[1, {"a": [None, "x"]}], None],
        None,
    ]
    for form in ("arrow", "parquet"):
        assert rows("SELECT (1, 2::HUGEINT)", form) == [[{"v1": 1, "v2": 2}]]


TIMES = [
    ("DATE '2026-01-31'", "2026-01-31"),
    ("DATE '0044-03-15 (BC)'", "-0043-03-15"),
    ("DATE '10000-01-01'", "10000-01-01"),
    ("DATE '5000000-02-29'", "5000000-02-29"),
    ("DATE '290000-12-31 (BC)'", "-289999-12-31"),
    ("DATE 'infinity'", "infinity"),
    ("DATE '-infinity'", "-infinity"),
    ("TIME '01:02:03'", "01:02:03"),
    ("TIME '01:02:03.5'", "01:02:03.500000"),
    ("TIME '24:00:00'", "24:00:00"),
    ("TIMESTAMP '2026-02-03 04:05:06.789'", "2026-02-03T04:05:06.789000"),
    ("TIMESTAMPTZ '2026-02-03 04:05:06+00'", "2026-02-03T04:05:06.000000Z"),
    ("TIMESTAMP '20000-01-01'", "20000-01-01T00:00:00.000000"),
    ("TIMESTAMP '40000-01-02 03:04:05.000006'", "40000-01-02T03:04:05.000006"),
    ("TIMESTAMPTZ '40000-01-02 03:04:05+00'", "40000-01-02T03:04:05.000000Z"),
    ("TIMESTAMP '290000-12-31 (BC) 23:59:59'", "-289999-12-31T23:59:59.000000"),
    ("TIMESTAMP_S '40000-01-02 03:04:05'", "40000-01-02T03:04:05"),
    ("TIMESTAMP_NS '2026-01-01 00:00:00.123456789'", "2026-01-01T00:00:00.123456789"),
    *((f"'{end}'::{kind}", end) for kind in ("TIMESTAMP", "TIMESTAMPTZ") for end in ("infinity", "-infinity")),
    *((f"'{end}'::TIMESTAMP_{unit}", end) for unit in ("S", "MS", "NS") for end in ("infinity", "-infinity")),
]


@pytest.mark.parametrize(("sql", "expected"), TIMES)
def test_a_time_is_the_same_text_at_any_depth(sql: str, expected: str) -> None:
    assert values(f"SELECT {sql}, [{sql}, NULL], {{'a': {sql}}}, MAP{{{sql}: 1}}") == [
        expected,
        [expected, None],
        {"a": expected},
        [[expected, 1]],
    ]


@pytest.mark.parametrize("sql", ["DATE", "TIMESTAMP", "TIMESTAMPTZ"])
def test_far_times_do_not_harm_columnar_answers(sql: str) -> None:
    for form in ("arrow", "parquet"):
        result, body = served(f"SELECT {sql} 'infinity' AS x, [{sql} '20000-01-01'] AS y", form)
        assert isinstance(result, wire.Result)
        assert body


def test_nulls_between_nested_values_shift_no_value() -> None:
    sql = (
        "SELECT CASE WHEN n % 2 = 0 THEN [n, NULL] END, if(n % 2 = 1, [n, n], NULL)::BIGINT[2],"
        " CASE WHEN n % 2 = 0 THEN MAP{n: {'a': n}} END, CASE WHEN n % 2 = 1 THEN {'a': [n]} END"
        " FROM range(4) t(n)"
    )
    assert rows(sql) == [
        [[0, None], None, [[0, {"a": 0}]], None],
        [None, [1, 1], None, {"a": [1]}],
        [[2, None], None, [[2, {"a": 2}]], None],
        [None, [3, 3], None, {"a": [3]}],
    ]


MOST = 2**256 - 1


def test_a_256_bit_integer_is_digits_in_text_forms() -> None:
    sql = f"SELECT {MOST} AS a, {MOST}::BIGNUM + 1 AS b, u256_neg({MOST}) AS c, [5::BIGNUM, NULL] AS d"
    assert values(sql) == [str(MOST), str(MOST + 1), str(-MOST), ["5", None]]
    assert served("SELECT 5::BIGNUM AS a", "csv")[1] == b"a\r\n5\r\n"


@pytest.mark.parametrize("form", ["arrow", "parquet"])
def test_a_256_bit_integer_is_marked_text_in_columns_and_a_decimal_where_it_is_asked_for(form: str) -> None:
    sql = f"SELECT {MOST} AS a, 'x' AS b, 7::BIGNUM AS c, (u256_mul(7, 1))::DECIMAL(38, 0)"
    _, body = served(sql, form)
    table = pa.ipc.open_stream(body).read_all() if form == "arrow" else pq.ParquetFile(io.BytesIO(body)).read()
    assert table.to_pylist() == [
        {"a": str(MOST), "b": "x", "c": "7", "CAST(u256_mul(7, 1) AS DECIMAL(38, 0))": Decimal(7)}
    ]
    assert table.schema.types == [pa.string(), pa.string(), pa.string(), pa.decimal128(38, 0)]
    marks = [(field.metadata or {}).get(TYPE_MARK.encode()) for field in table.schema]
    assert marks == [b"UInt256", None, b"UInt256", None]


def test_a_number_that_would_be_rounded_fails_before_it_runs_and_says_why() -> None:
    said = failed("SELECT 5::BIGNUM / 2", "json")
    assert (said.kind, "u256_div(x, y)" in said.message) == ("Inexact", True)


def test_an_error_of_a_function_names_no_place_in_the_code() -> None:
    said = failed("SELECT u256_pow(2, 256)", "json")
    assert said.message == "Invalid Input Error: u256_pow: the result is beyond 2^256-1"


def test_types_that_arrow_carries_are_not_cast() -> None:
    with duckdb.connect() as connection:
        relation = connection.sql("SELECT 1 AS a, [{'b': 2.5}] AS c, uuid() AS d, MAP{DATE '2026-01-01': 'x'} AS e")
        assert not any(map(lossless.cast, relation.types))


@pytest.mark.parametrize(
    "bounds", [{"form": "parquet"}, {"form": "json", "max_rows": 1, "max_export_bytes": 10**6}]
)
def test_a_union_is_refused_for_parquet_by_the_name_of_its_column(bounds: Any) -> None:
    said = failed("SELECT 1 AS n, [union_value(a := range)] AS u FROM range(2)", **bounds)
    assert said.message == (
        'column "u" is of type UNION(a BIGINT)[], which Parquet cannot hold: cast it to VARCHAR'
    )


def test_an_infinite_second_is_refused_for_parquet_by_the_name_of_its_column() -> None:
    said = failed("SELECT TIMESTAMP_S 'infinity' AS s", "parquet")
    assert said.message == (
        'column "s" is of type TIMESTAMP_S, of which Parquet cannot hold a value: cast it to VARCHAR'
    )
    assert rows("SELECT TIMESTAMP_S '2026-01-01' AS s", "parquet")


@pytest.mark.parametrize("error", [OSError, ValueError, OverflowError, pa.ArrowNotImplementedError])
def test_an_unforeseen_error_fails_the_statement_without_its_text(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: Any) -> Any:
        raise error("/a/file")

    monkeypatch.setattr(lossless, "read", read)
    assert failed("SELECT 1", "json") == wire.Failed(error.__name__, "")


def test_a_type_that_fits_no_message_fails_the_statement() -> None:
    name = f"""repeat('a', {wire.MAX_FRAME})"""
    said = failed(f"""SELECT json_transform('{{}}', '{{"' || {name} || '":"INTEGER"}}') AS x""", "json")
    assert said.kind == "TooLong"


TYPED = {
    "BIGINT": ["9223372036854775807", "-1", None],
    "HUGEINT": ["9" * 38, None],
    "DOUBLE": ["0.1", "1e300", "'Infinity'", "'NaN'", None],
    "DECIMAL(9, 2)": ["-1.50", None],
    "BOOLEAN": ["true", "false", None],
    "DATE": ["'2026-01-31'", "'infinity'", None],
    "TIME": ["'01:02:03.5'", None],
    "TIMESTAMP": ["'2026-01-31 01:02:03.000004'", "'-infinity'", None],
    "TIMESTAMPTZ": ["'2026-01-31 01:02:03.000004+00'", None],
    "UUID": ["'00000000-0000-7000-8000-000000000001'", None],
    "INTEGER[]": ["[1, NULL, 3]", "[]", None],
}


def read_by_duckdb(body: bytes, kind: str, folder: Path) -> list[str | None]:
    """The one column of a CSV, as text of its type."""
    (folder / "answer.csv").write_bytes(body)
    read = (
        f"SELECT a::{kind}::VARCHAR FROM read_csv('{folder}/answer.csv', header = true, auto_detect = false,"
        " quote = '\"', escape = '\"', new_line = '\\r\\n', allow_quoted_nulls = false, columns = {'a': 'VARCHAR'})"
    )
    return [row[0] for row in utc().execute(read).fetchall()]


def utc() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def test_csv_tells_null_from_an_empty_text_and_is_read_back_by_duckdb(tmp_path: Path) -> None:
    values = ", ".join(f"({n}, {literal(text)})" for n, text in enumerate(TEXTS))
    sql = f"SELECT a FROM (VALUES {values}) t(n, a) ORDER BY n"
    assert read_by_duckdb(served(sql, "csv")[1], "VARCHAR", tmp_path) == TEXTS
    assert served("SELECT NULL AS a, '' AS b, NULL AS c", "csv")[1] == b'a,b,c\r\n,"",\r\n'
    assert served('SELECT 1 AS "x,y"', "csv")[1] == b'"x,y"\r\n1\r\n'


@pytest.mark.parametrize("kind", TYPED)
def test_csv_of_every_type_is_read_back_by_duckdb(kind: str, tmp_path: Path) -> None:
    values = ", ".join(f"({n}, {value or 'NULL'}::{kind})" for n, value in enumerate(TYPED[kind]))
    sql = f"SELECT a FROM (VALUES {values}) t(n, a) ORDER BY n"
    wanted = [row[0] for row in utc().execute(f"SELECT a::VARCHAR FROM ({sql})").fetchall()]
    assert read_by_duckdb(served(sql, "csv")[1], kind, tmp_path) == wanted
