"""A compaction whose rows another version moved before: the same files as from hot rows, from wherever they lie."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any
from urllib.parse import urlparse

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.integration.operators.compacting import Compaction, completed, failed
from tests.integration.operators.workbench import Dataset
from tests.support import wheres
from tests.support.seeds import seeds
from traceplane_sdk import wire
from traceplane_sdk.columns import FORMS

pytestmark = pytest.mark.services

OUTPUTS = ("blocks", "transactions", "logs")


class Moved:
    """What earlier completions committed of each output, as a later claim says it."""

    def __init__(self, work: Compaction) -> None:
        self.work = work
        self.found: dict[str, list[wire.Relocated]] = {name: [] for name in OUTPUTS}

    def add(self, completions: list[wire.Completion], ranges: list[tuple[int, int]]) -> None:
        """One cold version, which answers for `ranges`."""
        for name in OUTPUTS:
            outputs = [one for done in completions for one in done.outputs if one.name == name]
            parts = [
                wire.ColdPartition(one.partition.start, one.partition.end, one.location, one.manifest_sha256)
                for one in outputs
            ]
            version = self.work.job.dataset(name).version
            self.found[name].append(wire.Relocated(version, ranges, parts))

    def forget(self) -> None:
        """Delete the hot rows, as the platform does after a time."""
        with psycopg.connect(self.work.databases.data_dsn) as connection:
            for name, relocated in self.found.items():
                for low, high in (part for one in relocated for part in one.ranges):
                    table = self.work.hot[name].location
                    connection.execute(f"delete from {table} where block_number between {low} and {high}")


def table(work: Compaction, output: wire.CommittedOutput) -> pa.Table:
    """All rows of a committed output, in the order of its files."""
    files = work.files(output)
    return pa.concat_tables([pq.read_table(path) for path in files])


def tables(work: Compaction, completion: wire.Completion) -> dict[str, pa.Table]:
    return {one.name: table(work, one) for one in completion.outputs}


@pytest.mark.parametrize("seed", seeds(2, 8))
def test_rows_of_files_and_of_the_hot_table_become_the_files_of_hot_rows_alone(
    compaction: Callable[..., Compaction], seed: int
) -> None:
    chance = random.Random(seed)
    work = compaction(maxRowsPerFile=chance.choice((60, 1000)), rowGroupRows=chance.choice((7, 64)))
    work.fill(0, 430)
    first, last = sorted(chance.sample(range(300), 2))
    truth = tables(work, completed(work.run(first, last, task_id=work.job.job_id)))
    moved, attempt = Moved(work), 1
    taken: set[int] = set()
    for size in (chance.randint(20, 120), chance.randint(20, 120)):  # two cold versions of the same hot ones
        starts = [n for n in range(0, 300, size) if chance.random() < 0.6]
        done = []
        for start in starts:
            attempt += 1
            done.append(completed(work.run(start, start + size - 1, attempt=attempt, relocated=moved.found)))
        fresh = [n for start in starts for n in range(start, start + size) if n not in taken]
        taken.update(fresh)
        moved.add(done, _ranges(fresh))
        moved.forget()
    completion = completed(work.run(first, last, attempt=attempt + 1, relocated=moved.found))
    again = tables(work, completion)
    assert again.keys() == truth.keys()
    for name, rows in truth.items():
        assert again[name].equals(rows), name
        assert again[name].schema.equals(rows.schema, check_metadata=True)
    cold = {n for low, high in completion.relocations[0].cold for n in range(low, high + 1)}
    assert cold == taken & set(range(first, last + 1))


def _ranges(values: list[int]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for n in sorted(values):
        found[-1:] = [(found[-1][0], n)] if found and found[-1][1] == n - 1 else [*found[-1:], (n, n)]
    return found


def test_a_hole_in_cold_files_is_not_committed_again(compaction: Callable[..., Compaction]) -> None:
    work = compaction(sparse=True)
    work.fill(0, 130)
    work.empty(42, 44)
    moved = Moved(work)
    moved.add([completed(work.run(0, 49))], [(0, 49)])
    moved.forget()
    assert [one.rows for one in completed(work.run(0, 99, attempt=2, relocated=moved.found)).outputs] == [
        97,
        194,
        291,
    ]
    with psycopg.connect(work.databases.data_dsn) as connection:
        connection.execute("delete from trace.empty_ranges")
    error = failed(work.run(0, 99, attempt=3, relocated=moved.found))
    assert error.code == "RangeNotWhole"
    assert "97 rows with 97 values in 0-99, where 100 are due" in error.message


def test_a_range_that_is_all_cold_needs_no_hot_row(compaction: Callable[..., Compaction]) -> None:
    work = compaction()
    work.fill(0, 130)
    moved = Moved(work)
    moved.add([completed(work.run(0, 99))], [(0, 99)])
    with psycopg.connect(work.databases.data_dsn) as connection:
        for dataset in work.hot.values():
            connection.execute(f"delete from {dataset.location}")
    completion = completed(work.run(20, 79, attempt=2, relocated=moved.found))
    assert [one.rows for one in completion.outputs] == [60, 120, 180]


def test_a_correction_is_not_made_from_the_files_before_it(compaction: Callable[..., Compaction]) -> None:
    work = compaction()
    work.fill(0, 130)
    moved = Moved(work)
    moved.add([completed(work.run(0, 49))], [(0, 49)])
    error = failed(work.run(0, 99, attempt=2, relocated=moved.found, cause="Invalidation"))
    assert (error.code, error.retryable) == ("AlreadyCompacted", False)


def _manifest(work: Compaction, location: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(work.object(location + "_manifest.json"))
    return found


def _put(work: Compaction, uri: str, body: bytes) -> None:
    work.store.client().put_object(Bucket=work.bucket, Key=urlparse(uri).path[1:], Body=body)


@pytest.mark.parametrize("what", ["file", "manifest"])
def test_files_that_are_not_what_was_committed_are_not_read(
    compaction: Callable[..., Compaction], what: str
) -> None:
    work = compaction()
    work.fill(0, 130)
    done = completed(work.run(0, 49))
    moved = Moved(work)
    moved.add([done], [(0, 49)])
    location = done.outputs[2].location  # of the logs, for which nothing vouches
    if what == "file":
        [file] = _manifest(work, location)["files"]
        _put(work, location + file["path"], b"other")
    else:
        _put(work, location + "_manifest.json", b"{}")
    error = failed(work.run(0, 99, attempt=2, relocated=moved.found))
    assert error.code == "ObjectChanged"
    assert location in error.message


def test_a_file_that_is_gone_is_named_at_once(compaction: Callable[..., Compaction]) -> None:
    work = compaction()
    work.fill(0, 130)
    done = completed(work.run(0, 49))
    moved = Moved(work)
    moved.add([done], [(0, 49)])
    location = done.outputs[0].location
    work.store.client().delete_object(Bucket=work.bucket, Key=urlparse(location).path[1:] + "blocks_0_49.parquet")
    error = failed(work.run(0, 99, attempt=2, relocated=moved.found))
    assert error.code == "ObjectStoreRefused"
    assert "NoSuchKey" in error.message


@pytest.mark.parametrize("seed", seeds(2, 8))
def test_a_filtered_copy_has_the_rows_of_its_where_from_files_and_the_hot_table(
    compaction: Callable[..., Compaction], seed: int
) -> None:
    chance = random.Random(seed)
    work = compaction(rowGroupRows=chance.choice((7, 64)), deleteAfterCompact=False)
    work.fill(0, 330)
    truth = tables(work, completed(work.run(0, 299, task_id=work.job.job_id)))
    moved = Moved(work)
    moved.add([completed(work.run(50, 99)), completed(work.run(200, 249, attempt=2))], [(50, 99), (200, 249)])
    moved.forget()
    for attempt in range(3, 9):
        given = {name: _where(chance, work.hot[name], rows) for name, rows in truth.items()}
        done = completed(work.run(0, 299, attempt=attempt, relocated=moved.found, where=given))
        for name, rows in tables(work, done).items():
            kinds = {column.name: column.type for column in work.hot[name].columns}
            kept = [_passes(row, given[name], kinds) for row in truth[name].to_pylist()]
            assert rows.equals(truth[name].filter(pa.array(kept, pa.bool_()))), (name, given[name])
        cold = [(50, 99), (200, 249)]
        assert [(one.cold, one.delete_hot) for one in done.relocations] == [(cold, False)] * 3


def _where(chance: random.Random, dataset: Dataset, rows: pa.Table) -> dict[str, list[str]]:
    """One or two columns, with values of some rows."""
    columns = [column for column in dataset.columns if FORMS[column.type].constant is not None]
    found = {}
    for column in chance.sample(columns, chance.randint(1, 2)):
        values = [value for value in rows.column(column.name).to_pylist() if value is not None]
        texts = {wheres.text(column.type, value) for value in chance.choices(values, k=chance.randint(1, 30))}
        found[column.name] = sorted(texts)
    return found


def _passes(row: dict[str, Any], given: dict[str, list[str]], kinds: dict[str, str]) -> bool:
    found = {name: None if row[name] is None else wheres.text(kinds[name], row[name]) for name in given}
    return all(found[name] in texts for name, texts in given.items())


def test_a_dataset_is_whole_whatever_is_copied_of_it(compaction: Callable[..., Compaction]) -> None:
    work = compaction(deleteAfterCompact=False)
    work.fill(0, 130)
    given = {"blocks": {"block_number": ["7"]}}
    assert [one.rows for one in completed(work.run(0, 99, where=given)).outputs] == [1, 200, 300]
    with psycopg.connect(work.databases.data_dsn) as connection:
        connection.execute(f"delete from {work.hot['blocks'].location} where block_number = 50")
    assert failed(work.run(0, 99, attempt=2, where=given)).code == "RangeNotWhole"
