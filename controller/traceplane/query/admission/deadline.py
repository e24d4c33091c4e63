"""Waiting no longer than the caller does: a time limit that also ends when the client disconnects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from traceplane.query.errors import canceled
from traceplane.web.disconnect import Disconnect


@asynccontextmanager
async def within(seconds: float, disconnected: Disconnect) -> AsyncIterator[None]:
    """Bound what is awaited inside. Raises TimeoutError after `seconds`; QueryFailed when the client disconnects
    before."""
    try:
        async with asyncio.timeout(seconds) as limit, _ends_early(limit, disconnected):
            yield
    except TimeoutError:
        if disconnected.done():
            raise canceled() from None
        raise


@asynccontextmanager
async def _ends_early(limit: asyncio.Timeout, disconnected: Disconnect) -> AsyncIterator[None]:
    def end(_: Disconnect) -> None:
        if not limit.expired():
            limit.reschedule(0)

    disconnected.add_done_callback(end)
    try:
        yield
    finally:
        disconnected.remove_done_callback(end)
