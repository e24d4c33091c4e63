"""The janitor: deletes rows that served their purpose, a bounded batch at a time.

Done outbox rows, relayed source rows, old events with the finished tasks they caused, and what hangs on purged
generations. Failed outbox rows and dead tasks stay until a person looked at them, and the furthest event of each
dataset version stays because it says how far a consumer has to read.
"""

from __future__ import annotations

from dataclasses import dataclass

from traceplane.store.engine import Database
from traceplane.store.statements import events, outbox, purges, source_outbox

BATCH = 1_000
PURGED = 5_000
"""Rows of purged generations in one transaction: well below the limit of a statement, whatever a generation has."""


@dataclass(frozen=True)
class Janitor:
    """Deletes finished rows of both databases. Times in seconds."""

    state: Database
    data: Database
    outbox_seconds: float
    events_seconds: float

    async def run_once(self) -> int:
        """One batch of each kind; how many rows were deleted."""
        async with self.state.autocommit() as conn:
            deleted = await outbox.forget(conn, older_seconds=self.outbox_seconds, limit=BATCH)
            deleted += await events.forget(conn, older_seconds=self.events_seconds, limit=BATCH)
        async with self.state.transaction() as conn:
            deleted += await purges.forget(conn, limit=PURGED)
        async with self.data.autocommit() as conn:
            return deleted + await source_outbox.forget(conn, older_seconds=self.outbox_seconds, limit=BATCH)
