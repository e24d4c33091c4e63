"""A job of cryo_ingest over a real node and a real store, and the rows that it committed."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from operators.ranges.schemas import RANGES
from tests.integration.operators.workbench import Dataset, JobUnderTest, Run, scratch_folder, task_credentials
from tests.services import CHAIN_ID, ObjectStore
from traceplane_sdk import wire


class Extraction:
    """Extracts from `urls`."""

    def __init__(self, store: ObjectStore, bucket: str, folder: Path, urls: Callable[[], Sequence[str]]) -> None:
        self.store, self.bucket, self.folder, self.urls = store, bucket, folder, urls

    def run(self, dataset: str, start: int, end: int, *, attempt: int = 1, **config: Any) -> Run:
        """Start one attempt."""
        chosen = {"chainId": CHAIN_ID, "rpcPool": "local", "dataset": dataset, **config}
        ranges = Dataset("ranges", RANGES)
        job = JobUnderTest.declare("cryo_ingest", chosen, (dataset,), [(ranges, True)], bucket=self.bucket)
        part = wire.Partition(f"{start}-{end}", start, end)
        return Run(
            job.claim(1, {"kind": "partition"}, partition=part, attempt=attempt),
            data_dsn=lambda: "",
            credentials=lambda: task_credentials(self.store),
            rpc_urls=lambda _pool: self.urls(),
            scratch=scratch_folder(self.folder),
        )

    def table(self, committed: wire.CommittedOutput) -> pa.Table:
        """The rows of a commit, from all its files."""
        files = json.loads(self._object(committed.location + "_manifest.json"))["files"]
        found = [pq.read_table(io.BytesIO(self._object(committed.location + file["path"]))) for file in files]
        return pa.concat_tables(found)

    def _object(self, uri: str) -> bytes:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        return bytes(self.store.client().get_object(Bucket=bucket, Key=key)["Body"].read())
