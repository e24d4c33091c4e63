"""The splitter on a real table: chunks once, their events with the task, again for a partition that changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from operators.ranges.schemas import RANGES
from tests.integration.operators.compacting import completed, failed
from tests.integration.operators.workbench import Dataset, JobUnderTest, Run
from tests.services import Databases
from traceplane_sdk import wire

pytestmark = pytest.mark.services


class Splitting:
    """A splitting job, and what its runs reported while they ran, by the id of the report."""

    def __init__(self, databases: Databases, size: int) -> None:
        self.databases = databases
        self.job = JobUnderTest.declare(
            "range_splitter", {"chunkSize": size}, ("chunks",), [(Dataset("ranges", RANGES), True)]
        )
        self.job.dataset("chunks").provision(databases.data_dsn)
        self.reported: dict[str, list[wire.Event]] = {}
        self.epoch = 0

    def run(self, start: int, end: int, **changes: Any) -> Run:
        self.epoch += 1
        part = wire.Partition(f"{start}-{end}", start, end)
        claimed = self.job.claim(self.epoch, {"kind": "partition"}, partition=part, **changes)
        return Run(claimed, data_dsn=lambda: self.databases.writer_dsn, emit=self.emit)

    def emit(
        self, events: Sequence[wire.Event], _invalidations: Sequence[wire.Invalidation], report: str
    ) -> wire.EventsResponse:
        new = report not in self.reported
        self.reported.setdefault(report, list(events))
        return wire.EventsResponse(len(events) if new else 0)

    def rows(self) -> list[Any]:
        with psycopg.connect(self.databases.data_dsn) as connection:
            table = self.job.dataset("chunks").location
            return connection.execute(f"select * from {table} order by range_start").fetchall()


def keys(events: Sequence[wire.Event]) -> list[str]:
    return [event.partition.key for event in events if event.partition]


def test_each_chunk_is_written_and_fired_once(databases: Databases) -> None:
    splitting = Splitting(databases, 10)
    fired = [keys(completed(splitting.run(*part)).events) for part in ((3, 24), (40, 49), (25, 39))]
    assert fired == [["3-9", "10-19", "20-24"], ["40-49"], ["25-29", "30-39"]]
    assert [row[1:] for row in splitting.rows()] == [(3, 9), (10, 19), (20, 24), (25, 29), (30, 39), (40, 49)]


def test_another_attempt_writes_nothing_twice(databases: Databases) -> None:
    splitting = Splitting(databases, 10)
    lost = completed(splitting.run(0, 29))
    assert completed(splitting.run(0, 29)).events == lost.events
    assert len(splitting.rows()) == 3


def test_a_partition_that_changed_fires_its_chunks_again_and_keeps_their_rows(databases: Databases) -> None:
    splitting = Splitting(databases, 10)
    completed(splitting.run(0, 29))
    before = splitting.rows()
    again = completed(splitting.run(0, 29, cause="Invalidation", task_id=str(uuid4())))
    assert keys(again.events) == ["0-9", "10-19", "20-29"]
    assert splitting.rows() == before


def test_more_chunks_than_a_completion_takes_are_reported_before_it_under_ids_that_repeat(
    databases: Databases,
) -> None:
    splitting = Splitting(databases, 1)
    last = completed(splitting.run(5, 2_504)).events
    early = [event for events in splitting.reported.values() for event in events]
    assert keys([*early, *last]) == [f"{value}-{value}" for value in range(5, 2_505)]
    assert (len(early), len(last)) == (2_000, 500)
    reports = set(splitting.reported)
    completed(splitting.run(5, 2_504))
    assert set(splitting.reported) == reports, "another attempt reported the same under other ids"
    completed(splitting.run(5, 2_504, task_id=str(uuid4())))
    assert len(splitting.reported) == 2 * len(reports), "another task is other work"
    assert len(splitting.rows()) == 2_500


def test_too_many_chunks_are_refused_with_the_remedy_and_nothing_is_written(databases: Databases) -> None:
    splitting = Splitting(databases, 10)
    error = failed(splitting.run(0, 1_000_009))
    assert (error.code, error.retryable) == ("TooManyChunks", False)
    assert "Raise chunkSize" in error.message
    assert splitting.rows() == []


def test_a_stale_run_writes_nothing(databases: Databases) -> None:
    splitting = Splitting(databases, 10)
    splitting.epoch = 4
    completed(splitting.run(0, 29))
    splitting.epoch = 3
    stale = splitting.run(30, 59)
    stale.finish()
    assert stale.stale
    assert len(splitting.rows()) == 3
