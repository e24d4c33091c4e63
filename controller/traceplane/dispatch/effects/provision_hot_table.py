"""Making the table of a hot dataset version."""

from __future__ import annotations

from dataclasses import dataclass

from traceplane.dispatch.effects.hot_table import hot_table_of
from traceplane.dispatch.wake import Wakeups
from traceplane.store.engine import Database
from traceplane.store.statements import hot_tables
from traceplane.store.statements.outbox import OutboxRow


@dataclass(frozen=True)
class ProvisionHotTable:
    """Makes the table, then lets the jobs run that wait for it."""

    state: Database
    data: Database
    wakeups: Wakeups

    async def perform(self, row: OutboxRow) -> bool:
        """Make the table of the row's dataset version, if it is not there yet."""
        table = await hot_table_of(self.state, row)
        async with self.data.autocommit() as conn:
            await hot_tables.create(conn, table)
        # Marked after the table is there: a job that may run writes at once.
        async with self.state.autocommit() as conn:
            ready = await hot_tables.mark_provisioned(conn, table.version_id)
        self.wakeups.publish(ready)
        return True
