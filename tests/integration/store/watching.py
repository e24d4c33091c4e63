"""Statements as the store's connections run them: counted, and one of them preceded by the end of its session."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from traceplane.store.engine import BinaryCursor

End = Callable[[int], None]
"""Ends the session of a backend, by its pid."""


class Statements:
    """Counts what the store's connections run from here on, and may cut a session off before one of it."""

    def __init__(self, patch: pytest.MonkeyPatch, end: End | None = None) -> None:
        self._end = end
        self._cut_at = 0
        self.count = 0
        """Statements since `begin`."""
        execute, leave = BinaryCursor.execute, psycopg.AsyncTransaction.__aexit__

        async def counted(cursor: Any, *arguments: Any, **options: Any) -> Any:
            self.count += 1
            if self.count == self._cut_at:
                self._cut(cursor.connection)
            return await execute(cursor, *arguments, **options)

        async def left(transaction: Any, kind: Any, error: Any, trace: Any) -> Any:
            if kind is None and self._cut_at == self.count + 1:  # the commit comes after the last statement
                self._cut(transaction.connection)
            return await leave(transaction, kind, error, trace)

        patch.setattr(BinaryCursor, "execute", counted)
        patch.setattr(psycopg.AsyncTransaction, "__aexit__", left)

    def begin(self, cut_at: int = 0) -> None:
        """Count from 0; end the session before statement `cut_at` (from 1; one past the last is the commit)."""
        self.count = 0
        self._cut_at = cut_at

    def _cut(self, connection: Any) -> None:
        assert self._end is not None, "these statements are only counted"
        self._end(connection.info.backend_pid)
