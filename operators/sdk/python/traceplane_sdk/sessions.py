"""What a session needs beyond being open: bounds on its statements, and a server of its own.

A pooler between here and Postgres takes neither for granted. PgBouncer refuses `options` at start-up or, asked to
ignore them, drops them without a word. So bounds are set by a statement and read back in the next one. In
transaction mode it lends every transaction whichever server is free: settings, LISTEN and session locks are then
another client's. To a client that is alone it looks like Postgres, so where a pooler stands between, a second
session is opened, to see whether it gets the server of the first.

Outside sources: https://www.pgbouncer.org/features.html, https://www.pgbouncer.org/config.html
"""

from __future__ import annotations

import re
import select
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import pq, sql

_OPTION = re.compile(r"(?:-c\s*|--)([\w.-]+)=(\S+)")
_ROUNDS = 3
"""How often it is looked: other clients of the pooler may take the server that is looked for."""
_SPARE_SECONDS = 1.0
"""How long to wait for a second server. A pooler that has none to spare did not give it the first one's."""

_REMEDY = (
    "Set `pool_mode = session` for this database in PgBouncer, or name Postgres itself in the DSN: time-outs, "
    "LISTEN and session locks need a session of their own"
)


class UnfitSession(psycopg.OperationalError):
    """The session cannot be used as one, until somebody changes the pooler or the DSN."""


@dataclass(frozen=True)
class Bounds:
    """Settings that end a statement, a lock or a transaction which takes too long: name to value."""

    values: Mapping[str, str]

    @classmethod
    def of(cls, parameters: Mapping[str, Any], defaults: Mapping[str, str]) -> Bounds:
        """`defaults`, but for what the DSN's own `options` say of them."""
        options = _OPTION.findall(parameters.get("options") or "")
        given = {name.replace("-", "_"): value for name, value in options}
        return cls({name: given.get(name, value) for name, value in defaults.items()})

    def apply(self, connection: psycopg.Connection[Any]) -> None:
        """Set them for `connection`, which is in autocommit. Raises UnfitSession where they do not hold."""
        if self.values:
            accepted = connection.execute(self._set(), prepare=False).fetchone()
            self._compare(accepted, connection.execute(self._get(), prepare=False).fetchone())

    async def apply_async(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """The same, for an event loop."""
        if self.values:
            cursor = psycopg.AsyncCursor(connection)  # a plain one, whatever the connection makes
            accepted = await (await cursor.execute(self._set(), prepare=False)).fetchone()
            self._compare(accepted, await (await cursor.execute(self._get(), prepare=False)).fetchone())

    def _set(self) -> sql.Composed:
        calls = (sql.SQL("set_config({}, {}, false)").format(*item) for item in self.values.items())
        return sql.SQL("SELECT {}").format(sql.SQL(", ").join(calls))

    def _get(self) -> sql.Composed:
        calls = (sql.SQL("current_setting({})").format(name) for name in self.values)
        return sql.SQL("SELECT {}").format(sql.SQL(", ").join(calls))

    def _compare(self, accepted: Any, held: Any) -> None:
        for name, expected, found in zip(self.values, accepted, held, strict=True):
            if found != expected:
                broken = f"{name} was set to {expected} and is {found}"
                raise UnfitSession(f"{broken}: a pooler gives each transaction another session. {_REMEDY}")


def refuse_pooled_transactions(connection: psycopg.Connection[Any], parameters: Mapping[str, Any]) -> None:
    """Raise UnfitSession where a pooler lends the server of `connection` to others between its transactions.

    `connection` is in autocommit and was opened with `parameters`. Without a pooler it costs one round trip.
    """
    # A pooler answers the start of a session itself, and with a number of its own.
    if _server(connection) == connection.info.backend_pid:
        return
    with closing(psycopg.connect(**parameters, autocommit=True)) as other:
        for _ in range(_ROUNDS):
            before = _server(connection)
            taken = _held_server(other.pgconn)
            if taken is None:
                return
            if taken == before or _server(connection) != before:
                raise UnfitSession(f"PgBouncer, or a pooler like it, is in transaction mode. {_REMEDY}")
            other.execute("ROLLBACK")


def _server(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    assert row is not None
    return int(row[0])


def _held_server(pgconn: pq.abc.PGconn) -> int | None:
    """The server of a transaction that is begun here and stays open; None where none is free in time."""
    pgconn.send_query(b"BEGIN; SELECT pg_backend_pid()")
    pgconn.flush()
    ready, deadline = select.poll(), time.monotonic() + _SPARE_SECONDS
    ready.register(pgconn.socket, select.POLLIN)
    while pgconn.is_busy():
        if not ready.poll(max(0.0, deadline - time.monotonic()) * 1000):
            return None
        pgconn.consume_input()
    value = None
    while (result := pgconn.get_result()) is not None:
        if b"statement pooling" in result.error_message:
            raise UnfitSession(f"PgBouncer, or a pooler like it, is in statement mode. {_REMEDY}")
        value = result.get_value(0, 0)
    return int(value) if value else None
