"""Runs the operator `query` against a query service, as a worker would, without a dispatcher."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from tests.integration.operators.workbench import Dataset, JobUnderTest, Run, scratch_folder, task_credentials
from tests.integration.query.conftest import Client
from tests.integration.query.signer import CLAIM, LEASE, Signer
from tests.integration.query.world import COLUMNS, World
from traceplane_sdk import wire
from traceplane_sdk.control import Control
from traceplane_sdk.crashpoints import no_crash
from traceplane_sdk.operator import Column, ColumnType, OutputSchema, Storage
from traceplane_sdk.queries import QueryService

CONFIG: dict[str, Any] = {
    "sql": "SELECT block_number, hash, value, mined_at, note FROM blocks"
    " WHERE block_number BETWEEN $partition_start AND $partition_end",
    "columns": [
        {"name": "block_number", "type": "Int64"},
        {"name": "hash", "type": "Hex"},
        {"name": "value", "type": "UInt256"},
        {"name": "mined_at", "type": "Timestamp"},
        {"name": "note", "type": "Text", "nullable": True},
    ],
    "scopeColumn": "block_number",
    "uniqueKey": ["block_number"],
}
BLOCKS = OutputSchema(
    storage=Storage.POSTGRES,
    columns=tuple(Column(one["name"], ColumnType(one["type"]), one["nullable"]) for one in COLUMNS),
    unique_key=("block_number",),
    scope_column="block_number",
    sort_by=("block_number",),
)


@dataclass
class Bench:
    """Runs the operator over a world's datasets."""

    world: World
    signer: Signer
    tmp_path: Path
    control: Control = field(default_factory=Control)
    running: set[str] = field(default_factory=set)

    def run(self, client: Client, start: int, end: int, *versions: UUID, **changed: Any) -> Run:
        ranges = Dataset("ranges", BLOCKS)
        inputs = [(ranges, True), *((Dataset("blocks", BLOCKS, version=str(one)), False) for one in versions)]
        moved = changed.pop("relocated", {})
        job = JobUnderTest.declare("query", {**CONFIG, **changed}, ("found",), inputs, bucket=self.world.bucket)
        partition = wire.Partition(f"{start}-{end}", start, end)
        scope = {"kind": "partition", "key": partition.key, "start": start, "end": end}
        claimed = job.claim(1, scope, partition=partition, relocated=moved)
        return Run(
            claimed,
            data_dsn=lambda: "",
            credentials=self.credentials,
            scratch=scratch_folder(self.tmp_path),
            query=self.service(client, claimed.task.task_id, *versions).ask,
        )

    def hot(
        self, client: Client, source: UUID, **changed: Any
    ) -> tuple[JobUnderTest, Callable[..., wire.Completion]]:
        """A job that writes a hot table from the hot dataset `source`, its trigger; and a run, given the cursor
        or the partition of a claim, and what else the claim says."""
        strategy = changed.pop("execution_strategy", "PerPartition")
        update_strategy = changed.pop("update_strategy", "Replace")
        schema = replace(
            BLOCKS, **{name: changed.pop(name) for name in ("finality_depth", "first_value") if name in changed}
        )
        inputs = [(Dataset("blocks", schema, version=str(source)), True)]
        job = JobUnderTest.declare(
            "query", {**CONFIG, "storage": "Postgres", **changed}, ("found",), inputs, execution_strategy=strategy
        )
        job.dataset("found").provision(self.world.databases.data_dsn)
        epochs = itertools.count(1)

        def run(**claim: Any) -> wire.Completion:
            kind = "partition" if "partition" in claim else "cursor"
            crash_point = claim.pop("crash_point", no_crash)
            given = {"task_id": str(uuid4()), "update_strategy": update_strategy, **claim}
            claimed = job.claim(next(epochs), {"kind": kind}, **given)
            done = Run(
                claimed,
                crash_point=crash_point,
                data_dsn=lambda: self.world.databases.writer_dsn,
                scratch=scratch_folder(self.tmp_path),
                query=self.service(client, claimed.task.task_id, source).ask,
            ).finish()
            assert done is not None
            return done

        return job, run

    def service(self, client: Client, task: str, *versions: UUID) -> QueryService:
        if task not in self.running:
            self.running.add(task)
            self.world.running(UUID(task), LEASE, CLAIM)
        fence = wire.Fence(task, 1, str(LEASE))
        token = self.signer.token(*versions, task=UUID(task))
        return QueryService(client.url, lambda: (fence, token), self.control, patience=3)

    def credentials(self) -> wire.CredentialsResponse:
        return task_credentials(self.world.store)

    def committed(self, run: Run) -> tuple[wire.Completion, pa.Table, Mapping[str, Any]]:
        """Completion, rows and manifest of a run that ended well."""
        completion = run.finish()
        assert completion is not None
        assert completion.status == "Completed", completion.error
        (output,) = completion.outputs
        manifest = json.loads(self._object(output.location + "_manifest.json"))
        (file,) = manifest["files"]
        content = self._object(output.location + file["path"])
        assert hashlib.sha256(content).hexdigest() == file["sha256"]
        return completion, pq.read_table(io.BytesIO(content)), manifest

    def failed(self, run: Run) -> wire.TaskError:
        completion = run.finish()
        assert completion is not None
        assert completion.error is not None, completion
        return completion.error

    def _object(self, uri: str) -> bytes:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        return bytes(self.world.store.client().get_object(Bucket=bucket, Key=key)["Body"].read())
