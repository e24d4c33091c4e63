"""The operator `query` against a real query service: what it commits, what it refuses, and how it ends."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from tests.integration.query.answers import differential, rows
from tests.integration.query.answers.grammar import Grammar
from tests.integration.query.callers import ENDLESS
from tests.integration.query.cells import cells_of
from tests.integration.query.conftest import Client
from tests.integration.query.operator_bench import BLOCKS, CONFIG, Bench
from tests.integration.query.signer import Signer
from tests.integration.query.world import NAMESPACE, World, block_hash
from tests.support.waiting import until
from traceplane.graph import JobStatement
from traceplane.graph.statements import Relation
from traceplane.query.validation import StatementChecker
from traceplane_sdk import wire
from traceplane_sdk.control import Control
from traceplane_sdk.errors import OperatorError, Stopped, StopReason
from traceplane_sdk.operator import Column, ColumnType, OutputSchema, Statement, Storage
from traceplane_sdk.queries import QueryService

pytestmark = pytest.mark.services


@pytest.fixture
def client(start_service: Callable[..., Client], signer: Signer) -> Client:
    return start_service(dispatcher_url=signer.url)


@pytest.fixture
def bench(world: World, signer: Signer, tmp_path: Path) -> Bench:
    return Bench(world, signer, tmp_path)


def test_a_partition_of_hot_and_cold_rows_is_committed(world: World, client: Client, bench: Bench) -> None:
    hot, cold = world.federated()
    world.follow(hot, 0, 99)
    world.compact(hot, cold, 0, 49)
    completion, table, manifest = bench.committed(bench.run(client, 40, 59, hot, cold))
    assert table.column("block_number").to_pylist() == list(range(40, 60))
    assert table.column("hash").to_pylist() == [block_hash(number) for number in range(40, 60)]
    assert manifest["rows"] == 20
    assert [(event.output, event.partition) for event in completion.events] == [
        ("found", wire.Partition("40-59", 40, 59))
    ]
    assert [field.nullable for field in table.schema] == [False, False, False, False, True]
    assert table.schema.field("value").metadata[b"trace.type"] == b"UInt256"


@pytest.mark.parametrize("end", [";", "; -- the end", ";;", "-- the end", " /* ; */ ;\n-- ;\n"])
def test_a_statement_may_end_in_semicolons_and_comments(
    world: World, client: Client, bench: Bench, end: str
) -> None:
    hot, cold = world.federated()
    world.follow(hot, 0, 99)
    _, table, _ = bench.committed(bench.run(client, 40, 59, hot, cold, sql=CONFIG["sql"] + end))
    assert table.column("block_number").to_pylist() == list(range(40, 60))


def test_a_text_that_looks_like_a_parameter_stays_a_text(world: World, client: Client, bench: Bench) -> None:
    hot, cold = world.federated()
    world.follow(hot, 0, 99)
    sql = CONFIG["sql"].replace("note FROM", "'$partition_start' AS note FROM")
    _, table, _ = bench.committed(bench.run(client, 40, 59, hot, cold, sql=sql))
    assert set(table.column("note").to_pylist()) == {"$partition_start"}


def test_what_the_service_runs_passes_validation_and_what_it_refuses_does_not(
    world: World, client: Client, bench: Bench
) -> None:
    """Made-up statements with the types that the service gives their answers, and the same with a letter lost."""
    tables = rows.chain(differential.ROWS_SEED)
    rows.fill(world, tables)
    relations = tuple(
        Relation("none", tier + name, (tier + name,), replace(BLOCKS, columns=rows.columns_of(name)))
        for name in tables
        for tier in rows.TIERS
    )
    source, seen = random.Random(7), {True: 0, False: 0}
    with StatementChecker() as checker:
        for _ in range(40):
            right = str(Grammar(source, tables).statement())
            cut = source.randrange(len(right))
            for sql in (right, right[:cut] + right[cut + 1 :]):
                answer = client.post(sql)
                runs = answer.status_code in (200, 303)
                if not runs and answer.json()["code"] == "QueryFailed":
                    continue  # over a value, which validation has none of
                given = answer.json()["columns"] if runs else [{"name": "x", "type": "BIGINT"}]
                columns = [Column(name, ColumnType.TEXT) for name in {one["name"].lower() for one in given}]
                output = OutputSchema(Storage.S3, tuple(columns), (), columns[0].name, ())
                fault = checker(
                    JobStatement(NAMESPACE, Statement("config.sql", sql, (), output, "config.columns"), relations)
                )
                assert (fault is None) == runs, (sql, fault, answer.text[:500])
                seen[runs] += 1
    assert min(seen.values()) > 10, seen


def test_an_answer_beyond_the_inline_bounds_comes_whole(
    world: World, start_service: Callable[..., Client], signer: Signer, bench: Bench
) -> None:
    client = start_service(
        dispatcher_url=signer.url, query_max_rows=10, s3_public_endpoint_url="http://127.0.0.1:1"
    )
    hot, cold = world.federated()
    world.follow(hot, 0, 99)
    _, table, _ = bench.committed(bench.run(client, 0, 99, hot, cold))
    assert table.column("block_number").to_pylist() == list(range(100))


def test_a_partition_without_rows_is_committed_empty(world: World, client: Client, bench: Bench) -> None:
    hot, cold = world.federated()
    world.follow(hot, 0, 9)
    completion, table, _ = bench.committed(bench.run(client, 500, 599, hot, cold))
    assert (table.num_rows, completion.outputs[0].rows) == (0, 0)
    assert table.schema.names == [column["name"] for column in CONFIG["columns"]]


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SELECT * FROM other_blocks", "RelationNotFound"),
        ("DROP TABLE blocks", "NotOneSelect"),
        ("SELECT 1; SELECT 2", "NotOneSelect"),
        ("SELECT * FROM read_csv('/etc/passwd')", "FunctionNotAllowed"),
        ("SELECT block_number FROM blocks", "InvalidQuery"),
        (CONFIG["sql"].replace("hash,", "'x' AS block_number2, hash[:0] AS hash,"), "TextOutOfForm"),
        (
            "SELECT 1 AS block_number, '0x' AS hash, 0 AS value, now() AS mined_at, NULL AS note",
            "RowOutsidePartition",
        ),
        (CONFIG["sql"].replace("note FROM", "note FROM range(2),"), "RowTwice"),
        (CONFIG["sql"].replace("hash,", "NULL AS hash,"), "NullInAnswer"),
        ("SELECT 'many' AS block_number, '0x' AS hash, 0 AS value, now() AS mined_at, '' AS note", "QueryFailed"),
    ],
)
def test_a_wrong_statement_commits_nothing_and_is_not_tried_again(
    world: World, client: Client, bench: Bench, sql: str, code: str
) -> None:
    hot, cold = world.federated()
    world.follow(hot, 0, 99)
    error = bench.failed(bench.run(client, 40, 59, hot, cold, sql=sql))
    assert (error.code, error.retryable) == (code, False), error
    assert sql[:16] not in error.message, "logs hold the message, and no SQL"
    listed = world.store.client().list_objects_v2(Bucket=world.bucket).get("Contents", [])
    assert not [found["Key"] for found in listed if "/found/" in found["Key"]]


def test_a_hot_input_is_read_where_its_rows_are_and_the_cold_one_need_be_no_input(
    world: World, client: Client, bench: Bench
) -> None:
    hot, cold = world.federated()
    world.follow(hot, 0, 99)
    sql = CONFIG["sql"].replace("FROM blocks", "FROM hot_blocks")
    _, before, _ = bench.committed(bench.run(client, 40, 59, hot, sql=sql))
    world.compact(hot, cold, 0, 49)
    world.compact(hot, world.retained(cold), 30, 54)
    world.forget(hot, 0, 54)
    moved = {"blocks": [wire.Relocated(str(cold), [(0, 49)])]}
    _, after, _ = bench.committed(bench.run(client, 40, 59, hot, sql=sql, relocated=moved))
    assert after.equals(before)
    assert after.column("block_number").to_pylist() == list(range(40, 60))


def test_a_service_that_is_away_is_waited_for_and_then_named(client: Client, bench: Bench) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(503, json={})

    fence = wire.Fence("00000000-0000-4000-8000-000000000001", 1, "00000000-0000-4000-8000-000000000000")
    service = QueryService(
        client.url, lambda: (fence, "t"), Control(), patience=1, transport=httpx.MockTransport(answer)
    )
    with pytest.raises(OperatorError) as failed:
        service.ask("SELECT 1", bench.tmp_path / "x.parquet")
    assert (failed.value.code, failed.value.retryable) == ("QueryServiceUnavailable", True)
    assert len(asked) > 1


def test_a_file_that_comes_with_another_hash_is_not_taken(client: Client, bench: Bench) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, content=b"other")
        output = {"url": "http://store/x", "bytes": 5, "sha256": "0" * 64}
        return httpx.Response(303, json={"output": output, "row_count": 1, "truncated": False})

    fence = wire.Fence("00000000-0000-4000-8000-000000000001", 1, "00000000-0000-4000-8000-000000000000")
    service = QueryService(
        client.url, lambda: (fence, "t"), Control(), patience=0.5, transport=httpx.MockTransport(answer)
    )
    with pytest.raises(OperatorError, match="another hash"):
        service.ask("SELECT 1", bench.tmp_path / "x.parquet")


def test_a_run_that_is_to_stop_ends_its_query(world: World, client: Client, bench: Bench) -> None:
    hot, _ = world.federated()
    service = bench.service(client, "00000000-0000-4000-8000-000000000001", hot)
    until(lambda: len(cells_of(client)) == client.service.settings.query_concurrency)
    idle = set(cells_of(client))
    ended: list[BaseException] = []

    def ask() -> None:
        try:
            service.ask(ENDLESS, bench.tmp_path / "x.parquet")
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    until(lambda: len(client.service.cells._waiting) < len(idle))
    bench.control.stop(StopReason.DRAINING)
    thread.join(20)
    assert isinstance(ended[0], Stopped)
    until(lambda: client.service.admission.running == 0 and bool(idle - set(cells_of(client))))
