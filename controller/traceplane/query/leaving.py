"""Noticing that a client has gone, from the moment its request was read: while it waits as while its query runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import Receive

Gone = asyncio.Future[None]
"""Done when the client has closed the connection."""


@asynccontextmanager
async def watched(receive: Receive) -> AsyncIterator[Gone]:
    """Watch the client of a request whose body was read."""
    gone = asyncio.create_task(_gone(receive))
    try:
        yield gone
    finally:
        gone.cancel()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
