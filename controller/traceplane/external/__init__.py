"""External assets, refreshed: the task that reads a file set or a table, and the loop that asks for it on schedule.

A refresh is a task like any other, with attempts, a lease and a fence, of an operator that only the dispatcher has.
It brings the source's bytes to a folder of its own, hashes them, has a confined process type the rows
(`query.reading`), writes them as Parquet into the platform's bucket, and commits a version (`versions.external`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from traceplane.external.refresh import Refresher
from traceplane.external.schedule import SECONDS, Schedules
from traceplane.kit.loops import Loop
from traceplane.settings import DispatcherSettings
from traceplane.store.engine import Database
from traceplane.versions.external import OPERATOR
from traceplane_sdk.context import Context, Result


def parts(
    settings: DispatcherSettings, state: Database
) -> tuple[Mapping[str, Callable[[Context], Result]], Sequence[Loop]]:
    """What a dispatcher runs of it, inside its running event loop."""
    refresher = Refresher(settings, state, asyncio.get_running_loop())
    schedules = Schedules(settings.org_id, state)
    return {OPERATOR: refresher.run}, (Loop("external schedules", schedules.run_once, SECONDS),)
