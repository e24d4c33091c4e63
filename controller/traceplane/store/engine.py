"""Connections to one database: one small psycopg pool for a process, lent for a statement or for a transaction.

Every session has bounds: a connect, statement or idle transaction that exceeds its limit is ended by the server, so
that a stuck process cannot hold locks for good. They are set once it is open, and read back, since a pooler may
drop what is asked for at the start (`traceplane_sdk.sessions`). And a server that vanished without closing its
connections is noticed by this side's TCP (`traceplane_sdk.dsn`), so that it cannot hold the process for good.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg import conninfo, pq
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

from traceplane.errors import InvalidSettings
from traceplane.store.failures import mapped
from traceplane_sdk.dsn import BadDsn, bounded
from traceplane_sdk.sessions import Bounds, refuse_pooled_transactions

CONNECT_SECONDS = 5
BOUNDS = {"statement_timeout": "60s", "idle_in_transaction_session_timeout": "60s"}
POOL_WAIT_SECONDS = 10.0
MAX_WAITING = 1024
"""Callers that may wait for a pooled connection; one more gets Unavailable at once."""

Connection = psycopg.AsyncConnection[TupleRow]


class BinaryCursor(psycopg.AsyncCursor[TupleRow]):
    """A cursor whose results come in the binary format, which costs neither side any text."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.format = pq.Format.BINARY


def session(dsn: str, application: str) -> dict[str, Any]:
    """libpq parameters of `dsn` for a session that `bounds` are set for. Raises InvalidSettings for what is no DSN.

    What passes has no half of a password in its host or database name, which drivers and pools put into errors
    and logs.
    """
    try:
        return {"application_name": application, **bounded(dsn, CONNECT_SECONDS)}
    except BadDsn as error:
        refused = InvalidSettings(f"{application}: {error}")
    raise refused


def bounds(parameters: Mapping[str, Any]) -> Bounds:
    """What a session that was opened with `parameters` may take."""
    return Bounds.of(parameters, BOUNDS)


def arrow_dsn(dsn: str, application: str) -> str:
    """`dsn` for ADBC, which takes it as text. What its statements may take, their transactions say. Raises
    InvalidSettings."""
    return conninfo.make_conninfo(**session(dsn, application))


def connect(dsn: str, application: str) -> psycopg.Connection[TupleRow]:
    """A session in autocommit, which no pooler shares with others. Raises the driver's errors, and UnfitSession."""
    parameters = session(dsn, application)
    connection = psycopg.connect(**parameters, autocommit=True)
    try:
        bounds(parameters).apply(connection)
        refuse_pooled_transactions(connection, parameters)
    except BaseException:
        connection.close()
        raise
    return connection


async def connect_async(dsn: str, application: str, **options: Any) -> Connection:
    """A session in autocommit; `options` are psycopg's. Raises the driver's errors, and UnfitSession."""
    parameters = session(dsn, application)
    connection = await psycopg.AsyncConnection.connect(**parameters, autocommit=True, **options)
    try:
        await bounds(parameters).apply_async(connection)
    except BaseException:
        await connection.close()
        raise
    return connection


def check(dsn: str) -> None:
    """Return where a session of `dsn` can be used. Raises Unavailable, and GiveUp for a pooler in another mode."""
    with mapped():
        connect(dsn, "trace-check").close()


class Database:
    """One database as a process uses it. Make it inside the event loop and `close()` it at the end.

    A caller holds one connection at a time: one that took a second while it holds a first would wait for a
    connection that its own first one keeps busy, once as many such callers run as the pool has connections.
    """

    def __init__(
        self, dsn: str, *, application: str, pool_size: int = 4, wait_seconds: float = POOL_WAIT_SECONDS
    ) -> None:
        """`wait_seconds`: how long to wait for a free or a new connection, before Unavailable is raised.

        `pool_size` is how many statements and transactions run at once; the next ones wait. As no caller holds two
        connections (see above), a pool of 1 is slow and never stuck.
        """
        self.dsn = dsn
        parameters = session(dsn, application)
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            kwargs={
                **parameters,
                # One statement is one transaction and one round trip, unless the caller begins a transaction.
                "autocommit": True,
                # Prepared at first use: the statements of a process are few, and each runs for as long as it lives.
                "prepare_threshold": 0,
                "cursor_factory": BinaryCursor,
            },
            min_size=1,
            max_size=pool_size,
            timeout=wait_seconds,
            max_waiting=MAX_WAITING,
            configure=bounds(parameters).apply_async,
            reconnect_timeout=wait_seconds,
            check=_check_if_readable,
            open=False,
            name=application,
        )
        self._opening = asyncio.Lock()
        self._opened = False

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A pooled connection in one READ COMMITTED transaction: commits at the end, rolls back on error."""
        async with self.autocommit() as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def autocommit(self) -> AsyncIterator[Connection]:
        """A pooled connection on which each statement is a transaction of its own."""
        # Around the pool as well, whose own errors (no connection in time, too many callers) are psycopg's too.
        with mapped():
            await self._open()
            async with self._pool.connection() as connection:
                yield connection

    async def ping(self) -> None:
        """Return when the database answers. Raises Unavailable."""
        async with self.autocommit() as connection:
            await connection.execute("SELECT 1")

    async def close(self) -> None:
        """End every connection."""
        await self._pool.close()

    async def _open(self) -> None:
        # On first use, not when made: then a process starts, and says that it is alive, without its database.
        if self._opened:
            return
        async with self._opening:
            if not self._opened:
                await self._pool.open()
                self._opened = True


@asynccontextmanager
async def one_transaction(dsn: str, *, application: str) -> AsyncIterator[Connection]:
    """A transaction on a connection of its own: for a command that does one thing and ends.

    Unlike a pool, which waits for a database that is away to come back, it fails at once. Raises Unavailable.
    """
    with mapped():
        async with (
            await connect_async(dsn, application, cursor_factory=BinaryCursor) as connection,
            connection.transaction(),
        ):
            yield connection


async def _check_if_readable(connection: Connection) -> None:
    """Raise OperationalError where an idle connection is dead; costs a system call while it is well."""
    # The server sends nothing to an idle session but its end. So a round trip is only worth it where something was
    # sent; connections that a restart of the server ended are replaced before a caller gets one.
    if is_readable(connection.fileno()):
        await AsyncConnectionPool.check_connection(connection)


def is_readable(descriptor: int) -> bool:
    """Whether the server of an idle session has sent something, or closed it."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN | select.POLLHUP | select.POLLERR)
    return bool(poll.poll(0))
