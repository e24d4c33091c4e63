"""Connections of hot scans are used again: after a whole scan, with nothing open meanwhile, never a dead one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from tests import services
from tests.integration.query.conftest import Client
from tests.integration.query.world import World
from tests.support.waiting import until
from traceplane.query.attach import hot_reader

pytestmark = pytest.mark.services


@pytest.fixture
def connections(databases: services.Databases) -> Iterator[hot_reader.HotConnections]:
    made = hot_reader.HotConnections(databases.query_dsn, keep=2)
    yield made
    made.close()


@pytest.fixture
def shared(databases: services.Databases) -> Iterator[psycopg.Connection[Any]]:
    """A session whose snapshot scans join."""
    with psycopg.connect(databases.query_dsn) as session:
        session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        yield session


def reader(connections: hot_reader.HotConnections, shared: psycopg.Connection[Any]) -> hot_reader.HotReader:
    row = shared.execute("SELECT pg_export_snapshot()").fetchone()
    assert row is not None
    return hot_reader.HotReader(connections, row[0], time.monotonic() + 60)


def backend(reader: hot_reader.HotReader) -> int:
    """The server process that ran a scan read to its end."""
    pipe = reader.scan("SELECT pg_backend_pid() AS pid", lambda rows: None)
    with open(pipe, "rb") as source:
        (pid,) = pa.ipc.open_stream(source).read_all()["pid"].to_pylist()
    for thread in reader._threads:
        thread.join(10)
    return int(pid)


def state_of(shared: psycopg.Connection[Any], pid: int) -> str | None:
    row = shared.execute("SELECT state FROM pg_stat_activity WHERE pid = %s", (pid,)).fetchone()
    return row[0] if row else None


def test_a_connection_is_used_again_by_another_query_and_waits_with_nothing_open(
    connections: hot_reader.HotConnections, shared: psycopg.Connection[Any]
) -> None:
    first = backend(reader(connections, shared))
    assert state_of(shared, first) == "idle"
    assert backend(reader(connections, shared)) == first


def test_a_scan_that_was_left_early_leaves_no_connection(
    connections: hot_reader.HotConnections, shared: psycopg.Connection[Any]
) -> None:
    leaving = reader(connections, shared)
    pipe = leaving.scan("SELECT repeat('x', 1000) AS x FROM generate_series(1, 1000000)", lambda rows: None)
    open(pipe, "rb").close()
    for thread in leaving._threads:
        thread.join(10)
    assert connections.idle() is None


def test_a_scan_goes_on_to_its_end_while_its_reader_is_busy(
    connections: hot_reader.HotConnections, shared: psycopg.Connection[Any]
) -> None:
    """As far as there is room: three times what a pipe has by default."""
    ahead = reader(connections, shared)
    pipe = ahead.scan("SELECT repeat('x', 1000) AS x FROM generate_series(1, 200)", lambda rows: None)
    for thread in ahead._threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in ahead._threads)
    with open(pipe, "rb") as source:
        assert pa.ipc.open_stream(source).read_all().num_rows == 200


def test_a_canceled_reader_leaves_no_connection(
    connections: hot_reader.HotConnections, shared: psycopg.Connection[Any]
) -> None:
    """A cancel may arrive after the scan that it was meant for, and end another's."""
    canceled = reader(connections, shared)
    told, go_on = threading.Event(), threading.Event()

    def count(rows: int) -> None:  # holds the scan before its end: the cancel finds it running
        told.set()
        go_on.wait(10)

    pipe = canceled.scan("SELECT 1 AS one", count)
    assert told.wait(10)
    canceled.cancel()
    go_on.set()
    for thread in canceled._threads:
        thread.join(10)
    open(pipe, "rb").close()
    assert connections.idle() is None


def test_no_more_wait_than_are_wanted(
    connections: hot_reader.HotConnections, shared: psycopg.Connection[Any]
) -> None:
    lent = [connections.open() for _ in range(3)]
    for connection in lent:
        connections.give_back(connection, whole=True)
    assert [connections.idle() is not None for _ in range(3)] == [True, True, False]
    for connection in lent:
        connection.close()


def test_connections_that_died_while_they_waited_are_not_noticed(
    world: World, start_service: Callable[..., Client]
) -> None:
    client = start_service()
    version = world.dataset("follow", "Postgres", "hot-blocks")
    world.follow(version, 0, 9)
    sql = "SELECT count(note) FROM hot_blocks"
    told = client.post(sql).json()["rows"]
    until(lambda: bool(client.service.databases.hot._idle))
    world.data.execute(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )
    answer = client.post(sql)
    assert (answer.status_code, answer.json().get("rows")) == (200, told)
