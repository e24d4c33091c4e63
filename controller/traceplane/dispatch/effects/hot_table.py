"""The hot table that an outbox row names."""

from __future__ import annotations

from uuid import UUID

from traceplane.errors import Refused
from traceplane.store.engine import Database
from traceplane.store.statements import hot_tables
from traceplane.store.statements.outbox import OutboxRow


async def hot_table_of(state: Database, row: OutboxRow) -> hot_tables.HotTable:
    """The table of the row's dataset version. Raises Refused where there is none."""
    version = UUID(row.payload["dataset_version_id"])
    async with state.autocommit() as conn:
        table = await hot_tables.hot_table(conn, version)
    if table is None:
        raise Refused(f"dataset version {version} has no hot table")
    return table
