"""Requests that wait for a batch query to end. Notifications come from the listener, on the event loop; so does all
of this."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

MAX_WAITING = 256
"""Requests that wait at once; one more is answered with what is known now."""


class Waiters:
    """Events of the requests that wait, by query."""

    def __init__(self) -> None:
        self._waiting: dict[UUID, set[asyncio.Event]] = {}
        self._count = 0

    @contextmanager
    def waiter(self, query: UUID) -> Iterator[asyncio.Event | None]:
        """An event that is set when the state of `query` changes; None where too many requests wait."""
        if self._count >= MAX_WAITING:
            yield None
            return
        event = asyncio.Event()
        self._count += 1
        self._waiting.setdefault(query, set()).add(event)
        try:
            yield event
        finally:
            self._count -= 1
            events = self._waiting[query]
            events.discard(event)
            if not events:
                del self._waiting[query]

    def notify(self, query: UUID) -> None:
        """Wake the requests that wait for a query: its state changed."""
        for event in self._waiting.get(query, ()):
            event.set()

    def notify_all(self) -> None:
        """Wake every request: a notification may have been missed."""
        for query in list(self._waiting):
            self.notify(query)
