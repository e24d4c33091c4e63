"""How hot scans end when their query does: at once, however many there are, and without a session left behind."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import psycopg
import pytest

from tests import services
from tests.integration.query.cells import cells_of
from tests.integration.query.conftest import Client
from tests.integration.query.world import World
from tests.support.waiting import until
from traceplane.errors import Unavailable
from traceplane.query.attach import hot_reader

pytestmark = pytest.mark.services


def scans(world: World) -> list[str]:
    """Statements on hot tables that Postgres has a session for."""
    rows = world.data.execute(
        "SELECT query FROM pg_stat_activity WHERE datname = current_database()"
        ' AND query ~ \'FROM "?hot"?\\."?d_\''
        " AND state = 'active' AND pid <> pg_backend_pid()"
    ).fetchall()
    return [row[0] for row in rows]


def test_full_pipes_do_not_delay_the_end(world: World, start_service: Callable[..., Client]) -> None:
    client = start_service(query_timeout_seconds=60)
    version = world.dataset("follow", "Postgres", "hot-blocks")
    world.data.execute(
        f"INSERT INTO hot.d_{version.hex} (block_number, hash, value, mined_at, note, big)"
        " SELECT n, '0x', 0, now(), repeat('x', 10000), true FROM generate_series(0, 19999) n"
    )
    sql = " UNION ALL ".join(
        f"SELECT max(sha256(note)) FROM hot_blocks WHERE block_number >= {n}" for n in range(2)
    )
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(client.refused, sql, timeout_seconds=20)
        until(lambda: len(scans(world)) == 2)
        for pid in cells_of(client):  # from here on nobody reads the pipes
            os.kill(pid, signal.SIGSTOP)
        started = time.monotonic()
        assert running.result() == (408, "QueryTimeout")
    assert time.monotonic() - started < 28  # 30 where each of the two scans is waited for to no end
    until(lambda: not scans(world))


def test_a_client_that_leaves_ends_a_scan_that_postgres_has_not_begun(
    world: World, start_service: Callable[..., Client]
) -> None:
    client = start_service(query_timeout_seconds=300)
    version = world.dataset("follow", "Postgres", "hot-blocks")
    world.follow(version, 0, 9)
    host, port = client.url.removeprefix("http://").split(":")
    body = b'{"sql": "SELECT count(note) FROM hot_blocks"}'
    head = (
        f"POST /v1/query HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {client.token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with psycopg.connect(world.databases.data_dsn) as locker:
        locker.execute(f"LOCK TABLE hot.d_{version.hex} IN ACCESS EXCLUSIVE MODE")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(head.encode() + body)
            until(lambda: bool(scans(world)))
        until(lambda: client.service.admission.running == 0)
        assert not scans(world)


def test_a_scan_that_waits_longer_than_its_query_may_is_a_time_limit(
    world: World, start_service: Callable[..., Client]
) -> None:
    client = start_service()
    version = world.dataset("follow", "Postgres", "hot-blocks")
    with psycopg.connect(world.databases.data_dsn) as locker:
        locker.execute(f"LOCK TABLE hot.d_{version.hex} IN ACCESS EXCLUSIVE MODE")
        assert client.refused("FROM hot_blocks", timeout_seconds=1) == (408, "QueryTimeout")


def test_canceling_ends_a_scan_that_waits_for_a_lock(world: World) -> None:
    version = world.dataset("follow", "Postgres", "hot-blocks")
    statement = f"SELECT note FROM hot.d_{version.hex}"
    with psycopg.connect(world.databases.query_dsn) as shared, psycopg.connect(world.databases.data_dsn) as locker:
        shared.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        row = shared.execute("SELECT pg_export_snapshot()").fetchone()
        assert row is not None
        locker.execute(f"LOCK TABLE hot.d_{version.hex} IN ACCESS EXCLUSIVE MODE")
        reader = hot_reader.HotReader(
            hot_reader.HotConnections(world.databases.query_dsn), row[0], time.monotonic() + 60
        )
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(reader.scan, statement, lambda rows: None)
            until(lambda: scans(world) == [statement])
            reader.cancel()
            assert isinstance(waiting.exception(10), Unavailable)
        until(lambda: not scans(world))


def test_a_scan_that_fails_leaves_no_session(world: World) -> None:
    with psycopg.connect(world.databases.query_dsn) as shared:
        shared.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        row = shared.execute("SELECT pg_export_snapshot()").fetchone()
        assert row is not None
        connections = hot_reader.HotConnections(world.databases.query_dsn)
        reader = hot_reader.HotReader(connections, row[0], time.monotonic() + 10)
        missing = f"SELECT 1 FROM hot.d_{UUID(int=1).hex}"
        with pytest.raises(Unavailable) as held:  # the error keeps its frames, and with them what they left open
            reader.scan(missing, lambda rows: None)
        connections.close()
        until(lambda: missing not in " ".join(scans(world)) and _sessions(world) == 2)
        assert held.value.code == "Unavailable"


def _sessions(world: World) -> int:
    row = world.data.execute(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND backend_type = 'client backend'"
    ).fetchone()
    assert row is not None
    return row[0]


def test_a_canceled_reader_begins_no_scan(databases: services.Databases) -> None:
    reader = hot_reader.HotReader(hot_reader.HotConnections(databases.query_dsn), "none", time.monotonic() + 10)
    reader.cancel()
    with pytest.raises(Unavailable) as refused:
        reader.scan("SELECT 1", lambda rows: None)
    assert refused.value.code == "QueryCanceled"


def test_scans_go_on_after_postgres_was_restarted() -> None:
    """The connection that others are made from is dead then; what it knows of the server is not."""
    with services.postgres() as server:
        databases = server.databases()
        connections = hot_reader.HotConnections(databases.query_dsn)
        connections.open().close()
        server.stop()
        with pytest.raises(Unavailable):
            connections.open()
        server.restart()
        connections.open().close()
        connections.close()
