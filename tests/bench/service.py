"""The query service beside its queries: many clients at once, exports, tokens, memory of its processes.

    python -m tests.bench.service [--rows 1000000]

Each ratio is the bare measurement over ours (or ours over bare where more is better), taken in this run.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import jwt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from tests import services
from tests.bench.query import fill, raw, service
from tests.integration.dispatch.callers import signing_key
from tests.integration.query.world import World
from tests.issuer import issuer
from traceplane.identity.capability import AUDIENCE, Capabilities
from traceplane.identity.grants import Grants, Prefixes

CLIENTS = 50
ASKED = 6
SMALL = "SELECT block_number, hash FROM cold_blocks WHERE block_number BETWEEN 1000 AND 1099"
EXPORTED = "SELECT block_number, hash, value, mined_at FROM cold_blocks"
SECONDS = 2.0


def say(measure: str, ratio: float, aim: float | None, ours: float, bare: float, unit: str, note: str) -> None:
    """One measure on standard output."""
    figures = {"ratio": round(ratio, 2), "aim": aim, "ours": round(ours, 2), "raw": round(bare, 2)}
    print(json.dumps({"bench": "service", "measure": measure, **figures, "unit": unit, "note": note}), flush=True)


def rate(call: Callable[[], Any]) -> float:
    """Calls a second."""
    count, until = 0, time.perf_counter() + SECONDS
    while time.perf_counter() < until:
        call()
        count += 1
    return count / SECONDS


def tokens(folder: Path) -> None:
    """Minting and verifying against the signature alone; a verified token is new each time."""
    (folder / "key.pem").write_bytes(signing_key())
    ours = Capabilities(folder / "key.pem", issuer="trace")
    grants = Grants([], Prefixes([], []))

    def mint() -> str:
        return ours.mint(
            claim_id=uuid4(), org_id=uuid4(), job_id=uuid4(), tasks=[(str(uuid4()), 1)], grants=grants, seconds=60
        )

    key = ec.generate_private_key(ec.SECP256R1())
    algorithm = ec.ECDSA(hashes.SHA256())
    message = os.urandom(400)
    minted, signed = rate(mint), rate(lambda: key.sign(message, algorithm))
    say("capability tokens minted", minted / signed, None, minted, signed, "/s", "bare: the ES256 signature alone")
    fresh: Iterator[str] = iter([mint() for _ in range(int(minted * SECONDS) + 1000)])
    verifier = Capabilities(folder / "key.pem", issuer="trace")
    verified = rate(lambda: verifier.verify(next(fresh)))
    token, public = mint(), jwt.PyJWK(ours.jwks()["keys"][0])
    bare = rate(lambda: jwt.decode(token, public, algorithms=["ES256"], audience=AUDIENCE, issuer="trace"))
    say("capability tokens verified, each new", verified / bare, None, verified, bare, "/s", "bare: PyJWT alone")
    known = rate(lambda: verifier.verify(token))
    say("capability tokens verified, known", known / bare, None, known, bare, "/s", "bare: PyJWT alone")


def crowd(ask: Callable[[str], Any]) -> None:
    """Many clients with a small query each, against what their place in the line alone costs them."""
    one: list[float] = []
    for _ in range(15):
        started = time.perf_counter()
        ask(SMALL)
        one.append((time.perf_counter() - started) * 1000)
        time.sleep(0.15)
    times: list[float] = []
    lock = threading.Lock()

    def client(_: int) -> None:
        for _ in range(ASKED):
            started = time.perf_counter()
            ask(SMALL)
            with lock:
                times.append((time.perf_counter() - started) * 1000)

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(client, range(CLIENTS)))
    p99 = statistics.quantiles(times, n=100)[98]
    line = statistics.median(one) * CLIENTS / (os.cpu_count() or 1)
    note = f"p99 of {CLIENTS} clients; bare: {CLIENTS} times one client's median, shared by every core"
    say("a small query among many", line / p99, None, p99, line, "ms", note)


def export(ask: Callable[[str], Any], world: World) -> None:
    """A whole asset as a file in the bucket, against DuckDB's own COPY of the same rows to the same store."""
    bare = raw(world)
    source = f"read_parquet('s3://{world.bucket}/{services.ORG_ID}/**/*.parquet')"
    target = f"s3://{world.bucket}/bare/out.parquet"
    statement = f"COPY ({EXPORTED.replace('cold_blocks', source)}) TO '{target}' (FORMAT parquet, COMPRESSION zstd)"
    ask("SELECT count(hash) FROM cold_blocks")  # both begin with the files read once
    bare.execute(f"SELECT count(hash) FROM {source}").fetchall()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(3):
        started = time.perf_counter()
        size = ask(EXPORTED)["output"]["bytes"] / 1024**2
        times[0].append(time.perf_counter() - started)
        started = time.perf_counter()
        bare.execute(statement)
        times[1].append(time.perf_counter() - started)
    mine, theirs = (size / statistics.median(side) for side in times)
    say("export to the bucket", mine / theirs, None, mine, theirs, "MiB/s", "bare: DuckDB COPY to the same store")


def cells(service: int) -> list[float]:
    """Resident MiB of each process that waits for a query or runs one, largest first."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
            status = (folder / "status").read_text()
            parents = {int(fields[1])}
            parents.add(int((Path("/proc") / fields[1] / "stat").read_text().rsplit(")", 1)[1].split()[1]))
        except (OSError, IndexError):
            continue
        if service in parents and int(fields[1]) != service:
            found += [int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS:")]
    return sorted(found, reverse=True)


def memory(ask: Callable[[str], Any], pid: int, budget: float) -> None:
    """What a waiting and a running query hold."""
    time.sleep(1)
    idle = cells(pid)[0]
    peak = [idle]
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(ask, "SELECT hash, count(*) FROM cold_blocks GROUP BY 1 ORDER BY 2 DESC LIMIT 5")
        while not running.done():
            peak.append(max(cells(pid), default=0.0))
            time.sleep(0.01)
        running.result()
    say(
        "memory of a waiting query process",
        idle / budget,
        None,
        idle,
        budget,
        "MiB",
        "against a query's budget; less is good",
    )
    say(
        "memory of a query that groups every row",
        max(peak) / budget,
        None,
        max(peak),
        budget,
        "MiB",
        "against its budget and what a process holds before it; less is good",
    )


def main() -> None:
    """Print one JSON line a measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    with (
        services.postgres() as postgres,
        services.object_store() as store,
        issuer() as oidc,
        tempfile.TemporaryDirectory() as folder,
        closing(World(postgres.databases(), store, store.bucket())) as world,
    ):
        tokens(Path(folder))
        world.user(oidc.url, "bench", "reader")
        fill(world, rows, Path(folder), hot_rows=rows // 10)
        token = oidc.token("bench")
        with (
            service(world, oidc.url, Path(folder) / "cache") as running,
            httpx.Client(base_url=running.url, timeout=120, limits=httpx.Limits(max_connections=CLIENTS)) as http,
        ):

            def ask(sql: str) -> Any:
                answer = http.post("/v1/query", json={"sql": sql}, headers={"Authorization": f"Bearer {token}"})
                if answer.status_code != 200:
                    raise SystemExit(answer.text)
                return answer.json()

            crowd(ask)
            export(ask, world)
            memory(ask, running.pid, running.budget_mib)


if __name__ == "__main__":
    main()
