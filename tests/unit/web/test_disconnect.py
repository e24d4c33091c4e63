"""A client is watched from the moment its request was read."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.support.waiting import settle
from traceplane.web.disconnect import watched


async def test_a_disconnect_is_noticed_and_nothing_else_is_one() -> None:
    messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    async with watched(messages.get) as disconnect:
        messages.put_nowait({"type": "http.request", "body": b"", "more_body": False})
        await settle()
        assert messages.empty()
        assert not disconnect.done()
        messages.put_nowait({"type": "http.disconnect"})
        await disconnect


async def test_watching_ends_with_the_request() -> None:
    messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    async with watched(messages.get) as disconnect:
        pass
    await asyncio.wait([disconnect])
    assert disconnect.cancelled()
