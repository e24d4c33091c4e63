"""Asks state where rows come from, as the user API does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from tests import services
from traceplane.store.engine import Database
from traceplane.store.statements import lineage, steps
from traceplane.versions import waits

LIMIT = 100


class Origins:
    """An event loop and a pool of its own, until the end of the block."""

    def __init__(self, databases: services.Databases) -> None:
        self._dsn = databases.state_dsn

    def __enter__(self) -> Origins:
        self._runner = asyncio.Runner()
        self._state = Database(self._dsn, application="test")
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._state.close())
        self._runner.close()

    def runs(self, version: UUID, start: int, end: int, depth: int = 0) -> list[dict[str, Any]]:
        """Who made the rows of a range, and what they read, so many jobs back."""
        given = {"start": start, "end": end, "depth": depth, "limit": LIMIT}
        found: list[dict[str, Any]] = self._run(lineage.runs, versions={version}, key=None, **given)
        return found

    def reasons(self, version: UUID, at: int) -> dict[str, str]:
        """The reason of each job on the way from a version to its source."""
        found = self._run(steps.steps, roots=[version], at=at, depth=9, limit=LIMIT)
        return {wait.job: str(wait.reason) for wait in waits.explain(found, at)}

    def _run(self, statement: Callable[..., Awaitable[Any]], **given: Any) -> Any:
        async def once() -> Any:
            async with self._state.autocommit() as conn:
                return await statement(conn, services.ORG_ID, **given)

        return self._runner.run(once())
