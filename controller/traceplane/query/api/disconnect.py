"""Waiting no longer than the caller does: a time limit that also ends when the client disconnects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from traceplane.query.broker.query import canceled
from traceplane.web.disconnect import Disconnect


@asynccontextmanager
async def within(seconds: float, disconnect: Disconnect) -> AsyncIterator[None]:
    """Bound what is awaited inside. Raises TimeoutError; QueryFailed when the client disconnects before."""
    try:
        async with asyncio.timeout(seconds) as limit, _cut_short(limit, disconnect):
            yield
    except TimeoutError:
        if disconnect.done():
            raise canceled() from None
        raise


@asynccontextmanager
async def _cut_short(limit: asyncio.Timeout, disconnect: Disconnect) -> AsyncIterator[None]:
    """Let `limit` end now when the client disconnects."""

    def end(_: Disconnect) -> None:
        if not limit.expired():
            limit.reschedule(0)

    disconnect.add_done_callback(end)
    try:
        yield
    finally:
        disconnect.remove_done_callback(end)
