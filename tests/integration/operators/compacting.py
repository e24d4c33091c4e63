"""A compact job over filled hot tables, for tests of what it commits."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import psycopg
import psycopg.sql

from tests.integration.operators.workbench import Dataset, JobUnderTest, Run, scratch_folder, task_credentials
from tests.services import Databases, ObjectStore
from traceplane_sdk import empty_ranges, wire
from traceplane_sdk.copyrows import copy_rows
from traceplane_sdk.operator import ColumnType

HUGE = 2**256 - 1


class Compaction:
    """A compact job over a filled set of hot tables."""

    def __init__(
        self,
        databases: Databases,
        store: ObjectStore,
        bucket: str,
        tmp_path: Path,
        sparse: bool = False,
        **config: Any,
    ) -> None:
        follower = JobUnderTest.declare(
            "block_follower",
            {"chainId": 1, "rpcPool": "local", "finalityDepthBlocks": 10},
            ("blocks", "transactions", "logs"),
        )
        follower.outputs = [replace(one, schema=replace(one.schema, sparse=sparse)) for one in follower.outputs]
        ranges = JobUnderTest.declare(
            "range_aggregator",
            {"cursorColumn": "block_number", "rangeSize": 100},
            ("ranges",),
            [(follower.dataset("blocks"), True)],
        )
        inputs = [(ranges.dataset("ranges"), True), *((one, False) for one in follower.outputs)]
        self.job = JobUnderTest.declare(
            "parquet_compact", config, ("blocks", "transactions", "logs"), inputs, bucket=bucket
        )
        self.hot = {one.name: one for one in follower.outputs}
        self.databases, self.store, self.bucket, self.tmp_path = databases, store, bucket, tmp_path
        for dataset in follower.outputs:
            dataset.provision(databases.data_dsn)

    def fill(self, start: int, end: int) -> None:
        """Rows of every column's extreme values; two transactions and three logs a block."""
        with psycopg.connect(self.databases.data_dsn) as connection:
            for name, per_block in (("blocks", 1), ("transactions", 2), ("logs", 3)):
                rows = [
                    made_row(self.hot[name], number, index)
                    for number in range(start, end + 1)
                    for index in range(per_block)
                ]
                table = psycopg.sql.Identifier(*self.hot[name].location.split("."))
                copy_rows(connection, table, self.hot[name].columns, rows)

    def empty(self, low: int, high: int) -> None:
        """Heights without a block."""
        with psycopg.connect(self.databases.data_dsn) as connection:
            for dataset in self.hot.values():
                connection.execute(f"delete from {dataset.location} where block_number between {low} and {high}")
                empty_ranges.record(connection, dataset.version, low, high)

    def run(self, start: int, end: int, attempt: int = 1, **changes: Any) -> Run:
        partition = wire.Partition(f"{start}-{end}", start, end)
        claimed = self.job.claim(
            attempt,
            {"kind": "partition", "key": partition.key, "start": start, "end": end},
            partition=partition,
            **changes,
        )
        return Run(claimed, **self.io())

    def io(self) -> dict[str, Any]:
        return {
            "data_dsn": lambda: self.databases.writer_dsn,
            "credentials": self.credentials,
            "scratch": scratch_folder(self.tmp_path),
        }

    def credentials(self) -> wire.CredentialsResponse:
        return task_credentials(self.store)

    def object(self, uri: str) -> bytes:
        parts = urlparse(uri)
        body = self.store.client().get_object(Bucket=parts.netloc, Key=parts.path[1:])["Body"]
        return bytes(body.read())

    def files(self, output: wire.CommittedOutput) -> list[Path]:
        """The output's Parquet files, downloaded."""
        manifest = json.loads(self.object(output.location + "_manifest.json"))
        paths = []
        for file in manifest["files"]:
            path = self.tmp_path / file["path"]
            path.write_bytes(self.object(output.location + file["path"]))
            paths.append(path)
        return paths


def made_row(dataset: Dataset, number: int, index: int) -> tuple[Any, ...]:
    """A row whose values differ by column, number and index, with extremes and nulls among them."""
    values: list[Any] = []
    for position, column in enumerate(dataset.schema.columns):
        seed = number * 31 + index * 7 + position
        if column.name == "block_number":
            values.append(number)
        elif column.name in ("transaction_index", "log_index"):
            values.append(index)
        elif column.nullable and seed % 3 == 0:
            values.append(None)
        else:
            values.append(_value(column.type, seed))
    return tuple(values)


def _value(kind: ColumnType, seed: int) -> Any:
    return {
        ColumnType.INT32: seed % 2**31,
        ColumnType.INT64: 2**63 - 1 - seed,
        ColumnType.UINT256: HUGE - seed if seed % 2 else seed,
        ColumnType.HEX: f"0x{seed:064x}",
        ColumnType.TIMESTAMP: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seed, microseconds=seed % 1000),
        ColumnType.JSON: {"é\t\n\\": [seed, None, "0x"]},
    }[kind]


def completed(run: Run) -> wire.Completion:
    completion = run.finish()
    assert completion is not None
    assert completion.status == "Completed", completion
    return completion


def failed(run: Run) -> wire.TaskError:
    completion = run.finish()
    assert completion is not None
    assert completion.error is not None, completion
    assert completion.outputs == []
    return completion.error
