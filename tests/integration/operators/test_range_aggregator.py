"""The aggregator on a real table: rows once, events with the state, nothing under a stale fence."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.integration.operators.workbench import JobUnderTest, Run
from tests.services import Databases
from traceplane_sdk import wire

pytestmark = pytest.mark.services


def _job(databases: Databases, start: int = 0) -> JobUnderTest:
    follower = JobUnderTest.declare(
        "block_follower",
        {"chainId": 1, "rpcPool": "local", "finalityDepthBlocks": 5, "startBlock": start},
        ("blocks",),
    )
    job = JobUnderTest.declare(
        "range_aggregator",
        {"cursorColumn": "block_number", "rangeSize": 10},
        ("ranges",),
        [(follower.dataset("blocks"), True)],
    )
    job.dataset("ranges").provision(databases.data_dsn)
    return job


def _run(databases: Databases, job: JobUnderTest, upto: int, epoch: int, final: int | None = None) -> Run:
    claimed = job.claim(epoch, {"kind": "cursor"}, cursor=wire.CursorSpan(None, upto), final=final)
    run = Run(claimed, data_dsn=lambda: databases.writer_dsn)
    run.finish()
    return run


def _accepted(
    databases: Databases, job: JobUnderTest, upto: int, epoch: int, final: int | None = None
) -> list[str]:
    """Run, and keep the state as the dispatcher would when it accepts the completion."""
    completion = _run(databases, job, upto, epoch, final).completion
    assert completion is not None
    assert completion.status == "Completed", completion
    job.state.update(completion.state)
    return [event.partition.key for event in completion.events if event.partition]


def _rows(databases: Databases, job: JobUnderTest) -> list[Any]:
    with psycopg.connect(databases.data_dsn) as connection:
        table = job.dataset("ranges").location
        return connection.execute(f"select * from {table} order by range_start").fetchall()


def test_each_final_range_is_written_and_fired_once(databases: Databases) -> None:
    job = _job(databases, start=3)
    fired = [_accepted(databases, job, upto, epoch) for epoch, upto in enumerate((13, 14, 14, 37, 20, 44), 1)]
    assert fired == [[], ["3-9"], [], ["10-19", "20-29"], [], ["30-39"]]
    assert _rows(databases, job) == [("3-9", 3, 9), ("10-19", 10, 19), ("20-29", 20, 29), ("30-39", 30, 39)]


def test_ranges_follow_what_the_source_says_is_final_and_not_the_depth(databases: Databases) -> None:
    job = _job(databases)
    # -1: before the source knows of any final block.
    said = [(14, -1), (1000, 8), (1000, 9), (1000, 28), (1000, 29)]
    fired = [_accepted(databases, job, upto, epoch, final) for epoch, (upto, final) in enumerate(said, 1)]
    assert fired == [[], [], ["0-9"], ["10-19"], ["20-29"]]


def test_a_run_that_ends_short_of_what_is_there_completes_the_range_that_it_ends_in(databases: Databases) -> None:
    job = _job(databases)
    claimed = job.claim(1, {"kind": "cursor"}, cursor=wire.CursorSpan(None, 12, 44))
    run = Run(claimed, data_dsn=lambda: databases.writer_dsn)
    run.finish()
    assert run.completion is not None
    assert [event.partition.key for event in run.completion.events if event.partition] == ["0-9", "10-19"]


def test_a_completion_that_was_lost_fires_again_and_writes_nothing_twice(databases: Databases) -> None:
    job = _job(databases)
    lost = _run(databases, job, 30, 1).completion
    assert lost is not None
    assert _accepted(databases, job, 30, 2) == [event.partition.key for event in lost.events if event.partition]
    assert len(_rows(databases, job)) == 2


def test_a_long_backlog_is_worked_off_in_bounded_completions(databases: Databases) -> None:
    job = _job(databases)
    first = _accepted(databases, job, 15_004, 1)
    assert len(first) == wire.MAX_ITEMS
    assert len(_accepted(databases, job, 15_005, 2)) == 500
    assert len(_rows(databases, job)) == 1500


def test_a_stale_run_writes_nothing(databases: Databases) -> None:
    job = _job(databases)
    _accepted(databases, job, 30, 5)
    stale = _run(databases, job, 100, 4)
    assert stale.stale
    assert len(_rows(databases, job)) == 2
