"""The whole path as processes: dispatcher, follower and compaction workers over a real chain, database and store.

While blocks keep coming, processes are killed and restarted. In the end cold files and hot rows together must be
the chain: nothing lost, nothing doubled.
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import psycopg.rows
import pyarrow.parquet as pq
import pytest

from tests import graphs, services
from tests.integration.operators import chain_truth
from tests.integration.operators.following import Activity
from tests.integration.worker import origins
from tests.support.dispatcher import Process as Dispatcher
from tests.support.dispatcher import running as running_dispatcher
from tests.support.waiting import until
from traceplane.kit import crash
from traceplane.settings import Settings
from traceplane.worker import process

pytestmark = pytest.mark.services

PATIENCE_SECONDS = 90
RANGE = 10
OUTPUTS = ("blocks", "transactions", "logs")


def manifest() -> dict[str, Any]:
    """Follower, ranges, and compaction of all three tables, with short leases."""
    dag = graphs.chain()
    dag["spec"]["defaults"] = {"heartbeatTimeoutSeconds": 3, "maxAttempts": 10}
    graphs.job(dag, "follow")["config"] |= {"finalityDepthBlocks": 5, "pollSeconds": 0.1, "batchBlocks": 4}
    graphs.job(dag, "ranges")["config"]["rangeSize"] = RANGE
    compact = graphs.job(dag, "compact")
    compact["outputs"] = list(OUTPUTS)
    compact["inputs"] += [
        {"from": {"job": "follow", "output": name}, "trigger": False} for name in ("transactions", "logs")
    ]
    return dag


@dataclass
class Pipeline:
    """The running parts, and what they left in databases and store."""

    settings: Settings
    databases: services.Databases
    store: services.ObjectStore
    chain: services.Chain
    jobs: dict[str, UUID]
    folder: Path
    url: str
    stack: ExitStack
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    kept: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    dispatcher: Dispatcher = field(init=False)

    def sql(self, statement: str, **parameters: Any) -> list[dict[str, Any]]:
        """A query of state, on a connection of its own: the server may have been restarted."""
        with psycopg.connect(self.databases.state_dsn, row_factory=psycopg.rows.dict_row) as connection:
            return connection.execute(statement, parameters).fetchall()

    def start_dispatcher(self) -> None:
        """Start a dispatcher at the address the workers know."""
        port = self.url.rpartition(":")[2]
        process = self.stack.enter_context(running_dispatcher(self.settings, self.folder, TRACE_TASK_PORT=port))
        process.url = self.url
        process.wait_ready()
        self.dispatcher = process

    def worker(self, job: str, **settings: str) -> subprocess.Popen[bytes]:
        """Start a worker of a job."""
        number = len(self.workers)
        folder = self.folder / f"worker-{number}"
        (folder / "rpc" / "local").mkdir(parents=True)
        (folder / "rpc" / "local" / "urls").write_text(self.chain.url + "\n")
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "TRACE_JOB_ID": str(self.jobs[job]),
            "TRACE_WORKER_ID": f"{job}-{number}",
            "TRACE_DISPATCHER_URL": self.url,
            "TRACE_WORKER_TOKEN_FILE": str(self.settings.worker_token_file),
            "TRACE_DATA_DSN": self.databases.writer_dsn,
            "TRACE_RPC_DIR": str(folder / "rpc"),
            "TRACE_SCRATCH_DIR": str(folder / "scratch"),
            "TRACE_METRICS_PORT": "0",
            "TRACE_LISTEN_HOST": "127.0.0.1",
            "TRACE_HEARTBEAT_SECONDS": "1",
            "TRACE_CLAIM_WAIT_SECONDS": "2",
            "TRACE_IDLE_TIMEOUT_SECONDS": "300",
            "TRACE_WORKER_GRACE_SECONDS": "10",
            **{f"TRACE_{name.upper()}": value for name, value in settings.items()},
        }
        log = self.stack.enter_context((folder / "log").open("wb"))
        tracectl = str(Path(sys.executable).with_name("tracectl"))
        child = subprocess.Popen([tracectl, "run", "worker"], env=environment, stdout=log, stderr=log)
        self.workers.append(child)
        self.stack.callback(child.wait)
        self.stack.callback(child.kill)
        return child

    def keep(self, job: str) -> None:
        """Start a worker of a job, and another whenever it left, as the controller does."""
        self.kept[job] = self.worker(job)

    def until(self, what: str, holds: Callable[[], Any]) -> None:
        """Return once `holds`; meanwhile the workers of `keep` are started again when they end."""

        def holds_or_restarts() -> bool:
            if holds():
                return True
            for job, child in self.kept.items():
                if child.poll() is not None:
                    self.kept[job] = self.worker(job)
            return False

        until(holds_or_restarts, what, timeout=PATIENCE_SECONDS, every=0.1, detail=self._report)

    def _report(self) -> str:
        logs = "\n".join(path.read_text()[-1500:] for path in sorted(self.folder.rglob("*log")))
        return f"tasks {self.sql('select status, error, count(*) from tasks group by 1, 2')}\n{logs}"

    def stored(self) -> int:
        """Highest block in the hot table, or -1."""
        with psycopg.connect(self.databases.data_dsn) as connection:
            row = connection.execute(
                f"select coalesce(max(block_number), -1) from {self.table('blocks')}"
            ).fetchone()
        return int(row[0]) if row else -1

    def table(self, output: str) -> str:
        [found] = self.sql(
            "select v.location from dataset_versions v join datasets d on d.id = v.dataset_id"
            " where d.job = 'follow' and d.output = %(output)s",
            output=output,
        )
        return str(found["location"])

    def compacted(self) -> list[str]:
        """Partition keys of committed cold blocks."""
        rows = self.sql(
            "select partition_key from partition_versions p join datasets d on d.id = p.dataset_id"
            " where d.output = 'blocks' and superseded_at is null order by range_start"
        )
        return [row["partition_key"] for row in rows]

    def whole(self, output: str) -> list[dict[str, Any]]:
        """Cold files of the relocated ranges, and hot rows outside them, with the columns that both spell alike."""
        cold: list[dict[str, Any]] = []
        ranges: list[tuple[int, int]] = []
        for partition in self.sql(
            "select p.location, p.files, p.range_start, p.range_end from partition_versions p"
            " join datasets d on d.id = p.dataset_id where d.output = %(output)s and superseded_at is null",
            output=output,
        ):
            ranges.append((partition["range_start"], partition["range_end"]))
            bucket, _, prefix = partition["location"].removeprefix("s3://").partition("/")
            for file in partition["files"]:
                body = self.store.client().get_object(Bucket=bucket, Key=prefix + file["path"])["Body"].read()
                cold += pq.read_table(io.BytesIO(body)).to_pylist()
        with psycopg.connect(self.databases.data_dsn, row_factory=psycopg.rows.dict_row) as connection:
            hot = connection.execute(f"select * from {self.table(output)}").fetchall()
        outside = [row for row in hot if not any(low <= row["block_number"] <= high for low, high in ranges)]
        return [*cold, *outside]

    def equals_chain(self) -> None:
        """Assert that cold and hot together are the chain, block for block, row for row."""
        head = self.chain.head
        keys = {"blocks": (), "transactions": ("transaction_index",), "logs": ("log_index",)}
        for output in OUTPUTS:
            names = ("block_number", *keys[output], "block_hash", "block_timestamp")
            found = sorted(tuple(row[name] for name in names) for row in self.whole(output))
            truth = [tuple(row[name] for name in names) for row in chain_truth.TABLES[output](self.chain, 0, head)]
            assert found == truth, output


@contextmanager
def running(settings: Settings, **parts: Any) -> Iterator[Pipeline]:
    """A dispatcher process, and no workers yet."""
    with ExitStack() as stack:
        port = services.free_port()
        made = Pipeline(settings=settings, url=f"http://127.0.0.1:{port}", stack=stack, **parts)
        made.start_dispatcher()
        yield made


@pytest.fixture
async def pipeline(
    settings: Settings,
    deploy: Callable[..., Any],
    databases: services.Databases,
    object_store: services.ObjectStore,
    chain: services.Chain,
    tmp_path: Path,
) -> Any:
    short = settings.model_copy(
        update={"retry_base_seconds": 0.2, "retry_max_seconds": 1.0, "longest_query_seconds": 0.5}
    )
    jobs = await deploy(manifest())
    with running(
        short,
        databases=databases,
        store=object_store,
        chain=chain,
        jobs=jobs,
        folder=tmp_path,
    ) as running_pipeline:
        yield running_pipeline


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
