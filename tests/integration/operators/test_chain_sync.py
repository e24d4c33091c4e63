"""A sync of a real node: each range once, no more in flight than it may be, whatever happens on the way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
import pytest

from tests.integration.operators.workbench import JobUnderTest, Run, running
from tests.services import CHAIN_ID, Chain, Databases
from tests.support.waiting import until
from traceplane_sdk import wire
from traceplane_sdk.errors import StopReason

pytestmark = pytest.mark.services


class Syncing:
    """A sync of two streams; the dispatcher's part is played here: ids count once, and what has ended is known."""

    def __init__(self, databases: Databases, chain: Chain, **config: Any) -> None:
        chosen = {"chainId": CHAIN_ID, "rpcPool": "local", "pollSeconds": 0.05, "lagBlocks": 2, **config}
        self.job = JobUnderTest.declare("chain_sync", chosen, ("blocks", "logs"))
        for dataset in self.job.outputs:
            dataset.provision(databases.data_dsn)
        self.databases, self.urls = databases, [chain.url]
        self.reports: set[str] = set()
        self.fired: dict[str, list[str]] = {"blocks": [], "logs": []}
        self.done: dict[str, int] = {"blocks": 0, "logs": 0}
        self.most = 0
        self.epoch = 0
        self.crash_after_rows = False

    def claim(self) -> wire.ClaimedTask:
        self.epoch += 1
        return self.job.claim(self.epoch, {"kind": "source"})

    def io(self) -> dict[str, Any]:
        return {
            "data_dsn": lambda: self.databases.writer_dsn,
            "rpc_urls": lambda _pool: list(self.urls),
            "emit": self.emit,
        }

    def emit(self, events: Sequence[wire.Event], _invalidations: Any, report: str) -> wire.EventsResponse:
        new = [] if report in self.reports else list(events)
        if new and self.crash_after_rows:
            raise RuntimeError("the process is gone")
        if events:
            self.reports.add(report)
        for event in new:
            assert event.partition is not None
            self.fired[event.output].append(event.partition.key)
        in_flight = {output: len(keys) - self.done[output] for output, keys in self.fired.items()}
        self.most = max(self.most, *in_flight.values())
        return wire.EventsResponse(len(new), {output: count for output, count in in_flight.items() if count})

    def finish_all(self) -> None:
        self.done = {output: len(keys) for output, keys in self.fired.items()}

    def rows(self, output: str) -> list[str]:
        with psycopg.connect(self.databases.data_dsn) as connection:
            table = self.job.dataset(output).location
            found = connection.execute(f"select dedupe_key from {table} order by range_start").fetchall()
        return [row[0] for row in found]


def test_streams_are_planned_up_to_the_target_and_no_range_is_emitted_before_there_is_room(
    databases: Databases, chain: Chain
) -> None:
    chain.mine(60)
    syncing = Syncing(
        databases, chain, startBlock=5, targetBlock=47, chunkBlocks=10, chunkBlocksOf={"logs": 20}, maxInFlight=2
    )
    blocks = ["5-9", "10-19", "20-29", "30-39", "40-47"]
    with running(syncing.claim(), **syncing.io()) as run:
        run.wait("the first ranges", lambda _: syncing.fired == {"blocks": blocks[:2], "logs": ["5-19", "20-39"]})
        syncing.done["logs"] = 1
        run.wait("the stream with room goes on", lambda _: len(syncing.fired["logs"]) == 3)
        assert syncing.fired["blocks"] == blocks[:2], "a stream without room went on"
        until(lambda: syncing.finish_all() or len(syncing.fired["blocks"]) == 5, "the end of the stream")
        run.wait("it says that it is done", lambda run: "up to block 47" in run.reports[-1].message)
    assert syncing.fired == {"blocks": blocks, "logs": ["5-19", "20-39", "40-47"]}
    assert syncing.most == 2
    assert (syncing.rows("blocks"), syncing.rows("logs")) == (blocks, syncing.fired["logs"])


def test_without_a_target_it_goes_on_with_the_head_less_the_lag(databases: Databases, chain: Chain) -> None:
    chain.mine(20)
    syncing = Syncing(databases, chain, chunkBlocks=10, maxInFlight=9)
    with running(syncing.claim(), **syncing.io()) as run:
        run.wait("what is old enough", lambda _: syncing.fired["logs"] == ["0-9"])
        chain.mine(1)
        run.wait("one block more", lambda _: syncing.fired["logs"] == ["0-9", "10-19"])
        assert run.reports[-1].healthy


def test_a_new_run_goes_on_where_the_one_before_was(databases: Databases, chain: Chain) -> None:
    chain.mine(60)
    syncing = Syncing(databases, chain, chunkBlocks=10, targetBlock=49, maxInFlight=2)
    with running(syncing.claim(), **syncing.io()) as run:
        run.wait("the first ranges", lambda _: all(len(keys) == 2 for keys in syncing.fired.values()))
    with running(syncing.claim(), **syncing.io()):
        until(lambda: syncing.finish_all() or all(len(keys) == 5 for keys in syncing.fired.values()), "the end")
    for output, keys in syncing.fired.items():
        assert keys == ["0-9", "10-19", "20-29", "30-39", "40-49"] == syncing.rows(output)
    assert syncing.most == 2


def test_a_crash_between_a_row_and_its_event_loses_and_doubles_nothing(databases: Databases, chain: Chain) -> None:
    chain.mine(60)
    syncing = Syncing(databases, chain, chunkBlocks=10, targetBlock=29, maxInFlight=9)
    syncing.crash_after_rows = True
    crashed = Run(syncing.claim(), **syncing.io())
    completion = crashed.finish()
    assert completion is not None
    assert completion.status == "Failed"
    assert syncing.fired["blocks"] == []
    assert syncing.rows("blocks") == ["0-9"], "the row was there before the crash"
    syncing.crash_after_rows = False
    with running(syncing.claim(), **syncing.io()) as run:
        run.wait("all ranges", lambda _: all(len(keys) == 3 for keys in syncing.fired.values()))
    assert syncing.fired == {output: ["0-9", "10-19", "20-29"] for output in syncing.fired}


def test_an_older_run_adds_no_range(databases: Databases, chain: Chain) -> None:
    chain.mine(30)
    syncing = Syncing(databases, chain, chunkBlocks=10, maxInFlight=1)
    older = Run(syncing.claim(), **syncing.io())
    older.wait("its range", lambda _: all(syncing.fired.values()))
    with running(syncing.claim(), **syncing.io()) as newer:
        newer.wait("it has begun", lambda run: bool(run.reports))
        syncing.finish_all()
        older.finish()
        assert older.stale
        newer.wait("the next range", lambda _: syncing.fired["blocks"] == ["0-9", "10-19"])
    assert syncing.rows("blocks") == ["0-9", "10-19"]


def test_a_provider_that_is_away_is_waited_for_and_a_corrected_secret_is_taken_up(
    databases: Databases, chain: Chain
) -> None:
    chain.mine(30)
    syncing = Syncing(databases, chain, chunkBlocks=10)
    good, syncing.urls = syncing.urls, ["http://127.0.0.1:9"]
    with running(syncing.claim(), **syncing.io()) as run:
        run.logged("syncing failed")
        syncing.urls = good
        run.wait("ranges", lambda _: syncing.fired["blocks"] == ["0-9", "10-19"])
    assert run.control.reason is StopReason.DRAINING
