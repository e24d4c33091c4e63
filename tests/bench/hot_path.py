"""Claim and complete per second: over HTTP through one dispatcher, against the same statements run bare.

Both sides do the whole of it: lease, fence, history, and where the measure says so an accepted event with the task
it causes. The bare side is the dispatcher's own statements called from four connections without HTTP, tokens or
coalescing. Each measure empties the queue on either side in turn, on the same server, with freshly made tables,
and each side keeps its better round, so that a busy moment of the machine spoils neither.

The load generator speaks HTTP/1.1 by hand over kept-alive connections: an ordinary client library would be what is
measured.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import msgspec
import orjson
import psycopg
import uvloop
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests import graphs, services
from tests.support.waiting import until
from traceplane.kit.ids import event_id
from traceplane.store.engine import Database
from traceplane.store.statements import claims, completions
from traceplane.tasks.retries import RetryPolicy
from traceplane.versions import deploy as deploying
from traceplane_sdk import wire

WORKER_TOKEN = "the-worker-token-of-the-bench"
BARE_CLIENTS = 4
ROUNDS = 2
RETRY = RetryPolicy(30, 600)

FILL = """
INSERT INTO tasks (org_id, namespace, job_id, dedupe_key, cause, max_attempts, scope)
SELECT org_id, namespace, id, 'bench:' || n, 'Event', 3, '{"kind": "source"}'
FROM jobs, generate_series(1, %s) n WHERE id = %s
"""

NARROW = """
UPDATE dataset_versions
SET columns = (SELECT jsonb_agg(c) FROM (SELECT c FROM jsonb_array_elements(columns) c LIMIT 4) x)
"""
"""Datasets of four columns: a payload repeats them for every task, and wide ones would measure JSON only."""


@dataclass(frozen=True)
class Measure:
    """What one line measures. `clients` are connections of the load generator."""

    name: str
    batch: int
    clients: int
    tasks: int
    event: bool
    aim: float


MEASURES = (
    Measure("claim+complete, batch 1", 1, 16, 4_000, False, 1.3),
    Measure("claim+complete, batch 10", 10, 16, 20_000, False, 1.0),
    Measure("claim+complete, batch 100", 100, 4, 60_000, False, 1.0),
    Measure("claim+complete, batch 100, an event routed by each", 100, 4, 30_000, True, 0.8),
)


def main() -> None:
    """Print one JSON line a measure."""
    with services.postgres() as server:
        pair = server.databases()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            job = runner.run(deployed(pair))
            with dispatcher(pair) as port:
                for measure in MEASURES:
                    report(measure, *compared(runner, pair, port, job, measure))


def compared(
    runner: asyncio.Runner, pair: services.Databases, port: int, job: UUID, measure: Measure
) -> tuple[float, float]:
    """Tasks a second over HTTP and bare: the better of the rounds, taken in turn."""
    ours = bare = 0.0
    for _ in range(ROUNDS):
        refill(pair, job, measure)
        bare = max(bare, measure.tasks / runner.run(timed_bare(pair, job, measure)))
        refill(pair, job, measure)
        ours = max(ours, measure.tasks / runner.run(timed_http(port, job, measure)))
        sys.stderr.write(f"{measure.name}: {ours:,.0f} over HTTP, {bare:,.0f} bare\n")
    return ours, bare


def report(measure: Measure, ours: float, bare: float) -> None:
    """One line of figures."""
    line = {
        "bench": "hot_path",
        "measure": measure.name,
        "ratio": round(ours / bare, 2),
        "ours": round(ours),
        "raw": round(bare),
        "unit": "tasks/s",
        "aim": measure.aim,
        "note": f"HTTP with {measure.clients} clients against {BARE_CLIENTS} bare connections",
    }
    sys.stdout.write(orjson.dumps(line).decode() + "\n")
    sys.stdout.flush()


async def deployed(pair: services.Databases) -> UUID:
    """Deploy the chain DAG as if provisioned; the generation whose tasks are counted."""
    state = Database(pair.state_dsn, application="bench")
    async with state.transaction() as conn:
        done = await deploying.deploy(
            conn,
            org_id=services.ORG_ID,
            graph=graphs.assembled(graphs.chain()),
            resource_uid="uid-1",
            generation=1,
            bucket="bench",
        )
    await state.close()
    with psycopg.connect(pair.state_dsn) as connection:
        connection.execute("UPDATE jobs SET provisioned_at = now()")
        connection.execute("UPDATE dataset_versions SET provisioned_at = now()")
        connection.execute("UPDATE outbox SET status = 'Done', finished_at = now()")
        connection.execute(NARROW)
    return next(job.id for job in done.jobs if job.name == "follow")


def refill(pair: services.Databases, job: UUID, measure: Measure) -> None:
    """Fresh tables with `measure.tasks` queued tasks."""
    with psycopg.connect(pair.state_dsn, autocommit=True) as connection:
        connection.execute("TRUNCATE tasks, task_attempts, events")
        connection.execute(FILL, (measure.tasks, job))
        connection.execute("VACUUM (ANALYZE) tasks")


async def timed_bare(pair: services.Databases, job: UUID, measure: Measure) -> float:
    """Seconds that bare connections take to empty the queue."""
    state = Database(pair.state_dsn, application="bench", pool_size=BARE_CLIENTS)
    ready = asyncio.Barrier(BARE_CLIENTS + 1)

    async def client() -> None:
        async with state.autocommit() as conn:
            await conn.execute("SELECT 1")
            await ready.wait()
            while True:
                claim_id = uuid4()
                claimed = await claims.claim(
                    conn,
                    org_id=services.ORG_ID,
                    job_id=job,
                    claimants=[claims.Claimant(claim_id, "bare", measure.batch)],
                    alone=False,
                    newest=False,
                )
                if claimed is None or not claimed.rows:
                    return
                await completions.complete(
                    conn,
                    org_id=services.ORG_ID,
                    batch=bare_batch(claimed.rows, claim_id, measure),
                    retry=RETRY,
                    keep_hot_seconds=1,
                )

    running = [asyncio.create_task(client()) for _ in range(BARE_CLIENTS)]
    await ready.wait()
    started = time.perf_counter()
    await asyncio.gather(*running)
    taken = time.perf_counter() - started
    await state.close()
    return taken


def bare_batch(rows: tuple[claims.ClaimedRow, ...], claim_id: UUID, measure: Measure) -> completions.Batch:
    """A completion of every row."""
    items: list[dict[str, object]] = [
        {
            "task_id": str(row.task_id),
            "attempt": row.attempt,
            "lease_token": str(row.lease_token),
            "claim_id": str(claim_id),
            "status": "Completed",
        }
        for row in rows
    ]
    events: list[dict[str, object]] = []
    if measure.event:
        events = [
            {
                "id": str(event_id(row.task_id, row.attempt, 0)),
                "task_id": str(row.task_id),
                "output": "blocks",
                "cursor": 1,
            }
            for row in rows
        ]
    return completions.Batch(items, events, cursors=False)


async def timed_http(port: int, job: UUID, measure: Measure) -> float:
    """Seconds that HTTP clients take to empty the queue."""
    claim = orjson.dumps({"worker_id": "bench", "job": str(job), "max_tasks": measure.batch})
    proof = f"X-Trace-Worker-Token: {WORKER_TOKEN}"
    events = [{"output": "blocks", "cursor": 1}] if measure.event else []

    async def client() -> int:
        connection = await Connection.open(port)
        done = 0
        while True:
            leases = LEASES.decode(await connection.post("/internal/task-claim", proof, claim)).tasks
            if not leases:
                connection.close()
                return done
            body = orjson.dumps({"completions": [completion(lease, events) for lease in leases]})
            token = f"X-Trace-Task-Capability: {leases[0].capability_token}"
            answer = STATES.decode(await connection.post("/v1/task/complete", token, body))
            done += sum(state.accepted for state in answer.completions)

    started = time.perf_counter()
    done = await asyncio.gather(*(client() for _ in range(measure.clients)))
    taken = time.perf_counter() - started
    if sum(done) != measure.tasks:
        raise AssertionError(f"{sum(done)} of {measure.tasks} tasks were completed")
    return taken


class LeasedTask(msgspec.Struct):
    """What a completion needs of a task; decoding more would measure the load generator."""

    task_id: str


class Lease(msgspec.Struct):
    """What a completion needs of a lease."""

    task: LeasedTask
    attempt: int
    lease_token: str
    capability_token: str


class Leases(msgspec.Struct):
    """The answer to a claim."""

    tasks: list[Lease]


LEASES = msgspec.json.Decoder(Leases)
STATES = msgspec.json.Decoder(wire.CompleteResponse)


def completion(lease: Lease, events: list[dict[str, object]]) -> dict[str, object]:
    """A completion of one lease."""
    fence = {"task_id": lease.task.task_id, "attempt": lease.attempt, "lease_token": lease.lease_token}
    return {"fence": fence, "status": "Completed", "events": events}


@dataclass
class Connection:
    """A kept-alive HTTP/1.1 connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def open(cls, port: int) -> Connection:
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=64 * 1024 * 1024))

    async def post(self, path: str, header: str, body: bytes) -> bytes:
        """The answer to a POST; anything but 200 is an error."""
        head = (
            f"POST {path} HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\n{header}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        self.writer.write(head.encode() + body)
        answer = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        length = int(answer.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        content = await self.reader.readexactly(length)
        if not answer.startswith(b"http/1.1 200"):
            raise AssertionError(f"{answer!r} {content[:500]!r}")
        return content

    def close(self) -> None:
        """Leave."""
        self.writer.close()


@contextmanager
def dispatcher(pair: services.Databases) -> Iterator[int]:
    """A dispatcher as a process; its task port."""
    with socket.socket() as task, socket.socket() as user, tempfile.TemporaryDirectory() as folder:
        for probe in (task, user):
            probe.bind(("127.0.0.1", 0))
        port, user_port = task.getsockname()[1], user.getsockname()[1]
        task.close()
        user.close()
        key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (Path(folder) / "key.pem").write_bytes(key)
        (Path(folder) / "worker").write_text(WORKER_TOKEN)
        environment = {
            "TRACE_STATE_DSN": pair.state_dsn,
            "TRACE_DATA_DSN": pair.data_dsn,
            "TRACE_S3_ENDPOINT_URL": "http://127.0.0.1:9",
            "TRACE_S3_ACCESS_KEY_ID": "unused",
            "TRACE_S3_SECRET_ACCESS_KEY": "unused",
            "TRACE_CAPABILITY_KEY_FILE": f"{folder}/key.pem",
            "TRACE_WORKER_TOKEN_FILE": f"{folder}/worker",
            "TRACE_LISTEN_HOST": "127.0.0.1",
            "TRACE_TASK_PORT": str(port),
            "TRACE_USER_PORT": str(user_port),
            "TRACE_OIDC_ISSUER": "https://issuer.test",
            "TRACE_OIDC_JWKS_URL": "https://issuer.test/keys",
            "TRACE_LOG_LEVEL": "error",
        }
        process = subprocess.Popen(
            [sys.executable, "-c", "from traceplane.cli.main import main; main()", "run", "dispatcher"],
            env={**os.environ, **environment},
        )
        try:
            wait_ready(process, port)
            yield port
        finally:
            process.terminate()
            process.wait(30)


def wait_ready(process: subprocess.Popen[bytes], port: int) -> None:
    """Return once the dispatcher serves."""

    def serves() -> bool:
        assert process.poll() is None, "the dispatcher did not start"
        try:
            return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=1).status_code == 200
        except httpx.TransportError:
            return False

    until(serves, "the dispatcher is ready", every=0.1)


if __name__ == "__main__":
    main()
