"""Noticing that a client disconnected, from the moment its request was read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import Receive

Disconnect = asyncio.Future[None]
"""Done when the client has closed the connection."""


async def client_disconnected(receive: Receive) -> None:
    """Return when the client of a request whose body was read has disconnected."""
    while (await receive())["type"] != "http.disconnect":
        continue


@asynccontextmanager
async def watched(receive: Receive) -> AsyncIterator[Disconnect]:
    """Watch for the disconnect of a client whose request's body was read."""
    disconnect = asyncio.create_task(client_disconnected(receive))
    try:
        yield disconnect
    finally:
        disconnect.cancel()
