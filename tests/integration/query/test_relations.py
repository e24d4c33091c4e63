"""What relations hold: hot, cold and both as one, also while rows move."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.integration.query.conftest import Client
from tests.integration.query.world import World, block_hash, value_of
from tests.issuer import Issuer
from tests.support import scrape

pytestmark = pytest.mark.services


def test_federated_relation_is_cold_files_and_hot_rows(world: World, client: Client) -> None:
    hot, cold = world.federated()
    world.follow(hot, 0, 2999)
    world.compact(hot, cold, 0, 999)
    world.compact(hot, cold, 1000, 1999)
    world.forget(hot, 0, 999)
    answer = client.post("SELECT block_number, hash, value FROM blocks ORDER BY block_number")
    assert answer.status_code == 200, answer.text
    assert answer.json()["rows"] == [[n, block_hash(n), str(value_of(n))] for n in range(3000)]
    assert answer.json()["columns"][0] == {"name": "block_number", "type": "BIGINT"}
    used = {entry["version"]: entry for entry in answer.json()["versions"]}
    assert used[str(cold)]["files"] == 2
    assert used[str(hot)]["hot_rows"] == 1000


def test_plain_hot_asset_reads_through_its_relocations(world: World, client: Client) -> None:
    hot, cold = world.federated()
    world.follow(hot, 0, 1999)
    world.compact(hot, cold, 0, 999)
    world.forget(hot, 0, 999)
    assert client.rows("SELECT count(*), min(block_number), max(block_number) FROM hot_blocks") == [[2000, 0, 1999]]


@pytest.mark.parametrize(
    ("condition", "count"),
    [
        ("mined_at < 'infinity'", 10),
        ("mined_at > '-infinity'", 10),
        ("mined_at < TIMESTAMPTZ '20000-01-01'", 10),
        ("mined_at < TIMESTAMPTZ '0044-03-15 (BC) 00:00:00+00'", 0),
        ("mined_at < 'infinity' AND block_number >= 5", 5),
    ],
)
def test_hot_rows_are_compared_with_times_beyond_the_calendar(
    condition: str, count: int, world: World, client: Client
) -> None:
    hot, _ = world.federated()
    world.follow(hot, 0, 9)
    assert client.rows(f"SELECT count(*) FROM hot_blocks WHERE {condition}") == [[count]]


def test_plain_cold_asset_is_its_current_partitions(world: World, client: Client) -> None:
    hot, cold = world.federated()
    world.follow(hot, 0, 1999)
    world.compact(hot, cold, 0, 999)
    assert client.rows("SELECT count(*), max(block_number) FROM cold_blocks") == [[1000, 999]]


def test_cold_asset_without_partitions_and_empty_hot_table_are_empty_relations(
    world: World, client: Client
) -> None:
    world.federated()
    for name in ("blocks", "hot_blocks", "cold_blocks"):
        assert client.rows(f"SELECT count(*), max(hash) FROM {name}") == [[0, None]]


def test_every_query_sees_every_row_once_while_ranges_move(world: World, client: Client) -> None:
    """A mover relocates range after range, and deletes hot rows only of ranges relocated before the last query
    began, as the janitor's delay has it. Blocks keep coming. No answer may miss a row or have one twice."""
    hot, cold = world.federated()
    size, ranges = 200, 60
    world.follow(hot, 0, size * ranges - 1)
    stop, head = threading.Event(), [size * ranges - 1]
    moved: list[int] = []
    failures: list[BaseException] = []

    def move() -> None:
        mover = World.__new__(World)
        mover.__dict__.update(world.__dict__)
        try:
            import psycopg

            with (
                psycopg.connect(world.databases.state_dsn, autocommit=True) as mover.state,
                psycopg.connect(world.databases.data_dsn, autocommit=True) as mover.data,
            ):
                for index in range(ranges):
                    if stop.is_set():
                        return
                    mover.compact(hot, cold, index * size, (index + 1) * size - 1)
                    moved.append(index)
                    mover.follow(hot, head[0] + 1, head[0] + 10)
                    head[0] += 10
        except BaseException as error:
            failures.append(error)

    assert client.rows("SELECT count(*) FROM blocks") == [[size * ranges]]  # the service is warm when it begins
    mover = threading.Thread(target=move)
    mover.start()
    forgotten, seams = 0, set()
    sql = (
        "SELECT count(*), count(DISTINCT block_number), min(block_number), max(block_number), sum(block_number),"
        " count(DISTINCT hash) FROM blocks"
    )
    while mover.is_alive() or len(seams) < 3:
        settled, low = len(moved), head[0]
        answer = client.post(sql).json()
        count, distinct, first, last, total, hashes = answer["rows"][0]
        assert last >= low
        assert (count, distinct, first, hashes) == (last + 1, last + 1, 0, last + 1)
        assert total == last * (last + 1) // 2
        seams.add(sum(entry["files"] for entry in answer["versions"]))
        for index in moved[forgotten:settled]:
            world.forget(hot, index * size, (index + 1) * size - 1)
        forgotten = settled
        if not mover.is_alive() and len(seams) < 3:
            break
    mover.join()
    assert not failures
    assert len(seams) >= 3, "the mover was too fast for the queries to see it at work"


