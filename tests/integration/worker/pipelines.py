"""Dispatcher, follower and compaction workers as processes, over a real chain, database and store."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import psycopg.rows
import pyarrow.parquet as pq

from tests import graphs, services
from tests.integration.operators import chain_truth
from tests.support.dispatcher import Process as Dispatcher
from tests.support.dispatcher import running as running_dispatcher
from tests.support.fork_server import Forked, tracectl
from tests.support.waiting import until
from traceplane.settings import Settings

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
    workers: list[Forked] = field(default_factory=list)
    kept: dict[str, Forked] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    """Of every process, beside its settings."""
    dispatcher: Dispatcher = field(init=False)

    def sql(self, statement: str, **parameters: Any) -> list[dict[str, Any]]:
        """A query of state, on a connection of its own: the server may have been restarted."""
        with psycopg.connect(self.databases.state_dsn, row_factory=psycopg.rows.dict_row) as connection:
            return connection.execute(statement, parameters).fetchall()

    def start_dispatcher(self) -> None:
        """Start a dispatcher at the address the workers know."""
        port = self.url.rpartition(":")[2]
        process = self.stack.enter_context(
            running_dispatcher(self.settings, self.folder, TRACE_TASK_PORT=port, **self.environment)
        )
        process.url = self.url
        process.wait_ready()
        self.dispatcher = process

    def worker(self, job: str, **settings: str) -> Forked:
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
            **self.environment,
            **{f"TRACE_{name.upper()}": value for name, value in settings.items()},
        }
        log = self.stack.enter_context((folder / "log").open("wb"))
        child = tracectl("run", "worker", environment=environment, folder=folder, output=log.fileno())
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

    def cold(self, output: str) -> tuple[list[dict[str, Any]], list[tuple[int, int]]]:
        """Rows of the committed partitions of an output, and their ranges in order."""
        rows: list[dict[str, Any]] = []
        ranges: list[tuple[int, int]] = []
        for partition in self.sql(
            "select p.location, p.files, p.range_start, p.range_end from partition_versions p"
            " join datasets d on d.id = p.dataset_id where d.output = %(output)s and superseded_at is null"
            " order by p.range_start",
            output=output,
        ):
            ranges.append((partition["range_start"], partition["range_end"]))
            bucket, _, prefix = partition["location"].removeprefix("s3://").partition("/")
            for file in partition["files"]:
                body = self.store.client().get_object(Bucket=bucket, Key=prefix + file["path"])["Body"].read()
                rows += pq.read_table(io.BytesIO(body)).to_pylist()
        return rows, ranges

    def whole(self, output: str) -> list[dict[str, Any]]:
        """Cold files of the relocated ranges, and hot rows outside them, with the columns that both spell alike."""
        cold, ranges = self.cold(output)
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
