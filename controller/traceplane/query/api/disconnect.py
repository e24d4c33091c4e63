"""Noticing that a client has gone, from the moment its request was read: while it waits as while its query runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import Receive

from traceplane.query.broker.query import canceled

Disconnect = asyncio.Future[None]
"""Done when the client has closed the connection."""


@asynccontextmanager
async def watched(receive: Receive) -> AsyncIterator[Disconnect]:
    """Watch the client of a request whose body was read."""
    gone = asyncio.create_task(_gone(receive))
    try:
        yield gone
    finally:
        gone.cancel()


@asynccontextmanager
async def within(seconds: float, gone: Disconnect) -> AsyncIterator[None]:
    """Wait for something no longer than this. Raises TimeoutError; QueryFailed when the client goes before."""
    try:
        async with asyncio.timeout(seconds) as limit, _cut_short(limit, gone):
            yield
    except TimeoutError:
        if gone.done():
            raise canceled() from None
        raise


@asynccontextmanager
async def _cut_short(limit: asyncio.Timeout, gone: Disconnect) -> AsyncIterator[None]:
    """Let `limit` end now when the client goes."""

    def end(_: Disconnect) -> None:
        if not limit.expired():
            limit.reschedule(0)

    gone.add_done_callback(end)
    try:
        yield
    finally:
        gone.remove_done_callback(end)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
