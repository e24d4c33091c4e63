"""Effects outside of the state database that a transaction decided on, one kind of outbox row a file.

The outbox loop performs a row at least once: a crash between an effect and the record of it repeats the effect. So
each is idempotent. An effect does one bounded step at a time and says whether the row is done.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from traceplane.dispatch.effects.delete_hot_rows import DeleteHotRows
from traceplane.dispatch.effects.move_views import MoveViews
from traceplane.dispatch.effects.provision_hot_table import ProvisionHotTable
from traceplane.dispatch.effects.purging import DeletePrefix, DropHotTable
from traceplane.dispatch.views import Views
from traceplane.dispatch.wake import Wakeups
from traceplane.drivers.objects import Objects
from traceplane.store.engine import Database
from traceplane.store.statements.outbox import OutboxRow


class Effect(Protocol):
    """What is done about outbox rows of one kind."""

    async def perform(self, row: OutboxRow) -> bool:
        """One bounded step; True when nothing is left to do. Raises Refused where no repetition can help."""


def registry(
    state: Database, data: Database, wakeups: Wakeups, views: Views, objects: Objects, bucket: str
) -> Mapping[str, Effect]:
    """Every effect by the kind of its rows. `bucket` is the one of `objects`."""
    return {
        "provision_hot_table": ProvisionHotTable(state, data, wakeups),
        "delete_hot_rows": DeleteHotRows(state, data),
        "drop_hot_table": DropHotTable(data, views),
        "move_views": MoveViews(views),
        "delete_prefix": DeletePrefix(objects, bucket),
    }
