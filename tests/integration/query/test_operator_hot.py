"""The operator `query` into a hot table: slices of what became final, whole partitions, and what it refuses."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import duckdb
import pytest

from operators.query import hot as operator_hot
from tests.integration.operators.workbench import JobUnderTest
from tests.integration.query.conftest import Client
from tests.integration.query.operator_bench import Bench
from tests.integration.query.signer import Signer
from tests.integration.query.world import World, block_hash, value_of
from traceplane_sdk import crashpoints, wire

pytestmark = pytest.mark.services

STATEMENT = (
    "SELECT block_number, hash, value, mined_at, note FROM blocks"
    " WHERE block_number BETWEEN $partition_start AND $partition_end AND block_number % 3 <> 1"
)

KILLED = [crashpoints.HOT_FENCED, crashpoints.HOT_WRITTEN, crashpoints.HOT_BEFORE_COMMIT, crashpoints.HOT_COMMITTED]


@pytest.fixture
def client(start_service: Callable[..., Client], signer: Signer) -> Client:
    return start_service(dispatcher_url=signer.url)


@pytest.fixture
def bench(world: World, signer: Signer, tmp_path: Path) -> Bench:
    return Bench(world, signer, tmp_path)


@pytest.fixture
def source(world: World) -> UUID:
    """100 hot blocks."""
    hot = world.dataset("follow", "Postgres", "blocks")
    world.follow(hot, 0, 99)
    return hot


def stored(world: World, table: str) -> list[tuple[Any, ...]]:
    return world.data.execute(f"SELECT block_number, hash, value, note FROM {table} ORDER BY 1").fetchall()


def note(number: int) -> str | None:
    return None if number % 3 else f"note {number}"


def expected(last: int) -> list[tuple[Any, ...]]:
    return [
        (number, block_hash(number), value_of(number), note(number))
        for number in range(last + 1)
        if number % 3 != 1
    ]


def announced(world: World) -> list[dict[str, Any]]:
    found = world.data.execute(
        "SELECT payload FROM trace.source_outbox WHERE kind = 'Event' ORDER BY created_at, id"
    )
    return [row[0] for row in found.fetchall()]


def recorded_as_empty(world: World, job: JobUnderTest) -> int:
    """How many values of the scope column are known to have no row."""
    version = UUID(job.dataset("found").version)
    found = world.data.execute(
        "SELECT sum(high - low + 1)::int8 FROM trace.empty_ranges WHERE dataset_version_id = %s", (version,)
    ).fetchone()
    return found[0] if found else 0


def per_update(bench: Bench, client: Client, source: UUID, **changed: Any) -> tuple[Any, Callable[..., Any]]:
    given = {"sql": STATEMENT, "sliceSize": 7, "finality_depth": 10, "first_value": 0, **changed}
    return bench.hot(client, source, execution_strategy="PerUpdate", **given)


@pytest.mark.parametrize("strategy", ["Replace", "Append"])
def test_runs_at_random_heads_answer_for_each_final_slice_once_and_whole(
    world: World, client: Client, bench: Bench, source: UUID, strategy: str
) -> None:
    job, run = per_update(bench, client, source, update_strategy=strategy)
    location = job.dataset("found").location
    chosen = random.Random(3)
    head, after = -1, None
    while head < 99:
        head = min(99, head + chosen.randrange(1, 25))
        done = run(cursor=wire.CursorSpan(after, head))
        assert done.status == "Completed", done.error
        after = head
        assert stored(world, location) == expected(max(head - 10 + 1, 0) // 7 * 7 - 1)
    ends = [event["cursor"] for event in announced(world)]
    assert ends == list(range(6, 84, 7)), "89 is final, and 90 ends the slice"
    assert all(event["final"] == event["cursor"] for event in announced(world))
    again = run(cursor=wire.CursorSpan(99, 99), final=99)
    assert (again.status, stored(world, location)) == ("Completed", expected(97))


def test_when_it_looked_decides_no_row(world: World, client: Client, bench: Bench, source: UUID) -> None:
    sql = "SELECT $partition_start AS block_number, min(hash) AS hash, count(*) AS value, now() AS mined_at,"
    sql += " NULL AS note FROM blocks WHERE block_number BETWEEN $partition_start AND $partition_end"
    tables = []
    for heads in ([99], [12, 45, 46, 99]):
        job, run = per_update(bench, client, source, sql=sql, sliceSize=20, finality_depth=0)
        for head in heads:
            assert run(cursor=wire.CursorSpan(None, head)).status == "Completed"
        tables.append(stored(world, job.dataset("found").location))
    assert [row[0] for row in tables[0]] == [0, 20, 40, 60, 80]
    assert tables[0] == tables[1]


def test_a_run_that_died_midway_is_gone_on_with(world: World, client: Client, bench: Bench, source: UUID) -> None:
    job, run = per_update(bench, client, source, finality_depth=0)
    run(cursor=wire.CursorSpan(None, 40))  # its completion was never accepted, so the cursor is where it was
    before = len(announced(world))
    assert run(cursor=wire.CursorSpan(None, 69)).status == "Completed"
    assert stored(world, job.dataset("found").location) == expected(69)
    assert [event["cursor"] for event in announced(world)[before:]] == [41, 48, 55, 62, 69]


def test_values_without_a_row_are_recorded_so_that_they_are_no_holes(
    world: World, client: Client, bench: Bench, source: UUID
) -> None:
    job, run = per_update(bench, client, source, finality_depth=0)
    assert run(cursor=wire.CursorSpan(None, 13)).status == "Completed"
    assert recorded_as_empty(world, job) == 14 - len(expected(13))


def test_a_range_that_was_compacted_is_not_written_again(
    world: World, client: Client, bench: Bench, source: UUID
) -> None:
    job, run = bench.hot(client, source, sql=STATEMENT)
    moved = {"found": [wire.Relocated(str(source), [(0, 9)])]}
    refused = run(partition=wire.Partition("5-14", 5, 14), moved=moved)
    assert refused.error is not None
    assert (refused.error.code, refused.error.retryable) == ("RangeRelocated", False)
    assert stored(world, job.dataset("found").location) == []
    assert run(partition=wire.Partition("10-19", 10, 19), moved=moved).status == "Completed"


def test_a_partition_replaces_its_range_and_no_other(
    world: World, client: Client, bench: Bench, source: UUID
) -> None:
    job, run = bench.hot(client, source, sql=STATEMENT)
    for start in (0, 20, 10, 10):
        assert run(partition=wire.Partition(f"{start}-{start + 9}", start, start + 9)).status == "Completed"
    assert stored(world, job.dataset("found").location) == expected(29)
    assert [event["partition"]["key"] for event in announced(world)] == ["0-9", "20-29", "10-19", "10-19"]


class Plain:
    """The same blocks and statement in DuckDB alone: rows are added by their key, and a correction writes anew."""

    def __init__(self, last: int) -> None:
        self.db = duckdb.connect()
        columns = "block_number BIGINT, hash TEXT, value TEXT, mined_at TEXT, note TEXT"
        self.db.execute(f"CREATE TABLE blocks ({columns})")
        self.db.execute(f"CREATE TABLE found ({columns}, UNIQUE (block_number))")
        self.follow(0, last)

    def follow(self, first: int, last: int) -> None:
        blocks = [
            (number, block_hash(number), str(value_of(number)), note(number)) for number in range(first, last + 1)
        ]
        self.db.executemany("INSERT INTO blocks SELECT $1, $2, $3, '', $4", blocks)

    def answer(self, part: wire.Partition, *, corrected: bool) -> None:
        scope = {"partition_start": part.start, "partition_end": part.end}
        if corrected:
            self.db.execute(
                "DELETE FROM found WHERE block_number BETWEEN $partition_start AND $partition_end", scope
            )
        self.db.execute(f"INSERT INTO found {STATEMENT} ON CONFLICT DO NOTHING", scope)

    def rows(self) -> list[tuple[Any, ...]]:
        found = self.db.execute("SELECT block_number, hash, value, note FROM found ORDER BY 1").fetchall()
        return [(number, hash_, int(value), said) for number, hash_, value, said in found]


def test_rows_are_added_as_in_plain_duckdb_whatever_is_repeated_killed_or_corrected(
    world: World, client: Client, bench: Bench
) -> None:
    hot = world.dataset("follow", "Postgres", "blocks")
    world.follow(hot, 0, 59)
    plain, chosen = Plain(59), random.Random(11)
    job, run = bench.hot(client, hot, sql=STATEMENT, update_strategy="Append")
    seen: set[str] = set()

    def kill(at: str) -> Callable[[str], None]:
        def reached(point: str) -> None:
            if point == at:
                seen.add(at)
                raise RuntimeError("killed")

        return reached

    for turn in range(9):
        if turn == 4:  # partitions that were answered for have more rows now, fewer, and others
            world.follow(hot, 60, 99)
            plain.follow(60, 99)
            for db, table in ((world.data, f"hot.d_{hot.hex}"), (plain.db, "blocks")):
                db.execute(f"UPDATE {table} SET note = 'other' WHERE block_number % 6 = 0")
                db.execute(f"DELETE FROM {table} WHERE block_number % 10 = 3")
        corrected = turn in (2, 6, 8)
        start = chosen.randrange(20 if corrected else 90)
        end = start + chosen.randrange(30) + 40 * corrected
        part = wire.Partition(f"{start}-{end}", start, end)
        task = {"task_id": str(uuid4()), "partition": part, "cause": "Invalidation" if corrected else "Event"}
        for point in chosen.sample(KILLED, chosen.randrange(3)):
            assert run(crash_point=kill(point), **task).status == "Failed"
        done = run(**task)
        assert done.status == "Completed", done.error
        plain.answer(part, corrected=corrected)
        assert stored(world, job.dataset("found").location) == plain.rows(), part.key
    assert seen == set(KILLED)


def test_a_job_that_lost_its_place_adds_no_row_twice(
    world: World, client: Client, bench: Bench, source: UUID
) -> None:
    job, run = per_update(bench, client, source, finality_depth=0, update_strategy="Append")
    assert run(cursor=wire.CursorSpan(None, 40)).status == "Completed"
    world.data.execute("UPDATE trace.write_fences SET position = NULL")
    assert run(cursor=wire.CursorSpan(None, 69)).status == "Completed"
    assert stored(world, job.dataset("found").location) == expected(69)
    assert recorded_as_empty(world, job) == 70 - len(expected(69))


def test_a_wrong_answer_leaves_the_table_as_it_was(
    world: World, client: Client, bench: Bench, source: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, run = bench.hot(client, source, sql=STATEMENT.replace(" AND block_number % 3 <> 1", ""))
    assert run(partition=wire.Partition("0-9", 0, 9)).status == "Completed"
    before = stored(world, job.dataset("found").location)
    monkeypatch.setattr(operator_hot, "MAX_ROWS", 9)
    refused = run(partition=wire.Partition("0-9", 0, 9))
    assert refused.error is not None
    assert (refused.error.code, refused.error.retryable) == ("AnswerTooLarge", False)
    assert "lower config.sliceSize" in refused.error.message
    _, outside = bench.hot(client, source, sql="SELECT 99 AS block_number, '0x' AS hash, 1 AS value,"
                           " now() AS mined_at, NULL AS note")  # fmt: skip
    failed = outside(partition=wire.Partition("0-9", 0, 9))
    assert failed.error is not None
    assert failed.error.code == "RowOutsidePartition"
    assert stored(world, job.dataset("found").location) == before
