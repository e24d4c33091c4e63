"""Moving the views of a DAG after its pointer, its publications or its policies changed."""

from __future__ import annotations

from dataclasses import dataclass

from traceplane.dispatch.views import Views
from traceplane.store.statements.outbox import OutboxRow
from traceplane.store.statements.pointers import DagKey


@dataclass(frozen=True)
class MoveViews:
    """Moves them to where the pointer is by now, whatever it was when the row was written."""

    views: Views

    async def perform(self, row: OutboxRow) -> bool:
        """All views of the row's DAG, in one transaction of data."""
        await self.views.move(DagKey(row.org_id, str(row.payload["namespace"]), str(row.payload["dag"])))
        return True