def test_a_snapshot_is_taken_when_it_is_opened_and_not_when_it_is_first_read(world: World, client: Client) -> None:
    """What comes between the two is the catalog, which must be read second."""
    hot, _cold = world.federated()
    world.follow(hot, 0, 9)
    with client.service.databases.snapshot(30) as snapshot:
        world.follow(hot, 10, 19)
        _, heads = snapshot.export([(f"hot.d_{hot.hex}", "block_number")])
    assert heads == [9]


def test_a_relocated_range_is_read_once_before_its_hot_rows_are_deleted(world: World, client: Client) -> None:
    hot, cold = world.federated()
    world.follow(hot, 0, 99)
    world.compact(hot, cold, 0, 49)
    assert client.rows("SELECT count(*), count(DISTINCT block_number) FROM blocks") == [[100, 100]]


def test_partitions_outside_the_filter_are_not_fetched(world: World, client: Client) -> None:
    hot, cold = world.federated()
    for start in range(0, 10_000, 1000):
        world.compact(hot, cold, start, start + 999)
    answer = client.post("SELECT count(*) FROM blocks WHERE block_number BETWEEN 2500 AND 3400").json()
    assert answer["rows"] == [[901]]
    assert sum(entry["files"] for entry in answer["versions"]) == 2
    assert len(list((client.service.settings.query_cache_dir / "files").iterdir())) == 2


def test_filters_reach_postgres(world: World, client: Client) -> None:
    hot = world.dataset("follow", "Postgres", "hot-blocks")
    world.follow(hot, 0, 4999)
    for where, expected in {
        "block_number BETWEEN 100 AND 199": 100,
        "block_number IN (1, 5, 77)": 3,
        "block_number = 5 OR block_number = 7": 2,
        f"hash = '{block_hash(42)}'": 1,
        "mined_at >= TIMESTAMPTZ '2026-01-01 00:10:00+00' AND mined_at < TIMESTAMPTZ '2026-01-01 00:11:00+00'": 60,
        "date_trunc('minute', mined_at) = TIMESTAMPTZ '2026-01-01 00:01:00+00' AND block_number < 1000": 60,
        "big AND block_number < 10": 5,
        "note IS NULL": 3333,
        "note >= 'note 99' AND note IS NOT NULL": 5,
        "note LIKE 'note 1%' AND block_number < 100": 3,  # 12, 15, 18
        f"value = '{value_of(9)}'": 1,
        "value::DOUBLE > 4.9985e63": 1,
        "hash > '0xff'": sum(block_hash(n) > "0xff" for n in range(5000)),
        "NOT (block_number < 4990 OR note IS NULL)": sum(n % 3 == 0 for n in range(4990, 5000)),
    }.items():
        answer = client.post(f"SELECT count(*) FROM hot_blocks WHERE {where}").json()
        assert answer["rows"] == [[expected]], where
    shipped = client.post("SELECT hash FROM hot_blocks WHERE block_number BETWEEN 100 AND 199").json()
    assert [entry["hot_rows"] for entry in shipped["versions"]] == [100]


