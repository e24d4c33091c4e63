"""Deleting the hot rows of a range that was relocated to cold files."""

from __future__ import annotations

from dataclasses import dataclass

from traceplane.dispatch.effects.hot_table import hot_table_of
from traceplane.errors import Refused
from traceplane.observe import dispatch_metrics as metrics
from traceplane.store.engine import Database
from traceplane.store.statements import hot_tables, partitions
from traceplane.store.statements.outbox import OutboxRow

DELETE_ROWS = 5_000
"""Rows deleted in one statement, so that no lock is held for long."""


@dataclass(frozen=True)
class DeleteHotRows:
    """Deletes relocated rows, a bounded number at a time."""

    state: Database
    data: Database

    async def perform(self, row: OutboxRow) -> bool:
        """Delete up to DELETE_ROWS rows of the row's range."""
        table = await hot_table_of(self.state, row)
        start, end = int(row.payload["start"]), int(row.payload["end"])
        # Looked up again before each step: a relocation may have been undone since the row was written, and then
        # these rows are the only copy.
        async with self.state.autocommit() as conn:
            covered = await partitions.is_relocated(conn, table.version_id, start, end)
        if not covered:
            raise Refused(f"rows {start} to {end} of {table.location} are not relocated; they stay")
        async with self.data.autocommit() as conn:
            deleted = await hot_tables.delete_rows(conn, table, start=start, end=end, limit=DELETE_ROWS)
        metrics.HOT_ROWS_DELETED.inc(deleted)
        return deleted < DELETE_ROWS
