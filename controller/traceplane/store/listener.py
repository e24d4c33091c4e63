"""Wake-ups from Postgres: LISTEN on one direct connection that always comes back.

A notification is a hint, never the truth: every loop also polls. So a lost one costs latency and nothing else,
and the listener may be simple. It needs a connection of its own (a transaction-mode pooler forgets LISTEN). When
the connection is lost it reconnects with backoff, and then wakes every channel once, since something may have
been missed. A connection that died silently is found by a small query at intervals.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import psycopg
from psycopg import sql

from traceplane.kit.loops import backoff
from traceplane.store.engine import connect_async, session

Wake = Callable[[str, str], None]
"""Called with (channel, payload); payload is empty after a reconnect."""

APPLICATION = "trace-listener"
PROBE_SECONDS = 15.0
ANSWER_SECONDS = 5.0
MAX_BACKOFF_SECONDS = 10.0


class Listener:
    """Calls `wake` for each notification on `channels` until stopped. `connected`: it is subscribed now."""

    def __init__(
        self, dsn: str, channels: Sequence[str], wake: Wake, *, probe_seconds: float = PROBE_SECONDS
    ) -> None:
        session(dsn, APPLICATION)  # refused here, and not in the loop that outlives every error
        self._dsn = dsn
        self._channels = tuple(channels)
        self._wake = wake
        self._probe_seconds = probe_seconds
        self.connected = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Listen until `stop` is set; a lost connection is replaced, never reported as an error."""
        failures = 0
        while not stop.is_set():
            try:
                async with await connect_async(self._dsn, APPLICATION) as connection:
                    await self._subscribe(connection)
                    failures = 0
                    await self._receive(connection, stop)
            except (psycopg.Error, TimeoutError):  # the database is away: until it is back, the loops poll
                failures += 1
                await _pause(backoff(failures, base=0.2, limit=MAX_BACKOFF_SECONDS), stop)
            finally:
                self.connected.clear()

    async def _subscribe(self, connection: psycopg.AsyncConnection) -> None:
        for channel in self._channels:
            await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
        self.connected.set()
        for channel in self._channels:
            self._wake(channel, "")

    async def _receive(self, connection: psycopg.AsyncConnection, stop: asyncio.Event) -> None:
        ended = asyncio.ensure_future(stop.wait())
        try:
            while not stop.is_set():
                received = asyncio.ensure_future(self._receive_once(connection))
                await asyncio.wait({ended, received}, return_when=asyncio.FIRST_COMPLETED)
                if not received.done():
                    received.cancel()
                    await asyncio.gather(received, return_exceptions=True)
                    return
                received.result()
        finally:
            ended.cancel()

    async def _receive_once(self, connection: psycopg.AsyncConnection) -> None:
        """Deliver notifications for one probe interval, then check that the server still answers."""
        async for notice in connection.notifies(timeout=self._probe_seconds):
            self._wake(notice.channel, notice.payload)
        async with asyncio.timeout(ANSWER_SECONDS):
            await connection.execute("SELECT 1")


async def _pause(seconds: float, stop: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
