"""Answers as columns: the same rows as in JSON, with their types, within the same bounds."""

from __future__ import annotations

import datetime
import decimal
import io
import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.query.conftest import Client
from tests.integration.query.world import World
from tests.unit.query.answers import TEXTS, literal
from tests.unit.query.typed import IN_POSTGRES, KINDS, Kind, alike

pytestmark = pytest.mark.services

READERS: dict[str, tuple[str, Callable[[bytes], pa.Table]]] = {
    "arrow": ("application/vnd.apache.arrow.stream", lambda body: pa.ipc.open_stream(body).read_all()),
    "parquet": ("application/vnd.apache.parquet", lambda body: pq.read_table(io.BytesIO(body))),
}
BOTH = pytest.mark.parametrize("form", READERS)


def table(client: Client, sql: str, form: str) -> pa.Table:
    """The answer, read by its media type."""
    answer = client.post(sql, format=form)
    assert answer.status_code == 200, answer.text
    kind, read = READERS[form]
    assert answer.headers["content-type"] == kind
    found = read(answer.content)
    assert answer.headers["x-trace-row-count"] == str(found.num_rows)
    return found


@BOTH
def test_rows_of_both_tiers_come_with_the_versions_they_were_read_from(
    form: str, world: World, client: Client
) -> None:
    world.federated()
    sql = "SELECT * FROM blocks ORDER BY block_number"
    found = table(client, sql, form)
    answer = client.post(sql).json()
    assert [row["block_number"] for row in found.to_pylist()] == [row[0] for row in answer["rows"]]
    named = json.loads(found.schema.metadata[b"trace.versions"])
    assert named == [{key: of[key] for key in ("relation", "dataset", "version")} for of in answer["versions"]]


@BOTH
def test_types_are_kept(form: str, client: Client) -> None:
    found = table(
        client,
        "SELECT 1::TINYINT AS a, 1.50::DECIMAL(9, 2) AS b, DATE '2026-01-31' AS c, [1, NULL] AS d, {'x': 'y'} AS e,"
        " 'z'::BLOB AS f, TIMESTAMPTZ '2026-01-31 00:00:00+00' AS g, 2::HUGEINT ** 100 AS h, NULL AS i,"
        " 99999999999999999999999999999999999999::HUGEINT AS j",
        form,
    )
    (row,) = found.to_pylist()
    assert found.schema.field("a").type == pa.int8()
    assert (row["b"], row["c"]) == (decimal.Decimal("1.50"), datetime.date(2026, 1, 31))
    assert (row["d"], row["e"], row["f"]) == ([1, None], {"x": "y"}, b"z")
    assert row["g"] == datetime.datetime(2026, 1, 31, tzinfo=datetime.UTC)
    assert (row["i"], row["j"]) == (None, decimal.Decimal("99999999999999999999999999999999999999"))
    assert found.schema.field("j").type == pa.decimal128(38, 0)


@BOTH
def test_an_empty_answer_has_its_columns(form: str, client: Client) -> None:
    found = table(client, "SELECT range AS n, 'x' AS t FROM range(5) WHERE range > 9", form)
    assert (found.num_rows, found.column_names) == (0, ["n", "t"])


@BOTH
@pytest.mark.parametrize("rows", [10, 2048, 2049, 5000])
def test_answers_are_cut_at_the_row_limit_and_say_so(
    form: str, rows: int, start_service: Callable[..., Client]
) -> None:
    client = start_service(query_max_rows=rows)
    for asked, truncated in ((rows, "false"), (rows + 1, "true")):
        answer = client.post(f"SELECT * FROM range({asked}) ORDER BY 1", format=form, overflow="truncate")
        found = READERS[form][1](answer.content)
        assert found["range"].to_pylist() == list(range(rows))
        assert answer.headers["x-trace-truncated"] == truncated


@BOTH
def test_answers_are_cut_at_the_byte_limit_between_rows(form: str, start_service: Callable[..., Client]) -> None:
    client = start_service(query_max_bytes=10_000)
    sql = "SELECT range AS n, md5(range::VARCHAR) || repeat('x', 68) AS pad FROM range(1000) ORDER BY n"
    answer = client.post(sql, format=form, overflow="truncate")
    assert answer.headers["x-trace-truncated"] == "true"
    assert len(answer.content) < 11_500
    found = READERS[form][1](answer.content)
    assert 60 < found.num_rows < 100
    assert found["n"].to_pylist() == list(range(found.num_rows))
    huge: Any = client.post("SELECT repeat('x', 1000000)", format=form, overflow="truncate")
    assert (huge.status_code, huge.headers["x-trace-truncated"]) == (200, "true")
    assert READERS[form][1](huge.content).num_rows == 0


