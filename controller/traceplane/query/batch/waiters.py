"""Who waits for which query to end. Wakes come from the listener, on the event loop; so does all of this."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

MAX_WAITING = 256
"""Requests that wait at once; one more is answered with what is known now."""


class Waiters:
    """Events of those who wait, by query."""

    def __init__(self) -> None:
        self._waiting: dict[UUID, set[asyncio.Event]] = {}
        self._count = 0

    @contextmanager
    def about(self, query: UUID) -> Iterator[asyncio.Event | None]:
        """An event that is set when something becomes of `query`; None where too many wait."""
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

    def tell(self, query: UUID) -> None:
        """Something became of it."""
        for event in self._waiting.get(query, ()):
            event.set()

    def tell_all(self) -> None:
        """A word may have been missed: everybody looks again."""
        for events in self._waiting.values():
            for event in events:
                event.set()
