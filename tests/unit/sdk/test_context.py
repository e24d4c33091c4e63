"""What a run may reach is what its process lends it; a task that an operator cannot run fails for good."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import BaseModel

from operators.cryo_ingest import run as extraction
from operators.parquet_compact import run as compaction
from operators.parquet_compact.config import ParquetCompactConfig
from operators.query import run as query
from operators.range_aggregator import run as aggregation
from tests.support.tasks import ID, payload
from traceplane_sdk import wire
from traceplane_sdk.commit import PartitionCommit
from traceplane_sdk.context import Context, TaskIO
from traceplane_sdk.errors import OperatorError, Stopped, StopReason
from traceplane_sdk.parquet import arrow_schema
from traceplane_sdk.queries import QueryAnswer


class Config(BaseModel):
    """Of no operator."""


PART = wire.Partition("0-9", 0, 9)
FINAL: dict[str, Any] = {"cursor": wire.CursorSpan(None, 9), "finality_depth": 1, "first_value": 0}


def source(**given: Any) -> wire.TaskInput:
    return wire.TaskInput(
        position=1,
        dataset=ID,
        version=ID,
        storage="Postgres",
        location="hot.d_1",
        columns=[],
        scope_column="block_number",
        sort_by=["block_number"],
        **{"name": "blocks", **given},
    )


def context(*inputs: wire.TaskInput, scratch: Path | None = None) -> Context:
    """A run that its process lends nothing, or a disk alone."""

    def no_database() -> str:
        raise AssertionError("the task is refused before it reads")

    task = payload(inputs=list(inputs))
    return Context(task, Config(), TaskIO(data_dsn=no_database, scratch=scratch))


def code(call: Callable[[], Any]) -> str:
    with pytest.raises(OperatorError) as error:
        call()
    assert not error.value.retryable
    return error.value.code


def test_what_the_process_does_not_lend_is_refused(tmp_path: Path) -> None:
    assert code(context().cold) == "NoObjectStore"
    assert code(lambda: context().emit([])) == "NoEvents"
    assert code(context().unfinished) == "NoEvents"
    assert code(lambda: context(scratch=tmp_path).query("SELECT 1")) == "NoQueryService"


@pytest.mark.parametrize("inputs", [[], [source(trigger=False)], [source(), source()]])
def test_a_task_has_one_trigger(inputs: list[wire.TaskInput]) -> None:
    assert code(context(*inputs).trigger) == "BadTask"


@pytest.mark.parametrize("operator", [compaction, query, extraction])
def test_a_partition_and_a_disk_are_needed(operator: Any, tmp_path: Path) -> None:
    assert code(lambda: operator.run(context(source(), scratch=tmp_path))) == "BadTask"
    assert code(lambda: operator.run(context(source(partition=PART)))) == "BadTask"


@pytest.mark.parametrize("missing", FINAL)
def test_ranges_need_a_cursor_a_finality_depth_and_a_first_value(missing: str) -> None:
    given = {name: value for name, value in FINAL.items() if name != missing}
    assert code(lambda: aggregation.run(context(source(**given)))) == "BadTask"


def test_a_run_that_is_asked_to_stop_stores_nothing(tmp_path: Path) -> None:
    output = wire.TaskOutput(
        name="blocks",
        dataset=ID,
        version=ID,
        storage="S3",
        location="s3://bucket/blocks/",
        columns=[wire.ColumnDef("block_number", "Int64")],
        unique_key=["block_number"],
        scope_column="block_number",
        sort_by=["block_number"],
    )
    stopping = context(scratch=tmp_path)
    stopping.control.stop(StopReason.CANCELED)
    stopping.config = ParquetCompactConfig()
    store: Any = None
    commit = PartitionCommit(store, stopping.task, output, PART)
    rows = pa.table({"block_number": [0]}, schema=arrow_schema(output.columns))
    pq.write_table(rows, tmp_path / "answer.parquet")
    hot: Any = SimpleNamespace(batches=lambda *_: iter(rows.to_batches()))
    with pytest.raises(Stopped):
        query._write(stopping, QueryAnswer(tmp_path / "answer.parquet", 1), commit)
    with pytest.raises(Stopped):
        compaction._write(stopping, hot, source(), commit)
