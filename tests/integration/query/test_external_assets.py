"""External assets: files and tables that no job makes, refreshed and read through the query service."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from pathlib import Path

import duckdb
import psycopg
import pyarrow.parquet as pq
import pytest

from tests import services
from tests.integration.query.conftest import Client
from tests.integration.query.refreshing import Refreshing, came_to, failure
from tests.integration.query.world import World

pytestmark = pytest.mark.services

PRICES = "day,Close Price\n2024-01-01,1.5\n2024-01-02,\n"


@pytest.fixture
def refreshing(world: World, tmp_path: Path) -> Iterator[Refreshing]:
    made = Refreshing(world, tmp_path)
    yield made
    made.close()


def test_new_content_is_a_version_and_the_same_content_is_none(refreshing: Refreshing, client: Client) -> None:
    refreshing.declare("prices", uri=refreshing.put("prices/eth.csv", PRICES))
    first = refreshing.refresh("prices")
    assert (came_to(first), first.version, first.rows) == ("Updated", first.version, 2)
    assert str(first.version).startswith("v1-")
    sql = "SELECT day, close_price FROM {} ORDER BY day"
    old = [["2024-01-01T00:00:00.000000Z", 1.5], ["2024-01-02T00:00:00.000000Z", None]]
    answer = client.post(sql.format("prices")).json()
    assert answer["rows"] == old

    again = refreshing.refresh("prices")
    assert (came_to(again), again.version) == ("Unchanged", first.version)

    refreshing.put("prices/eth.csv", "day,Close Price\n2024-01-03,7\n")
    second = refreshing.refresh("prices")
    assert came_to(second) == "Updated"
    assert str(second.version).startswith("v2-")
    new = [["2024-01-03T00:00:00.000000Z", 7]]
    assert client.rows(sql.format("prices")) == new
    assert client.rows(sql.format("prices"), as_of=answer["as_of"]) == old
    assert client.rows(sql.format('"prices@v1"')) == old
    assert client.rows(sql.format('"prices@v2"')) == new

    refreshing.put("prices/eth.csv", PRICES)
    back = refreshing.refresh("prices")
    assert (came_to(back), back.version) == ("Restored", first.version)
    assert client.rows(sql.format("prices")) == old


def _parquet(select: str) -> bytes:
    out = io.BytesIO()
    pq.write_table(duckdb.sql(select).to_arrow_table(), out)
    return out.getvalue()


ADDRESS = "0xDeaDbeefdEAdbeefdEadbEEFdeadbeEFdEaDbeeF"
NUMBER = "12345678901234567890123"
TEXT = 'Ü, ""x""'


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("labels/a.csv", f'address,label,n\n{ADDRESS},"{TEXT}",{NUMBER}\n'),
        ("labels/a.tsv", f'address\tlabel\tn\n{ADDRESS}\t"{TEXT}"\t{NUMBER}\n'),
        ("labels/a.csv.gz", gzip.compress(f'address;label;n\n{ADDRESS};"{TEXT}";{NUMBER}\n'.encode())),
        ("labels/a.jsonl", f'{{"address":"{ADDRESS}","label":"Ü, \\"x\\"","n":{NUMBER}}}\n'),
        (
            "labels/a.parquet",
            _parquet(
                f"SELECT unhex('{ADDRESS[2:]}') AS address, 'Ü, \"x\"' AS label, {NUMBER}::DECIMAL(38,0) AS n"
            ),
        ),
    ],
    ids=["csv", "tsv", "csv.gz", "jsonl", "parquet"],
)
def test_every_format_gives_the_same_rows(
    refreshing: Refreshing, client: Client, name: str, body: str | bytes
) -> None:
    refreshing.put(name, body)
    refreshing.put("labels/_SUCCESS", "a marker")
    refreshing.declare("labels", uri=f"s3://{refreshing.world.bucket}/labels/")
    assert came_to(refreshing.refresh("labels")) == "Updated"
    rows = client.rows("SELECT address, label, n, typeof(n) FROM labels")
    assert rows == [[ADDRESS.lower(), 'Ü, "x"', "12345678901234567890123", "BIGNUM"]]


def test_a_set_of_files_is_one_relation(refreshing: Refreshing, client: Client) -> None:
    for number in (1, 2, 3):
        refreshing.put(f"many/{number}.csv", f"n,t\n{number},x{number}\n")
    refreshing.put("many/deeper/4.csv", "n,t\n4,x4\n")
    refreshing.declare("many", uri=f"s3://{refreshing.world.bucket}/many/*.csv")
    assert came_to(refreshing.refresh("many")) == "Updated"
    assert client.rows("SELECT n FROM many ORDER BY n") == [[1], [2], [3]]
    refreshing.remove("many/3.csv")
    assert came_to(refreshing.refresh("many")) == "Updated"
    assert client.rows("SELECT n FROM many ORDER BY n") == [[1], [2]]


def test_a_table_of_the_data_database(refreshing: Refreshing, client: Client, world: World) -> None:
    with psycopg.connect(world.databases.data_dsn, autocommit=True) as data:
        data.execute("CREATE SCHEMA reference")
        data.execute(
            "CREATE TABLE reference.labels (address bytea NOT NULL, label text, seen timestamptz, on_chain boolean,"
            " big numeric(78,0), tags jsonb)"
        )
        row = "(decode('ab01','hex'), %s, '2024-01-01 12:00+02', true, 2::numeric ^ 255, '{\"a\": 1}')"
        data.execute(
            f"INSERT INTO reference.labels VALUES {row}, ('\\x00', NULL, NULL, NULL, NULL, NULL)", ['a\n"ü']
        )
        refreshing.declare("labels", table="reference.labels")
        first = refreshing.refresh("labels")
        assert came_to(first) == "Updated"
        assert client.rows("SELECT * FROM labels ORDER BY address DESC") == [
            ["0xab01", 'a\n"ü', "2024-01-01T10:00:00.000000Z", True, str(2**255), '{"a": 1}'],
            ["0x00", None, None, None, None, None],
        ]
        # The order in which rows lie is no content.
        data.execute("UPDATE reference.labels SET label = label")
        assert came_to(refreshing.refresh("labels")) == "Unchanged"
        data.execute("UPDATE reference.labels SET label = '' WHERE label IS NULL")
        assert came_to(refreshing.refresh("labels")) == "Updated"
        assert client.rows("SELECT label FROM labels ORDER BY address") == [[""], ['a\n"ü']]


FLOAT, REQUIRED = "Float64", "Float64 NOT NULL"


@pytest.mark.parametrize(
    ("body", "columns", "code", "words"),
    [
        ("day,price\n1,1\n2,1,2\n", None, "Unreadable", "x/a.csv, line 3: 3 fields, where the header has 2"),
        ('day,price\n1,"1\n', None, "Unreadable", "x/a.csv, line 2: a quote that is not closed"),
        ("day,price\n1,\n2,much\n", FLOAT, "BadValue", "x/a.csv, row 2, column price: 'much' is no Float64"),
        ("day,price\n1,1\n2,\n", REQUIRED, "BadValue", "x/a.csv, row 2, column price: no value"),
        ("day,price\n", None, "Empty", "no rows"),
        ("", None, "Unreadable", "x/a.csv, line 1: no header"),
        (b"day,price\n1,\xff\n", None, "Unreadable", "x/a.csv, line 2: not UTF-8"),
        ("day\n1\n", FLOAT, "BadColumn", "x/a.csv has no column price; it has day"),
        ("day,price,Price\n1,2,3\n", None, "BadColumn", "two columns are called price"),
    ],
    ids=lambda given: given.replace("\n", " ") if isinstance(given, str) else None,
)
def test_bad_content_changes_nothing_and_says_where(
    refreshing: Refreshing,
    client: Client,
    body: str | bytes,
    columns: str | None,
    code: str,
    words: tuple[str, ...],
) -> None:
    declared = None
    if columns is not None:
        kind, nullable = columns.removesuffix(" NOT NULL"), not columns.endswith("NOT NULL")
        declared = [{"name": "price", "type": kind, "nullable": nullable, "pii": False}]
    uri = refreshing.put("x/a.csv", "day,price\n2024-01-01,1.25\n")
    refreshing.declare("x", uri=uri, columns=declared)
    good = refreshing.refresh("x")
    assert came_to(good) == "Updated"
    refreshing.put("x/a.csv", body)
    bad = refreshing.refresh("x")
    found, message = failure(bad)
    assert found == code, message
    assert words in message
    assert bad.version == good.version
    assert client.rows("SELECT price FROM x") == [[1.25]]


def test_what_is_missing_or_too_large_is_refused(world: World, tmp_path: Path) -> None:
    made = Refreshing(world, tmp_path, external_max_mb=1, external_max_rows=3)
    try:
        made.declare("none", uri=f"s3://{world.bucket}/none/")
        assert failure(made.refresh("none"))[0] == "Empty"
        made.declare("rows", uri=made.put("rows/a.csv", "n\n1\n2\n3\n4\n"))
        assert "more than 3 rows; raise TRACE_EXTERNAL_MAX_ROWS" in failure(made.refresh("rows"))[1]
        made.declare("bytes", uri=made.put("bytes/a.csv", "n\n" + "1" * (1 << 20)))
        assert "over 1 MiB" in failure(made.refresh("bytes"))[1]
        made.declare("pdf", uri=made.put("pdf/a.pdf", "no data"))
        assert failure(made.refresh("pdf"))[0] == "BadFormat"
        assert made.standing("pdf").version is None
    finally:
        made.close()


@pytest.mark.parametrize(
    "source",
    [
        {"uri": "s3://elsewhere/prices/"},
        {"uri": "s3://{bucket}/"},
        {"uri": "s3://{bucket}/*"},
        {"uri": "s3://{bucket}/*/secret.parquet"},
        {"uri": "s3://{bucket}/{org}/default/monad/"},
        {"uri": "s3://{bucket}/exports/{org}/"},
        {"uri": "s3://{bucket}/prices/../{org}/"},
        {"table": "hot.d_1"},
        {"table": "trace.query_results"},
        {"table": "pg_catalog.pg_authid"},
        {"table": "information_schema.tables"},
    ],
)
def test_the_walls_hold_where_the_refresh_runs(refreshing: Refreshing, source: dict[str, str]) -> None:
    told = {k: v.format(bucket=refreshing.world.bucket, org=services.ORG_ID) for k, v in source.items()}
    refreshing.declare("walled", **told)
    code, message = failure(refreshing.refresh("walled"))
    assert code == "NotAllowed"
    assert message.startswith(f"spec.external.{next(iter(source))}: ")
