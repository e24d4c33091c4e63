"""A follower may end at any moment, and another may run beside it: the tables stay the chain."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psycopg
import pytest

from tests.integration.operators.following import Activity, Following, follow, reorg_transactions
from tests.services import ROOT, Chain, Databases, Postgres
from traceplane.kit.crash import EXIT_CODE
from traceplane_sdk import crashpoints

pytestmark = pytest.mark.services

HOT_POINTS = [point for point in crashpoints.ALL if point.startswith("hot.")]


@contextmanager
def process(following: Following, crash_at: str | None = None) -> Iterator[subprocess.Popen[str]]:
    """The follower as a process; killed when the block ends."""
    given = {
        "claim": json.loads(msgspec.json.encode(following.claim())),
        "dsn": following.databases.writer_dsn,
        "urls": following.urls,
        "crash_at": crash_at,
    }
    script = Path(__file__).with_name("follower_process.py")
    paths = [str(ROOT), *(path for path in sys.path if path)]
    child = subprocess.Popen(
        [sys.executable, str(script), json.dumps(given)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def events_cover(following: Following, head: int) -> None:
    """Assert that the cursor events rise to the head, none twice."""
    cursors = [event["cursor"] for event in following.outbox("Event") if event["output"] == "blocks"]
    assert cursors[-1] == head
    assert len(set(cursors)) == len(cursors)


@pytest.mark.parametrize("point", HOT_POINTS)
def test_a_crash_between_any_two_effects_of_a_batch_loses_and_doubles_nothing(
    databases: Databases, chain: Chain, point: str
) -> None:
    head = Activity(chain).blocks(12)
    following = follow(databases, [chain.url], batchBlocks=3)
    for passes in (2, 4):
        with process(following, f"{point}:{passes}") as child:
            assert child.wait(60) == EXIT_CODE
    run = following.run()
    run.reaches(head)
    run.stop()
    following.equals(chain)
    events_cover(following, head)


@pytest.mark.parametrize("point", HOT_POINTS)
def test_a_crash_within_a_reorg_leaves_the_old_chain_or_the_new_one(
    databases: Databases, chain: Chain, point: str
) -> None:
    activity = Activity(chain)
    head = activity.blocks(6)
    following = follow(databases, [chain.url], finalityDepthBlocks=6)
    run = following.run()
    run.reaches(head)
    run.stop()
    chain.reorg(3, reorg_transactions(activity, 3))
    with process(following, f"{point}:{2 if point != 'hot.written' else 1}") as child:
        assert child.wait(60) == EXIT_CODE
    hashes = {row["block_hash"] for output in ("blocks", "transactions", "logs") for row in following.rows(output)}
    stored = {row["block_hash"] for row in following.rows("blocks")}
    assert hashes == stored, "rows of two chains beside each other"
    run = following.run()
    run.wait("the new chain", lambda _: following.rows("blocks")[-1]["block_hash"] == chain.block(head)["hash"])
    run.stop()
    following.equals(chain)
    assert len(following.outbox("Invalidation")) == 3


def test_kill_nine_at_arbitrary_moments_loses_and_doubles_nothing(databases: Databases, chain: Chain) -> None:
    head = Activity(chain).blocks(30)
    following = follow(databases, [chain.url], batchBlocks=2)
    for lines in (2, 5, 9):
        with process(following) as child:
            assert child.stdout is not None
            for _ in range(lines):
                child.stdout.readline()
            child.send_signal(signal.SIGKILL)
    run = following.run()
    run.reaches(head)
    run.stop()
    following.equals(chain)
    events_cover(following, head)


def test_a_newer_follower_stops_an_older_one(databases: Databases, chain: Chain) -> None:
    activity = Activity(chain)
    head = activity.blocks(6)
    following = follow(databases, [chain.url], batchBlocks=2)
    older = following.run()
    older.reaches(head)
    newer = following.run()
    newer.reaches(head)
    head = activity.blocks(4, seed=30)
    newer.reaches(head)
    older.finish()
    assert older.stale
    assert older.completion is None
    newer.stop()
    following.equals(chain)
    events_cover(following, head)


def test_an_older_lease_that_wakes_up_late_writes_nothing(databases: Databases, chain: Chain) -> None:
    head = Activity(chain).blocks(4)
    following = follow(databases, [chain.url])
    run = following.run(epoch=7)
    run.reaches(head)
    run.stop()
    before = {output: following.rows(output) for output in ("blocks", "transactions", "logs")}
    chain.mine(3)
    late = following.run(epoch=6)
    late.finish()
    assert late.stale
    assert {output: following.rows(output) for output in before} == before


def test_a_restart_of_postgres_is_waited_for(databases: Databases, chain: Chain, postgres: Postgres) -> None:
    activity = Activity(chain)
    head = activity.blocks(5)
    following = follow(databases, [chain.url])
    run = following.run()
    run.reaches(head)
    with psycopg.connect(databases.data_dsn) as connection:
        connection.execute("checkpoint")  # fsync is off in tests; what is asserted is the follower, not Postgres
    postgres.stop()
    head = activity.blocks(3, seed=40)
    run.logged("following failed")
    postgres.restart()
    run.reaches(head)
    assert run.stop().status == "Released"
    following.equals(chain)
