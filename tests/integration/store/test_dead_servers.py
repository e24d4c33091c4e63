"""A server that is gone without a word is noticed: each kind of connection asks TCP to look; its socket says so."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, closing, contextmanager
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from tests import services
from traceplane.errors import InvalidSettings
from traceplane.query.attach.databases import Databases
from traceplane.query.attach.hot_reader import HotConnections
from traceplane.settings import Settings
from traceplane.store.engine import Database, arrow_dsn, session
from traceplane.store.listener import Listener
from traceplane_sdk import database as sdk

pytestmark = pytest.mark.services

OPTIONS = {
    "keepalives": (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
    "keepalives_idle": (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
    "keepalives_interval": (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
    "keepalives_count": (socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
    "tcp_user_timeout": (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
}
BOUNDED = {
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}
OPERATORS = "keepalives_idle=99&tcp_user_timeout=7000&connect_timeout=3"


def sockets(dsn: str) -> dict[int, dict[str, int]]:
    """Options of each socket of this process that is connected to the server of `dsn`, by inode."""
    port, found = int(str(conninfo_to_dict(dsn)["port"])), {}
    for entry in Path("/proc/self/fd").iterdir():
        try:
            descriptor = os.dup(int(entry.name))
        except OSError:  # it was closed while we looked
            continue
        try:
            one = socket.socket(fileno=descriptor)
        except OSError:  # no socket
            os.close(descriptor)
            continue
        with one:
            if one.family == socket.AF_INET and _peer(one) == port:
                found[os.fstat(one.fileno()).st_ino] = {name: one.getsockopt(*at) for name, at in OPTIONS.items()}
    return found


def _peer(one: socket.socket) -> int | None:
    try:
        return int(one.getpeername()[1])
    except OSError:  # it listens, or its other end is gone
        return None


class Opened:
    """Options of the connections that a test opened."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._before = sockets(dsn).keys()

    def options(self, at_least: int) -> list[dict[str, int]]:
        """Each that differs once. A pool may have opened more connections than are used."""
        found = [options for inode, options in sockets(self._dsn).items() if inode not in self._before]
        assert len(found) >= at_least
        return [options for number, options in enumerate(found) if options not in found[:number]]


@asynccontextmanager
async def pooled(dsn: str) -> AsyncIterator[None]:
    """What dispatcher, controller and user API hold: of an engine, of the pool of hot statements, of a listener."""
    database, stop, heard = Database(dsn, application="test"), asyncio.Event(), asyncio.Event()
    listener = Listener(dsn, ["trace_wake"], lambda *_: heard.set())
    listening = asyncio.create_task(listener.run(stop))
    try:
        await heard.wait()
        async with database.transaction(), database.autocommit():
            yield
    finally:
        stop.set()
        await listening
        await database.close()


async def test_connections_of_the_control_plane_notice(databases: services.Databases) -> None:
    opened = Opened(databases.state_dsn)
    async with pooled(databases.state_dsn):
        assert opened.options(3) == [BOUNDED]


async def test_what_the_dsn_says_counts(databases: services.Databases) -> None:
    dsn = f"{databases.state_dsn}?{OPERATORS}"
    opened = Opened(dsn)
    said = {**BOUNDED, "keepalives_idle": 99, "tcp_user_timeout": 7000}
    async with pooled(dsn):
        assert opened.options(3) == [said]
    assert session(dsn, "test")["connect_timeout"] == "3"


def test_connections_of_the_query_service_notice(databases: services.Databases) -> None:
    opened = Opened(databases.query_dsn)
    settings = Settings(state_dsn=databases.query_state_dsn, data_dsn=databases.query_dsn)
    with closing(Databases(settings)) as found:
        found.ping()
        with found.snapshot(60):
            assert opened.options(2) == [BOUNDED]


@contextmanager
def scanning(dsn: str) -> Iterator[None]:
    """The connection that is kept, and one for a scan."""
    with closing(HotConnections(dsn)) as connections, connections.open():
        yield


@contextmanager
def arrow(dsn: str) -> Iterator[None]:
    with sdk.connect_arrow(dsn):
        yield


@contextmanager
def plain(dsn: str) -> Iterator[None]:
    with sdk.connect(dsn, {"lock_timeout": "60s"}, autocommit=True, application_name="test") as connection:
        assert connection.execute("SHOW lock_timeout").fetchone() == ("1min",)
        yield


@pytest.mark.parametrize(("opening", "count"), [(scanning, 2), (arrow, 1), (plain, 1)])
@pytest.mark.parametrize(
    ("said", "expected"),
    [("", BOUNDED), (f"?{OPERATORS}", {**BOUNDED, "keepalives_idle": 99, "tcp_user_timeout": 7000})],
)
def test_connections_to_hot_rows_notice(
    opening: Callable[[str], AbstractContextManager[None]],
    count: int,
    said: str,
    expected: dict[str, int],
    databases: services.Databases,
) -> None:
    dsn = databases.query_dsn + said
    opened = Opened(dsn)
    with opening(dsn):
        assert opened.options(count) == [expected]


def test_a_scan_waits_for_a_connection_only_so_long() -> None:
    dsn = "postgresql://trace:p%40ss%20word%27@db.example/data?sslmode=require"
    given = conninfo_to_dict(arrow_dsn(dsn, "test"))
    assert (given["connect_timeout"], given["password"], given["sslmode"]) == ("5", "p@ss word'", "require")
    assert conninfo_to_dict(arrow_dsn(f"{dsn}&connect_timeout=3", "test"))["connect_timeout"] == "3"


def test_a_wrong_dsn_reaches_no_scan() -> None:
    with pytest.raises(InvalidSettings, match="percent-encoded") as caught:
        HotConnections("postgresql://trace:x@hunter2@127.0.0.1/data")
    assert "hunter2" not in str(caught.value)
