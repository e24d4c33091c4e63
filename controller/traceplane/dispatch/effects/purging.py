"""Removing the bytes of a purged dataset version: its hot table, or the files below its prefix.

State forgot the version when it was purged, so the row says where it lay; no later version ever lies there.
"""

from __future__ import annotations

from dataclasses import dataclass

from traceplane.dispatch.views import Views
from traceplane.drivers.objects import Objects
from traceplane.errors import Refused, Unavailable
from traceplane.identity import prefixes
from traceplane.store.engine import Database
from traceplane.store.statements import hot_tables
from traceplane.store.statements import views as view_statements
from traceplane.store.statements.outbox import OutboxRow

DELETE_OBJECTS = 500
"""Objects removed in one step."""


@dataclass(frozen=True)
class DropHotTable:
    """Drops the table, and what fenced its writers, once no view reads it."""

    data: Database
    views: Views

    async def perform(self, row: OutboxRow) -> bool:
        """Drop it, if it is there. Raises Unavailable while a view reads it."""
        location = str(row.payload["location"])
        if await self._readers(location):
            await self.views.look()  # those of Trace have another table to show by now
            if left := await self._readers(location):
                raise Unavailable(f"{location} was purged, and stays while views read it: {', '.join(left)}")
        async with self.data.autocommit() as conn:
            await hot_tables.drop(conn, location)
        return True

    async def _readers(self, location: str) -> list[str]:
        async with self.data.autocommit() as conn:
            return await view_statements.readers(conn, location)


@dataclass(frozen=True)
class DeletePrefix:
    """Deletes objects, a bounded number at a time."""

    objects: Objects
    bucket: str

    async def perform(self, row: OutboxRow) -> bool:
        """Delete up to DELETE_OBJECTS objects below the row's prefix."""
        prefix = prefixes.parse(str(row.payload["location"]))
        if prefix.bucket != self.bucket:
            raise Refused(f"{prefix} is not in this installation's bucket {self.bucket}: remove it by hand")
        found = await self.objects.list(prefix.key, limit=DELETE_OBJECTS)
        for one in found:
            await self.objects.delete(one.key)
        return len(found) < DELETE_OBJECTS
