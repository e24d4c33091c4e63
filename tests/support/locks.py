"""Two transactions that meet: the one goes on when the other waits for it."""

from __future__ import annotations

import asyncio

from traceplane.store.engine import Database


async def blocked(database: Database) -> None:
    """Return when some session waits for a lock."""
    async with asyncio.timeout(60), database.autocommit() as conn:
        while True:
            cursor = await conn.execute(
                "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
            if await cursor.fetchone():
                return