def test_relations_join_and_repeat(world: World, client: Client) -> None:
    hot, cold = world.federated()
    world.follow(hot, 0, 999)
    world.compact(hot, cold, 0, 499)
    joined = "SELECT count(*) FROM blocks a JOIN blocks b ON a.block_number = b.block_number + 1"
    assert client.rows(joined) == [[999]]
    several = (
        "SELECT (SELECT max(block_number) FROM cold_blocks), (SELECT value FROM hot_blocks WHERE block_number = 3),"
        " count(*) FROM blocks"
    )
    assert client.rows(several) == [[499, str(value_of(3)), 1000]]
    positional = "SELECT count(*) FROM hot_blocks POSITIONAL JOIN (FROM hot_blocks ORDER BY hash) b"
    assert client.rows(positional) == [[1000]]
    early = "(SELECT block_number FROM hot_blocks LIMIT 1) UNION ALL (SELECT block_number FROM hot_blocks LIMIT 1)"
    assert len(client.rows(early)) == 2


def test_unqualified_names_are_looked_up_in_the_namespace_of_the_request(world: World, client: Client) -> None:
    world.federated()
    assert client.rows('SELECT count(*) FROM "default".blocks AS b, blocks AS c') == [[0]]
    assert client.rows("SELECT count(*) FROM BLOCKS") == [[0]]
    assert client.refused("FROM blocks", namespace="other") == (404, "RelationNotFound")
    assert client.rows('SELECT count(*) FROM "default".blocks', namespace="other") == [[0]]


def test_assets_of_other_roles_are_answered_as_not_found(world: World, client: Client, oidc: Issuer) -> None:
    world.federated()
    world.policy("hot-blocks", "Postgres", roles=["finance"])
    world.user(oidc.url, "fiona", "reader", "finance")
    hidden = client.post("FROM hot_blocks").json()
    missing = client.post("FROM not_blocks").json()
    assert hidden["status"] == 404
    assert {**hidden, "detail": "", "name": ""} == {**missing, "detail": "", "name": ""}
    fiona = Client(client.url, oidc.token("fiona"), client.service)
    assert fiona.rows("SELECT count(*) FROM hot_blocks") == [[0]]


def test_a_federated_asset_needs_a_role_of_its_own_and_of_each_half(
    world: World, client: Client, oidc: Issuer
) -> None:
    world.federated()
    world.policy("hot-blocks", "Postgres", roles=["finance", "sales"])
    world.policy("cold-blocks", "S3", roles=["audit"])
    world.state.execute("UPDATE assets SET read_roles = '{chain}' WHERE name = 'blocks'")
    closed = {
        "none": (),
        "own": ("chain",),
        "hot": ("finance",),
        "cold": ("audit",),
        "halves": ("finance", "audit"),
        "own-and-hot": ("chain", "sales"),
        "own-and-cold": ("chain", "audit"),
    }
    for subject, roles in closed.items():
        world.user(oidc.url, subject, "reader", *roles)
        refused = Client(client.url, oidc.token(subject), client.service).refused("SELECT count(*) FROM blocks")
        assert refused == (404, "RelationNotFound"), subject
    world.user(oidc.url, "all", "reader", "chain", "sales", "audit")
    assert Client(client.url, oidc.token("all"), client.service).rows("SELECT count(*) FROM blocks") == [[0]]


def test_a_cold_file_that_differs_from_its_manifest_is_never_read(world: World, client: Client) -> None:
    _, cold = world.federated()
    location, files, size = world.write_cold(cold, 0, 99)
    world.commit_partition(cold, 0, 99, location, [{**files[0], "sha256": "0" * 64}], size)
    assert client.refused("FROM cold_blocks") == (500, "DataCorrupt")
    assert client.rows("SELECT 1") == [[1]]


@pytest.mark.parametrize("path", ["../x.parquet", "/etc/passwd", "a/b.parquet", ".parquet", "s3://x/y.parquet"])
def test_a_manifest_cannot_name_a_file_elsewhere(path: str, world: World, client: Client) -> None:
    _, cold = world.federated()
    location, files, size = world.write_cold(cold, 0, 99)
    world.commit_partition(cold, 0, 99, location, [{**files[0], "path": path}], size)
    assert client.refused("FROM cold_blocks") == (500, "DataCorrupt")


def test_relocated_rows_without_their_files_are_an_error_and_not_a_gap(world: World, client: Client) -> None:
    hot, cold = world.federated()
    world.follow(hot, 0, 99)
    world.compact(hot, cold, 0, 49)
    world.state.execute("UPDATE partition_versions SET superseded_at = now()")
    assert client.refused("SELECT count(*) FROM blocks") == (500, "DataMissing")


