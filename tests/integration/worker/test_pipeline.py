"""The whole path as processes: dispatcher, follower and compaction workers over a real chain, database and store.

While blocks keep coming, processes are killed and restarted. In the end cold files and hot rows together must be
the chain: nothing lost, nothing doubled.
"""

from __future__ import annotations

import signal

import psycopg
import pytest

from tests import services
from tests.integration.operators.following import Activity
from tests.integration.worker import origins
from tests.integration.worker.pipelines import OUTPUTS, PATIENCE_SECONDS, RANGE, Pipeline
from traceplane.kit import crash
from traceplane.worker import process

pytestmark = pytest.mark.services


def test_blocks_travel_from_the_chain_to_cold_files(pipeline: Pipeline) -> None:
    head = Activity(pipeline.chain).blocks(34)
    pipeline.keep("follow")
    pipeline.keep("compact")
    pipeline.until("the head is stored", lambda: pipeline.stored() == head)
    pipeline.until("final ranges are cold", lambda: pipeline.compacted() == ["0-9", "10-19", "20-29"])
    pipeline.equals_chain()
    made_by_whom(pipeline)
    pipeline.until("hot rows of cold ranges are gone", lambda: _lowest(pipeline) == 30)
    pipeline.equals_chain()
    follower = pipeline.kept.pop("follow")
    follower.send_signal(signal.SIGTERM)
    assert follower.wait(PATIENCE_SECONDS) == 0
    [source] = pipeline.sql("select status, attempt from tasks where dedupe_key = 'source'")
    assert source["status"] == "Queued", "the drained source was handed back"
    pipeline.keep("follow")
    head = pipeline.chain.mine(3)
    pipeline.until("a new worker went on", lambda: pipeline.stored() == head)
    pipeline.equals_chain()
    assert _lowest(pipeline) == 30, "ranges that moved to cold files were taken for gaps"
    assert pipeline.sql("select * from data_invalidations") == []


def made_by_whom(pipeline: Pipeline) -> None:
    """Each block is traced to the tasks that made it, and what is missing to what it waits for."""
    (cold,) = (row["id"] for row in pipeline.sql(
        "select v.id from dataset_versions v join datasets d on d.id = v.dataset_id"
        " where d.job = 'compact' and d.output = 'blocks'"))  # fmt: skip
    with origins.Origins(pipeline.databases) as asked:
        made = {run["job"]: run for run in asked.runs(cold, 12, 14, depth=2)}
        assert {job: (run["start"], run["end"]) for job, run in made.items()} == {
            "compact": (10, 19),
            "ranges": (10, 19),
            "follow": (10, 19),
        }
        assert {job: (run["cause"], run["attempt"]) for job, run in made.items()} == {
            "compact": ("Event", 1),
            "ranges": ("Event", 1),
            "follow": ("Source", 1),
        }
        assert made["compact"]["rows"] == 10
        assert made["compact"]["worker_id"].startswith("compact-")
        assert made["follow"]["worker_id"].startswith("follow-")
        read = {
            (given["job"], given["output"], given["start"], given["end"]) for given in made["compact"]["inputs"]
        }
        assert read == {("ranges", "ranges", 10, 19), *(("follow", name, 10, 19) for name in OUTPUTS)}

        assert asked.reasons(cold, 15) == {"compact": "Done", "ranges": "Done", "follow": "Done"}
        assert asked.reasons(cold, 32) == {"compact": "WaitsForInput", "ranges": "NotFinal", "follow": "Done"}
        assert asked.reasons(cold, 99) == {
            "compact": "WaitsForInput",
            "ranges": "WaitsForInput",
            "follow": "NotThereYet",
        }


