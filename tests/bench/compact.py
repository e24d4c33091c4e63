"""Rows per second of a compaction against DuckDB's own COPY of the same rows, and its memory at two range lengths.

    python -m tests.bench.compact [--rows 400000] [--rounds 3]

Ours is the whole operator in a process of its own: checks, sorted Parquet, upload to the object store, manifest.
DuckDB's COPY reads the same query through its Postgres extension and writes one zstd Parquet file to local disk,
with no upload. Peak resident memory is taken from processes that compact one range and one of four times its
length; a ratio near one says that memory does not grow with the range.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import psycopg

from operators.parquet_compact.source import select
from tests import services
from tests.integration.operators.workbench import Dataset, JobUnderTest
from traceplane_sdk import wire
from traceplane_sdk.context import TaskIO
from traceplane_sdk.runner import run_task

PER_BLOCK = 100
_EXPRESSIONS = {
    "Int32": "(i % 7)::int",
    "Int64": "i * 21000",
    "UInt256": "i::numeric * 1000000000000000000",
    "Hex": "'0x' || md5(i::text) || md5((i + {k})::text)",
    "Timestamp": "to_timestamp(1700000000 + i / 100)",
    "Json": "'[]'::jsonb",
}
_SPECIAL = {
    "block_number": f"i / {PER_BLOCK}",
    "transaction_index": f"(i % {PER_BLOCK})::int",
    "logs_bloom": "'0x' || repeat('0', 500) || substr(md5(i::text), 1, 12)",
    "input": "'0xa9059cbb' || repeat(md5(i::text), 4)",
}


def fill(dsn: str, dataset: Dataset, rows: int) -> None:
    """`rows` rows that look like transactions, a hundred a block."""
    columns = dataset.schema.columns
    chosen = ", ".join(
        _SPECIAL.get(column.name) or _EXPRESSIONS[column.type.value].format(k=k) for k, column in enumerate(columns)
    )
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            f"insert into {dataset.location} select {chosen} from generate_series(0::bigint, {rows - 1}) as made(i)"
        )
        connection.execute(f"vacuum analyze {dataset.location}")


def fill_blocks(dsn: str, dataset: Dataset, blocks: int) -> None:
    """One row for each block, as the witness of coverage needs."""
    chosen = ", ".join(
        "i" if column.name == "block_number" else _EXPRESSIONS[column.type.value].format(k=k)
        for k, column in enumerate(dataset.schema.columns)
    )
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            f"insert into {dataset.location} select {chosen} from generate_series(0::bigint, {blocks - 1}) as m(i)"
        )


def ours(given: dict[str, Any]) -> dict[str, float]:
    """In the child process: run the operator; seconds and peak resident MiB."""
    claimed = msgspec.json.decode(json.dumps(given["claim"]), type=wire.ClaimedTask)
    answer = wire.CredentialsResponse(**given["credentials"])
    with tempfile.TemporaryDirectory() as scratch:
        io = TaskIO(data_dsn=lambda: given["dsn"], credentials=lambda: answer, scratch=Path(scratch))
        started = time.perf_counter()
        completion = run_task(claimed, io)
        seconds = time.perf_counter() - started
    if completion.status != "Completed":
        raise SystemExit(f"the compaction failed: {completion.error}")
    return {"seconds": seconds, "rows": completion.outputs[0].rows, "mib": _peak_mib()}


def duckdb_copy(given: dict[str, Any]) -> dict[str, float]:
    """In the child process: DuckDB's COPY of the same query; seconds and peak resident MiB."""
    import duckdb
    import duckdb_extension_postgres_scanner as extension

    claimed = msgspec.json.decode(json.dumps(given["claim"]), type=wire.ClaimedTask)
    source = next(one for one in claimed.task.inputs if one.name == "transactions")
    partition = source.partition
    assert partition is not None
    query = select(source, source.sort_by, partition.start, partition.end).replace("'", "''")
    library = next(Path(extension.__file__).parent.rglob("*.duckdb_extension"))
    with tempfile.TemporaryDirectory() as folder:
        connection = duckdb.connect()
        connection.execute(f"load '{library}'")
        connection.execute(f"attach '{given['dsn']}' as hot (type postgres, read_only)")
        started = time.perf_counter()
        connection.execute(
            f"copy (select * from postgres_query('hot', '{query}')) to '{folder}/rows.parquet'"
            " (format parquet, compression zstd)"
        )
        return {"seconds": time.perf_counter() - started, "mib": _peak_mib()}


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def child(which: str, given: dict[str, Any]) -> dict[str, float]:
    """Run one side in a process of its own."""
    argv = [sys.executable, "-m", "tests.bench.compact", "--child", which]
    done = subprocess.run(argv, input=json.dumps(given), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def bench(rows: int, rounds: int) -> None:
    """Print one JSON line a measure."""
    with services.postgres() as postgres, services.object_store() as store:
        dsn = postgres.databases().data_dsn
        follower = JobUnderTest.declare(
            "block_follower",
            {"chainId": 1, "rpcPool": "local", "finalityDepthBlocks": 1},
            ("blocks", "transactions"),
        )
        ranges = JobUnderTest.declare(
            "range_aggregator",
            {"cursorColumn": "block_number", "rangeSize": 100},
            ("ranges",),
            [(follower.dataset("blocks"), True)],
        )
        inputs = [(ranges.dataset("ranges"), True), *((one, False) for one in follower.outputs)]
        job = JobUnderTest.declare("parquet_compact", {}, ("transactions",), inputs, bucket=store.bucket())
        for dataset in follower.outputs:
            dataset.provision(dsn)
        fill(dsn, follower.dataset("transactions"), rows)
        fill_blocks(dsn, follower.dataset("blocks"), rows // PER_BLOCK + 10)
        last = rows // PER_BLOCK - 1
        whole = [given(job, dsn, store, last) for _ in range(rounds)]
        mine = [child("ours", one) for one in whole]
        theirs = [child("duckdb", one) for one in whole]
        quarter = child("ours", given(job, dsn, store, rows // PER_BLOCK // 4 - 1))
    my_rate, their_rate = (rows / statistics.median(one["seconds"] for one in side) for side in (mine, theirs))
    say(
        f"compacting {rows} transactions",
        round(my_rate / their_rate, 2),
        0.7,
        round(my_rate),
        round(their_rate),
        "rows/s",
        "bare: DuckDB COPY of the same query to local disk; ours also checks, uploads and commits",
    )
    peak = statistics.median(one["mib"] for one in mine)
    say(
        "peak memory of a range and of a quarter of it",
        round(quarter["mib"] / peak, 2),
        0.8,
        round(peak),
        round(quarter["mib"]),
        "MiB",
        "near 1: memory does not grow with the range",
    )


def given(job: JobUnderTest, dsn: str, store: services.ObjectStore, end: int) -> dict[str, Any]:
    """What a child process needs for one run over blocks 0 to `end`."""
    partition = wire.Partition(f"0-{end}", 0, end)
    claim = job.claim(1, {"kind": "partition"}, partition=partition, task_id=str(uuid4()))
    assumed = store.client("sts").assume_role(
        RoleArn="arn:aws:iam::000000000000:role/bench", RoleSessionName="bench", DurationSeconds=900
    )["Credentials"]
    credentials = {
        "access_key_id": assumed["AccessKeyId"],
        "secret_access_key": assumed["SecretAccessKey"],
        "session_token": assumed["SessionToken"],
        "expires_at": assumed["Expiration"].isoformat(),
        "endpoint_url": store.endpoint_url,
        "region": store.region,
    }
    return {"claim": json.loads(msgspec.json.encode(claim)), "dsn": dsn, "credentials": credentials}


def say(measure: str, ratio: float, aim: float, mine: int, raw: int, unit: str, note: str) -> None:
    """One measure on standard output."""
    line = {"bench": "compact", "measure": measure, "ratio": ratio, "aim": aim, "ours": mine, "raw": raw}
    print(json.dumps({**line, "unit": unit, "note": note}))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", choices=("ours", "duckdb"))
    options = parser.parse_args()
    if options.child:
        run = ours if options.child == "ours" else duckdb_copy
        print(json.dumps(run(json.load(sys.stdin))))
    else:
        bench(options.rows, options.rounds)


if __name__ == "__main__":
    main()
