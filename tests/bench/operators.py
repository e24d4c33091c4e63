"""What the platform adds to the work of an operator: to cryo's own, and to a statement's own.

    python -m tests.bench.operators [--blocks 3000] [--rows 2000000] [--rounds 3]

Both sides run in turn, several rounds; the ratios of the medians are the figures. cryo extracts transactions from
the same node, as a process of its own with its start in it, as the operator's is. A middle job is rebuilt partition
by partition, through the query service, checked and committed; bare, one warm DuckDB copies the same statement from
the same store into it, as often.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from tests import services
from tests.bench import follower, query
from tests.integration.operators.compacting import completed
from tests.integration.operators.extracting import Extraction
from tests.integration.query.conftest import running, service_over
from tests.integration.query.operator_bench import Bench
from tests.integration.query.signer import Signer
from tests.integration.query.world import World
from tests.issuer import issuer
from traceplane_sdk import wire

AIM = 0.9
CHUNK_BLOCKS = 1000
_CRYO = """
import os, sys
import cryo
url, head, folder, chunk = sys.argv[1:]
cryo.freeze(["transactions"], blocks=[f"0:{int(head) + 1}"], rpc=url, output_dir=folder, chunk_size=int(chunk),
            no_report=True, no_verbose=True)
os._exit(0)  # its threads now and then abort an interpreter that ends
"""
STATEMENT = "SELECT block_number, hash, value, mined_at, note FROM {} WHERE block_number BETWEEN {} AND {} AND big"


def timed(rounds: int, *sides: Callable[[int], object]) -> list[float]:
    """Median seconds of each side, in turn; each is given the number of its round."""
    taken: list[list[float]] = [[] for _ in sides]
    for number in range(rounds):
        for side, times in zip(sides, taken, strict=True):
            started = time.perf_counter()
            side(number + 1)
            times.append(time.perf_counter() - started)
    return [statistics.median(times) for times in taken]


def show(measure: str, amount: int, ours: float, bare: float, unit: str, note: str, aim: float | None) -> None:
    """A measure, as a rate."""
    rates = {"ratio": round(bare / ours, 2), "ours": round(amount / ours), "raw": round(amount / bare)}
    line = {"bench": "operators", "measure": measure, **rates, "aim": aim, "unit": unit, "note": note}
    print(json.dumps(line), flush=True)


def extracted(store: services.ObjectStore, folder: Path, blocks: int, rounds: int) -> None:
    """cryo's transactions of a chain."""
    with services.chain() as chain:
        head = follower.fill(chain, blocks, per_block=8)
        extraction = Extraction(store, store.bucket(), folder, lambda: [chain.url])

        def ours(attempt: int) -> wire.Completion:
            run = extraction.run("transactions", 0, head, attempt=attempt, chunkBlocks=CHUNK_BLOCKS)
            return completed(run)

        def bare(_: int) -> None:
            with tempfile.TemporaryDirectory() as place:
                argv = [sys.executable, "-c", _CRYO, chain.url, str(head), place, str(CHUNK_BLOCKS)]
                subprocess.run(argv, capture_output=True, check=True, timeout=600)
                assert list(Path(place).glob("*.parquet"))

        took = timed(rounds, ours, bare)
    note = "bare: cryo alone, into a folder; ours also checks, converts, uploads and commits"
    show(f"cryo_ingest of {blocks} blocks of 8 transactions", head, *took, "blocks/s", note, AIM)


def rebuilt(store: services.ObjectStore, folder: Path, rows: int, rounds: int) -> None:
    """A middle job's partitions."""
    with (
        services.postgres() as postgres,
        issuer() as oidc,
        running() as serve,
        closing(World(postgres.databases(), store, store.bucket())) as world,
    ):
        world.user(oidc.url, "alice", "reader")
        query.fill(world, rows, folder, hot_rows=0)
        # Hot, then cold: a job that reads the asset over both is given both.
        found = world.state.execute("SELECT id FROM dataset_versions ORDER BY storage").fetchall()
        versions = [version for (version,) in found]
        signer = Signer.serving(folder, serve)
        client = service_over(world, oidc, folder / "cache", serve, dispatcher_url=signer.url)
        bench = Bench(world, signer, folder)
        each = rows // query.FILES
        parts = [(first, first + each - 1) for first in range(0, each * query.FILES, each)]
        statement = STATEMENT.format("blocks", "$partition_start", "$partition_end")

        def ours(_: int) -> None:
            for start, end in parts:
                completed(bench.run(client, start, end, *versions, sql=statement))

        took = timed(rounds, ours, lambda _: copied(world, parts))
        client.service.cells.close()
    note = "bare: DuckDB COPY from the same store into it; ours also checks, signs and commits"
    show(f"rebuilding {len(parts)} partitions of {rows} rows", rows, *took, "rows/s", note, None)


def copied(world: World, parts: Sequence[tuple[int, int]]) -> None:
    """The statement of each partition, by DuckDB alone."""
    with closing(query.raw(world)) as bare:
        source = f"read_parquet('s3://{world.bucket}/{services.ORG_ID}/**/blocks_*.parquet')"
        for start, end in parts:
            target = f"s3://{world.bucket}/bare/{start}-{end}.parquet"
            select = STATEMENT.format(source, start, end)
            bare.execute(f"COPY ({select}) TO '{target}' (FORMAT parquet, COMPRESSION zstd)")


def main() -> None:
    """Print the measures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--blocks", type=int, default=3000)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, services.object_store() as store:
        extracted(store, Path(folder), options.blocks, options.rounds)
        rebuilt(store, Path(folder), options.rows, options.rounds)


if __name__ == "__main__":
    main()
