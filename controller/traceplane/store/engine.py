"""Connections to one database: an engine for most statements, a bare pool for the hot ones.

Most code speaks SQLAlchemy Core through `transaction()`. The dispatcher's hot statements skip its result rows
and run on a psycopg pool: autocommit, so that one statement is one transaction and one round trip; prepared at
first use; binary results. Four connections were enough for a process when measured, so both pools are small, and
they open on first use.

A pooled connection whose server went away is found without a round trip: an idle session has nothing to say, so
one whose socket has something to read is asked before it is lent. What a restart leaves is replaced unseen.

Every session has bounds: a connect, statement or idle transaction that exceeds its limit is ended by the server,
so that a stuck process cannot hold locks for good. And a server that is gone without a word ends the session from
our side (`traceplane_sdk.dsn`), so that it cannot hold us for good.
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
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from traceplane.errors import InvalidSettings
from traceplane.store.failures import mapped
from traceplane_sdk.dsn import BadDsn, bounded

CONNECT_SECONDS = 5
STATEMENT_SECONDS = 60
IDLE_TRANSACTION_SECONDS = 60
POOL_WAIT_SECONDS = 10.0
MAX_WAITING = 1024
"""Callers that may wait for a pooled connection; one more is told at once that the database is unavailable."""

Connection = psycopg.AsyncConnection[TupleRow]


class BinaryCursor(psycopg.AsyncCursor[TupleRow]):
    """A cursor whose results come in the binary format, which costs neither side any text."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.format = pq.Format.BINARY


def session(dsn: str, application: str) -> dict[str, Any]:
    """libpq parameters of `dsn` with our bounds added. Raises InvalidSettings for one that is no DSN.

    What passes has no half of a password in its host or database name, which drivers and pools put into errors
    and logs.
    """
    parameters = _parameters(dsn, application)
    return parameters | {"options": _options(parameters)}


def arrow_dsn(dsn: str, application: str) -> str:
    """`dsn` for ADBC, which takes it as text. What its statements may take, their transactions say. Raises
    InvalidSettings."""
    return conninfo.make_conninfo(**_parameters(dsn, application))


def _parameters(dsn: str, application: str) -> dict[str, Any]:
    try:
        return {"application_name": application, **bounded(dsn, CONNECT_SECONDS)}
    except BadDsn as error:
        refused = InvalidSettings(f"{application}: {error}")
    raise refused


def _options(parameters: Mapping[str, Any]) -> str:
    bounds = (
        f"-c statement_timeout={STATEMENT_SECONDS}s "
        f"-c idle_in_transaction_session_timeout={IDLE_TRANSACTION_SECONDS}s"
    )
    return f"{bounds} {parameters.get('options') or ''}".strip()


class Database:
    """One database as a process uses it. Make it inside the event loop and `close()` it at the end."""

    def __init__(
        self, dsn: str, *, application: str, pool_size: int = 4, wait_seconds: float = POOL_WAIT_SECONDS
    ) -> None:
        """`wait_seconds`: how long to wait for a free or a new connection, before the answer is Unavailable."""
        self.dsn = dsn
        self._session = session(dsn, application)
        self.engine: AsyncEngine = create_async_engine(
            "postgresql+psycopg://",
            async_creator=self._connect,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=wait_seconds,
            pool_pre_ping=True,
        )
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            kwargs={
                **self._session,
                "autocommit": True,
                "prepare_threshold": 0,
                "cursor_factory": BinaryCursor,
            },
            min_size=1,
            max_size=pool_size,
            timeout=wait_seconds,
            max_waiting=MAX_WAITING,
            reconnect_timeout=wait_seconds,
            check=_check_if_spoken,
            open=False,
            name=application,
        )
        self._opening = asyncio.Lock()
        self._opened = False

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A SQLAlchemy connection in one READ COMMITTED transaction: commits at the end, rolls back on error."""
        with mapped():
            async with self.engine.begin() as connection:
                yield connection

    @asynccontextmanager
    async def autocommit(self) -> AsyncIterator[Connection]:
        """A pooled psycopg connection in autocommit: each statement is a transaction of its own."""
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
        await self.engine.dispose()

    async def _open(self) -> None:
        if self._opened:
            return
        async with self._opening:
            if not self._opened:
                await self._pool.open()
                self._opened = True

    async def _connect(self) -> Connection:
        return await psycopg.AsyncConnection.connect(**self._session)


async def _check_if_spoken(connection: Connection) -> None:
    """Raise OperationalError where an idle connection is dead; costs a system call while it is well."""
    if has_spoken(connection.fileno()):
        await AsyncConnectionPool.check_connection(connection)


def has_spoken(descriptor: int) -> bool:
    """Whether the server of an idle session has sent something, its end included."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN | select.POLLHUP | select.POLLERR)
    return bool(poll.poll(0))
