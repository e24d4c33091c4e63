"""The loop that asks for refreshes on schedule. Any number of dispatchers may run it.

The next time counts from the last refresh that anybody asked for, or from the Asset's last change. Times
that passed while nothing ran are made up for by one refresh. Two dispatchers that see the same time due ask one
after the other, behind the lock of the asset's pointer, and the second finds what the first asked for.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

import structlog
from cronsim import CronSim

from traceplane.errors import Refused
from traceplane.store.engine import Database
from traceplane.store.statements import external as statements
from traceplane.versions import external

SECONDS = 15.0
MOST = 1000
"""Assets that one pass looks at; they come in no order, so none waits for ever."""

log = structlog.get_logger()


class Schedules:
    """Asks for what is due."""

    def __init__(self, org_id: UUID, state: Database) -> None:
        self._org_id = org_id
        self._state = state

    async def run_once(self) -> int:
        """Ask for every refresh that is due; how many were."""
        async with self._state.autocommit() as conn:
            found = await statements.scheduled(conn, org_id=self._org_id, job=external.REFRESH, limit=MOST)
        asked = 0
        for one in found:
            if (at := due(one.schedule, one.time_zone, one.since)) is None or at > one.now:
                continue
            try:
                async with self._state.transaction() as conn:
                    task = await external.request(
                        conn, org_id=self._org_id, namespace=one.namespace, asset=one.name, unless_since=at
                    )
            except Refused as error:  # it was deleted, or is not external any more, since it was listed
                log.info("scheduled refresh not wanted", asset=one.name, namespace=one.namespace, why=error.code)
                continue
            asked += task is not None
        return asked


def due(schedule: str, time_zone: str, since: datetime) -> datetime | None:
    """The first time of a schedule after `since`; None where there is none.   (pure)"""
    return next(CronSim(schedule, since.astimezone(ZoneInfo(time_zone))), None)