def test_a_type_that_a_form_cannot_hold_is_refused(client: Client) -> None:
    assert client.refused("SELECT union_value(n := 1) AS u", format="parquet")[0] == 422
    assert client.refused("SELECT 1", format="xml") == (400, "InvalidRequest")
    union = client.post("SELECT union_value(n := 1) AS u", format="parquet").json()["detail"]
    assert union == 'column "u" is of type UNION(n INTEGER), which Parquet cannot hold: cast it to VARCHAR'


def test_values_beyond_python_s_are_written_in_a_cell_too(client: Client) -> None:
    sql = (
        "SELECT DATE '5000000-02-29', ['infinity'::TIMESTAMPTZ], TIME '24:00:00', (1, [2::HUGEINT]),"
        " [INTERVAL 1 MONTH] AS v, [1::VARIANT] AS \"V\", TIMESTAMP_NS '2026-01-01 00:00:00.123456789'"
    )
    assert client.rows(sql) == [
        ["5000000-02-29", ["infinity"], "24:00:00", [1, [2]], ["1 month"], ["1"], "2026-01-01T00:00:00.123456789"]
    ]


def test_csv_is_read_back_by_postgres_with_its_nulls(world: World, client: Client) -> None:
    """Texts that look like something else, and a value of each type that Postgres has."""
    texts = ", ".join(f"({n}, {literal(text)})" for n, text in enumerate(TEXTS))
    sql = (
        "SELECT n, t, n::HUGEINT AS h, 0.5::DOUBLE AS d, n = 1 AS b, DATE '2026-01-31' + n AS day,"
        " TIMESTAMPTZ '2026-01-31 01:02:03.000004+00' AS at, NULL::INTEGER AS nothing, '' AS empty,"
        f" '00000000-0000-7000-8000-000000000001'::UUID AS u FROM (VALUES {texts}) v(n, t) ORDER BY n"
    )
    answer = client.post(sql, format="csv")
    assert answer.status_code == 200, answer.text
    world.data.execute(
        "CREATE TEMP TABLE answer (n int, t text, h numeric, d float8, b bool, day date, at timestamptz,"
        " nothing int, empty text, u uuid)"
    )
    with world.data.cursor().copy("COPY answer FROM STDIN (FORMAT csv, HEADER)") as copy:
        copy.write(answer.content)
    found = world.data.execute("SELECT * FROM answer ORDER BY n").fetchall()
    day, at = datetime.date(2026, 1, 31), datetime.datetime(2026, 1, 31, 1, 2, 3, 4, tzinfo=datetime.UTC)
    assert [tuple(row) for row in found] == [
        (n, text, n, 0.5, n == 1, day + datetime.timedelta(n), at, None, "", UUID(int=(7 << 76) | (8 << 60) | 1))
        for n, text in enumerate(TEXTS)
    ]


ROWS = st.lists(st.tuples(*(st.none() | kind.values for kind in IN_POSTGRES)), min_size=1, max_size=4)
# Only nested types are JSON in CSV; and the gate admits no ENUM within another type.
NESTED = KINDS.filter(lambda kind: kind.csv is None and "ENUM" not in kind.sql)


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(rows=ROWS, nested=NESTED.flatmap(lambda kind: st.tuples(st.just(kind), st.none() | kind.values)))
def test_csv_of_random_values_is_read_back_by_postgres(
    world: World, client: Client, rows: list[tuple[Any, ...]], nested: tuple[Kind, Any]
) -> None:
    """Every type that Postgres has, and a nested value as its JSON."""
    kinds = [*IN_POSTGRES, nested[0]]
    given = [[*row, nested[1]] for row in rows]
    selects = (
        f"SELECT {n} AS n, "
        + ", ".join(
            f"{kind.written(value)} AS c{place}" for place, (kind, value) in enumerate(zip(kinds, row, strict=True))
        )
        for n, row in enumerate(given)
    )
    answer = client.post(f"SELECT * FROM ({' UNION ALL '.join(selects)}) ORDER BY n", format="csv")
    assert answer.status_code == 200, answer.text
    columns = ", ".join(f"c{place} {kind.postgres or 'json'}" for place, kind in enumerate(kinds))
    world.data.execute(f"DROP TABLE IF EXISTS answer; CREATE TEMP TABLE answer (n int, {columns})")
    with world.data.cursor().copy("COPY answer FROM STDIN (FORMAT csv, HEADER)") as copy:
        copy.write(answer.content)
    for found, row in zip(world.data.execute("SELECT * FROM answer ORDER BY n").fetchall(), given, strict=True):
        *plain, read = found[1:]
        for kind, value, expected in zip(kinds, plain, row, strict=False):
            typed = int(value) if isinstance(expected, int) and isinstance(value, decimal.Decimal) else value
            assert alike(typed, expected), (kind.sql, value, expected)
        assert alike(nested[0].of_json(read), nested[1])