def test_answers_keep_every_digit(world: World, client: Client) -> None:
    hot = world.dataset("follow", "Postgres", "hot-blocks")
    world.follow(hot, 0, 9)
    row = client.rows(
        "SELECT 9223372036854775807::BIGINT, (-9223372036854775808)::BIGINT, 18446744073709551615::UBIGINT,"
        " 99999999999999999999999999999999999999::HUGEINT, sum(block_number), 1.10::DECIMAL(10,2), 0.1::DOUBLE,"
        " 'nan'::DOUBLE, '-inf'::FLOAT, '\\xDE\\xAD'::BLOB, DATE '2026-02-03', TIMESTAMP '2026-02-03 04:05:06.789',"
        " max(mined_at), INTERVAL 1 DAY, [1, NULL], {'a': 1, 'b': 'x'}, MAP {'k': 2}, NULL, true, max(value),"
        " '00000000-0000-7000-8000-000000000001'::UUID, TIME '01:02:03' FROM hot_blocks"
    )[0]
    assert row == [
        9223372036854775807,
        -9223372036854775808,
        18446744073709551615,
        99999999999999999999999999999999999999,
        45,
        "1.10",
        0.1,
        "NaN",
        "-Infinity",
        "0xdead",
        "2026-02-03",
        "2026-02-03T04:05:06.789000",
        "2026-01-01T00:00:09.000000Z",
        "1 day",
        [1, None],
        {"a": 1, "b": "x"},
        [["k", 2]],
        None,
        True,
        str(value_of(9)),
        "00000000-0000-7000-8000-000000000001",
        "01:02:03",
    ]


def test_csv_has_a_header_and_the_same_values(world: World, client: Client) -> None:
    hot = world.dataset("follow", "Postgres", "hot-blocks")
    world.follow(hot, 0, 3)
    answer = client.post("SELECT block_number AS n, note, big, [n] AS l FROM hot_blocks ORDER BY n", format="csv")
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["x-trace-row-count"] == "4"
    lines = answer.text.split("\r\n")
    assert lines == ["n,note,big,l", "0,note 0,true,[0]", "1,,false,[1]", "2,,true,[2]", "3,note 3,false,[3]", ""]


def test_an_active_version_that_changes_later_changes_later_queries_only(world: World, client: Client) -> None:
    hot = world.dataset("follow", "Postgres", "hot-blocks")
    world.follow(hot, 0, 9)
    assert client.rows("SELECT count(*) FROM hot_blocks") == [[10]]
    world.state.execute("UPDATE dag_current_versions SET active_version_id = NULL")
    assert client.refused("SELECT count(*) FROM hot_blocks") == (404, "RelationNotFound")


def test_a_missing_hot_table_is_unavailable_and_other_queries_run(
    world: World, start_service: Callable[..., Any]
) -> None:
    client = start_service()
    hot = world.dataset("follow", "Postgres", "hot-blocks")
    world.follow(hot, 0, 9)
    world.data.execute(f"DROP TABLE hot.d_{hot.hex}")
    assert client.refused("SELECT count(*) FROM hot_blocks") == (503, "Unavailable")
    assert client.rows("SELECT 1") == [[1]]


def test_health_readiness_and_metrics_need_no_token(client: Client) -> None:
    assert httpx.get(f"{client.url}/healthz", timeout=60).status_code == 200
    assert httpx.get(f"{client.url}/readyz", timeout=60).status_code == 200
    client.rows("SELECT 1")
    client.refused("SELECT getenv('HOME')")
    text = httpx.get(f"{client.url}/metrics", timeout=60).text
    scrape.check(text, "query")
    assert 'trace_query_seconds_count{code="OK",fault="none"} 1.0' in text
    assert 'trace_query_seconds_count{code="FunctionNotAllowed",fault="user"} 1.0' in text
    assert str(uuid4()) not in text


def test_an_address_as_explorers_write_it_is_refused_with_the_remedy(world: World, client: Client) -> None:
    hot, _ = world.federated()
    world.follow(hot, 0, 9)
    written = block_hash(3).upper().replace("X", "x")
    answer = client.post(f"SELECT block_number FROM blocks WHERE hash = '{written}' OR block_number = 5")
    assert (answer.status_code, answer.json()["code"]) == (400, "InvalidQuery")
    assert "write lower(" in answer.json()["detail"]
    assert client.rows(f"SELECT block_number FROM blocks WHERE hash = lower('{written}')") == [[3]]