def test_killed_workers_lose_and_double_nothing(pipeline: Pipeline) -> None:
    activity = Activity(pipeline.chain)
    activity.blocks(20)
    for round_ in range(2):
        pipeline.keep("follow")
        pipeline.keep("compact")
        before = pipeline.stored()
        head = activity.blocks(12, seed=100 * round_)
        pipeline.until("something new is stored", lambda before=before: pipeline.stored() > before)
        pipeline.kept.pop("follow").kill()
        pipeline.kept.pop("compact").kill()
    pipeline.keep("follow")
    pipeline.keep("compact")
    head = activity.blocks(6, seed=900)
    pipeline.until("the head is stored", lambda: pipeline.stored() == head)
    expected = [f"{low}-{low + RANGE - 1}" for low in range(0, head - 5 - RANGE + 2, RANGE)]
    pipeline.until("final ranges are cold", lambda: pipeline.compacted() == expected)
    pipeline.equals_chain()


def test_a_crash_at_every_point_of_a_worker_loses_and_doubles_nothing(pipeline: Pipeline) -> None:
    points = [point for point in crash.declared() if point.startswith(("hot.", "cold.", "worker."))]
    assert len(points) >= 9, "the worker's modules declare their points when they are imported"
    activity = Activity(pipeline.chain)
    for seed, point in enumerate(points):
        if point.startswith("hot.") or point == process.CLAIMED:
            follower = pipeline.worker("follow", crash_at=point)
            activity.blocks(8, seed=100 * seed)
            assert follower.wait(PATIENCE_SECONDS) == crash.EXIT_CODE, point
    pipeline.keep("follow")
    head = activity.blocks(6, seed=5000)
    pipeline.until("the head is stored", lambda: pipeline.stored() == head)
    for point in points:
        if not point.startswith("hot."):
            assert pipeline.worker("compact", crash_at=point).wait(PATIENCE_SECONDS) == crash.EXIT_CODE, point
    pipeline.keep("compact")
    expected = [f"{low}-{low + RANGE - 1}" for low in range(0, head - 5 - RANGE + 2, RANGE)]
    pipeline.until("final ranges are cold", lambda: pipeline.compacted() == expected)
    pipeline.equals_chain()
    unfinished = pipeline.sql(
        "select status, error from tasks where status <> 'Completed' and dedupe_key <> 'source'"
    )
    assert unfinished == []


def test_a_reorg_while_ranges_are_compacted_ends_in_the_chain(pipeline: Pipeline) -> None:
    activity = Activity(pipeline.chain)
    head = activity.blocks(27)
    pipeline.keep("follow")
    pipeline.keep("compact")
    pipeline.until("the head is stored", lambda: pipeline.stored() == head)
    pipeline.chain.reorg(5)
    head = activity.blocks(9, seed=300)
    pipeline.until("the head is stored", lambda: pipeline.stored() == head)
    pipeline.until("final ranges are cold", lambda: pipeline.compacted() == ["0-9", "10-19", "20-29"])
    pipeline.equals_chain()
    [recorded] = pipeline.sql("select count(*) as n from data_invalidations")
    assert recorded["n"] == 3


def test_a_dispatcher_killed_mid_flight_and_postgres_restarted_lose_and_double_nothing(
    pipeline: Pipeline, postgres: services.Postgres
) -> None:
    activity = Activity(pipeline.chain)
    activity.blocks(15)
    pipeline.keep("follow")
    pipeline.keep("compact")
    pipeline.until("the first range is cold", lambda: pipeline.compacted() == ["0-9"])
    activity.blocks(6, seed=200)
    pipeline.dispatcher.process.kill()
    pipeline.dispatcher.process.wait()
    activity.blocks(6, seed=300)
    pipeline.start_dispatcher()
    postgres.stop()
    activity.blocks(3, seed=400)
    postgres.restart()
    head = activity.blocks(6, seed=500)
    pipeline.until("the head is stored", lambda: pipeline.stored() == head)
    expected = [f"{low}-{low + RANGE - 1}" for low in range(0, head - 5 - RANGE + 2, RANGE)]
    pipeline.until("final ranges are cold", lambda: pipeline.compacted() == expected)
    pipeline.equals_chain()


def _lowest(pipeline: Pipeline) -> int:
    with psycopg.connect(pipeline.databases.data_dsn) as connection:
        row = connection.execute(f"select min(block_number) from {pipeline.table('blocks')}").fetchone()
    return int(row[0]) if row and row[0] is not None else -1
