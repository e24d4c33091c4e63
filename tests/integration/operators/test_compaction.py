"""Compaction: the files are the hot rows, they are committed by manifest, and nothing unsure is committed."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from urllib.parse import urlparse

import duckdb
import psycopg
import pyarrow.parquet as pq
import pytest

from tests.integration.operators.compacting import Compaction, completed, failed
from tests.integration.operators.workbench import Run
from tests.services import ObjectStore
from traceplane_sdk import crashpoints, wire
from traceplane_sdk.errors import OperatorError

pytestmark = pytest.mark.services


def test_files_equal_the_hot_rows_value_by_value(compaction: Callable[..., Compaction]) -> None:
    work = compaction()
    work.fill(0, 250)
    completion = completed(work.run(100, 199))
    assert [(one.name, one.rows) for one in completion.outputs] == [
        ("blocks", 100),
        ("transactions", 200),
        ("logs", 300),
    ]
    for output in completion.outputs:
        dataset = work.hot[output.name]
        [path] = work.files(output)
        assert path.name == f"{output.name}_100_199.parquet"
        texts = {"UInt256": "::text", "Json": "::text", "Timestamp": "::text"}
        columns = ", ".join(f'"{c.name}"{texts.get(c.type, "")}' for c in dataset.columns)
        order = ", ".join(dataset.schema.sort_by)
        with psycopg.connect(work.databases.data_dsn, options="-c timezone=UTC") as connection:
            expected = connection.execute(
                f"select {columns} from {dataset.location} where block_number between 100 and 199 order by {order}"
            ).fetchall()
        connection = duckdb.connect()
        connection.execute("set timezone = 'UTC'")
        cast = {"Timestamp": "::varchar"}
        columns = ", ".join(f'"{c.name}"{cast.get(c.type, "")}' for c in dataset.columns)
        assert connection.execute(f"select {columns} from read_parquet('{path}')").fetchall() == expected


def test_manifest_and_marker_describe_what_was_written(compaction: Callable[..., Compaction]) -> None:
    work = compaction()
    work.fill(0, 130)
    completion = completed(work.run(0, 99))
    blocks = completion.outputs[0]
    manifest_bytes = work.object(blocks.location + "_manifest.json")
    manifest = json.loads(manifest_bytes)
    digest = hashlib.sha256(manifest_bytes).hexdigest()
    assert work.object(blocks.location + "_SUCCESS").decode() == digest == blocks.manifest_sha256
    content = work.object(blocks.location + manifest["files"][0]["path"])
    assert manifest["files"] == [
        {
            "path": "blocks_0_99.parquet",
            "rows": 100,
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
    ]
    assert manifest["partition"] == {"key": "0-99", "start": 0, "end": 99}
    assert (manifest["rows"], manifest["bytes"]) == (blocks.rows, blocks.bytes)
    assert [c["name"] for c in manifest["columns"]] == [c.name for c in work.hot["blocks"].columns]
    assert blocks.location == (f"{work.job.dataset('blocks').location}0-99/{work.job.task_id}-1/")


def test_the_completion_moves_every_output_and_announces_it(compaction: Callable[..., Compaction]) -> None:
    work = compaction(deleteAfterCompact=False)
    work.fill(0, 130)
    completion = completed(work.run(0, 99))
    names = {one.position: one.name for one in [d.input(i) for i, (d, _) in enumerate(work.job.inputs)]}
    assert [(names[one.input], one.output, one.delete_hot) for one in completion.relocations] == [
        ("blocks", "blocks", False),
        ("transactions", "transactions", False),
        ("logs", "logs", False),
    ]
    assert [(one.output, one.partition.key) for one in completion.events] == [
        ("blocks", "0-99"),
        ("transactions", "0-99"),
        ("logs", "0-99"),
    ]


def test_files_are_worth_reading(compaction: Callable[..., Compaction]) -> None:
    work = compaction(rowGroupRows=64)
    work.fill(0, 250)
    completion = completed(work.run(0, 199))
    [path] = work.files(completion.outputs[1])
    file = pq.ParquetFile(io.BytesIO(path.read_bytes()))
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [64] * 6 + [16]
    column = file.metadata.row_group(1).column(0)
    assert column.compression == "ZSTD"
    assert (column.statistics.min, column.statistics.max) == (32, 63)
    assert column.has_column_index
    assert column.has_offset_index
    fields = {field.name: field.metadata for field in file.schema_arrow}
    assert fields["value"][b"trace.type"] == b"UInt256"
    order = [(one.column_index, one.descending) for one in file.metadata.row_group(0).sorting_columns]
    assert order == [(0, False), (3, False)]


def test_long_ranges_are_split_into_files(compaction: Callable[..., Compaction]) -> None:
    work = compaction(maxRowsPerFile=80, rowGroupRows=40)
    work.fill(0, 130)
    completion = completed(work.run(0, 99))
    blocks, transactions, _ = completion.outputs
    assert [path.name for path in work.files(blocks)] == ["blocks_0_99_0.parquet", "blocks_0_99_1.parquet"]
    assert [pq.read_metadata(path).num_rows for path in work.files(transactions)] == [80, 80, 40]


def test_a_range_without_rows_of_one_output_still_has_a_file(compaction: Callable[..., Compaction]) -> None:
    work = compaction()
    work.fill(0, 130)
    with psycopg.connect(work.databases.data_dsn) as connection:
        connection.execute(f"delete from {work.hot['logs'].location}")
    completion = completed(work.run(0, 99))
    [path] = work.files(completion.outputs[2])
    assert pq.read_metadata(path).num_rows == 0
    assert completion.outputs[2].rows == 0


def test_a_range_with_a_hole_is_not_committed(
    compaction: Callable[..., Compaction], object_store: ObjectStore
) -> None:
    work = compaction()
    work.fill(0, 130)
    with psycopg.connect(work.databases.data_dsn) as connection:
        connection.execute(f"delete from {work.hot['blocks'].location} where block_number = 42")
    error = failed(work.run(0, 99))
    assert error.code == "RangeNotWhole"
    assert "99 rows" in error.message
    assert object_store.keys(work.bucket) == []


def test_a_range_that_may_still_change_is_not_committed(
    compaction: Callable[..., Compaction], object_store: ObjectStore
) -> None:
    work = compaction()
    work.fill(0, 108)
    error = failed(work.run(0, 99))
    assert (error.code, error.retryable) == ("RangeNotFinal", True)
    assert object_store.keys(work.bucket) == []


@pytest.mark.parametrize(("said", "code"), [(99, None), (98, "RangeNotFinal")])
def test_what_the_source_says_is_final_decides(
    compaction: Callable[..., Compaction], said: int, code: str | None
) -> None:
    work = compaction()
    work.fill(0, 100)  # by the depth, nothing of it were final
    completion = work.run(0, 99, final=said).finish()
    assert completion is not None
    assert (completion.error.code if completion.error else None) == code


def test_values_without_a_row_are_no_holes_where_the_writer_recorded_them(
    compaction: Callable[..., Compaction],
) -> None:
    work = compaction(sparse=True)
    work.fill(0, 130)
    work.empty(42, 44)
    work.empty(97, 110)
    completion = completed(work.run(0, 99))
    assert [one.rows for one in completion.outputs] == [94, 188, 282]
    [path] = work.files(completion.outputs[0])
    heights = pq.read_table(path).column("block_number").to_pylist()
    assert heights == [n for n in range(97) if n not in (42, 43, 44)]


def test_a_hole_beside_values_without_a_row_is_refused_all_the_same(compaction: Callable[..., Compaction]) -> None:
    work = compaction(sparse=True)
    work.fill(0, 130)
    work.empty(42, 44)
    with psycopg.connect(work.databases.data_dsn) as connection:
        connection.execute(f"delete from {work.hot['blocks'].location} where block_number = 45")
    error = failed(work.run(0, 99))
    assert error.code == "RangeNotWhole"
    assert "96 rows with 96 values in 0-99, where 97 are due" in error.message


def test_empties_of_a_dataset_that_has_every_value_count_for_nothing(compaction: Callable[..., Compaction]) -> None:
    work = compaction()
    work.fill(0, 130)
    work.empty(42, 44)
    assert failed(work.run(0, 99)).code == "RangeNotWhole"


def test_the_same_attempt_made_twice_commits_the_same(compaction: Callable[..., Compaction]) -> None:
    work = compaction()
    work.fill(0, 130)
    first = completed(work.run(0, 99))
    again = completed(work.run(0, 99))
    assert [one.manifest_sha256 for one in again.outputs] == [one.manifest_sha256 for one in first.outputs]


def test_other_content_under_the_same_key_is_a_conflict(compaction: Callable[..., Compaction]) -> None:
    work = compaction()
    work.fill(0, 130)
    key = urlparse(work.job.dataset("blocks").location).path[1:] + f"0-99/{work.job.task_id}-1/blocks_0_99.parquet"
    work.store.client().put_object(Bucket=work.bucket, Key=key, Body=b"other")
    error = failed(work.run(0, 99))
    assert error.code == "ObjectConflict"
    assert work.object(f"s3://{work.bucket}/{key}") == b"other"


@pytest.mark.parametrize("point", [point for point in crashpoints.ALL if point.startswith("cold.")])
def test_a_crash_at_any_point_is_repaired_by_the_next_attempt(
    compaction: Callable[..., Compaction], point: str
) -> None:
    def crash(name: str) -> None:
        if name == point:
            raise OperatorError("Crashed", name)

    work = compaction()
    work.fill(0, 130)
    partition = wire.Partition("0-99", 0, 99)
    claimed = work.job.claim(1, {"kind": "partition"}, partition=partition)
    assert failed(Run(claimed, **work.io(), crash_point=crash)).code == "Crashed"
    completion = completed(work.run(0, 99, attempt=2))
    assert [one.rows for one in completion.outputs] == [100, 200, 300]
    assert all("-2/" in one.location for one in completion.outputs)


def test_the_object_store_may_be_away_for_a_while(
    compaction: Callable[..., Compaction], object_store: ObjectStore
) -> None:
    work = compaction()
    work.fill(0, 130)
    credentials = work.credentials()
    object_store.kill()
    partition = wire.Partition("0-99", 0, 99)
    io_ = {**work.io(), "credentials": lambda: credentials}
    run = Run(work.job.claim(1, {"kind": "partition"}, partition=partition), **io_)
    try:
        run.logged("object store did not answer")
    finally:
        object_store.restart()
    completion = completed(run)
    assert [one.rows for one in completion.outputs] == [100, 200, 300]
    for output in completion.outputs:
        assert work.object(output.location + "_SUCCESS").decode() == output.manifest_sha256
