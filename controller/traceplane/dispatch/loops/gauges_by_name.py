"""Reads how jobs, sources and published assets stand into gauges, and whether the stores answer.

Gauges are replaced as a whole, so that what is gone has no series any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass

from traceplane.drivers.objects import Objects
from traceplane.errors import Unavailable
from traceplane.observe import dispatch_metrics as metrics
from traceplane.observe.registry import OTHER
from traceplane.settings import DispatcherSettings
from traceplane.store.engine import Database
from traceplane.store.statements import gauges_by_name as statements

_PROBED = "probe/"
"""A prefix with nothing below it: that there is no object is an answer, too."""


@dataclass(frozen=True)
class JobGauges:
    """Sets the gauges of jobs and sources."""

    state: Database
    settings: DispatcherSettings

    async def run_once(self) -> int:
        """Read once; always 0, so that the runner waits for the next interval."""
        org, most = self.settings.org_id, self.settings.metrics_names
        async with self.state.autocommit() as conn:
            jobs = await statements.jobs(conn, org_id=org, most=most)
            sources = await statements.sources(conn, org_id=org, most=most)
        for gauge in (metrics.JOB_TASKS, metrics.JOB_OLDEST, metrics.JOB_NEAR_EXPIRY):
            gauge.clear()
        for job in jobs:
            names = (job.dag, job.job)
            if job.dag != OTHER:
                metrics.NAMED.expect(*names)
            metrics.JOB_TASKS.labels(*names, "Queued").set(job.queued)
            metrics.JOB_TASKS.labels(*names, "Running").set(job.running)
            metrics.JOB_TASKS.labels(*names, "Retrying").set(job.retrying)
            metrics.JOB_TASKS.labels(*names, "Dead").set(job.dead)
            metrics.JOB_OLDEST.labels(*names).set(job.oldest_queued)
            metrics.JOB_NEAR_EXPIRY.labels(*names).set(job.near_expiry)
        self._show(sources)
        return 0

    def _show(self, sources: list[statements.Source]) -> None:
        shown = (metrics.SOURCE_RUNNING, metrics.SOURCE_HEALTHY, metrics.SOURCE_LAG, metrics.SOURCE_DEEP_REORG)
        for gauge in shown:
            gauge.clear()
        for source in sources:
            names = (source.dag, source.job)
            metrics.SOURCE_RUNNING.labels(*names).set(source.running)
            metrics.SOURCE_HEALTHY.labels(*names).set(source.healthy)
            metrics.SOURCE_DEEP_REORG.labels(*names).set(source.deep_reorg)
            if source.lag is not None:
                metrics.SOURCE_LAG.labels(*names).set(source.lag)


@dataclass(frozen=True)
class AssetGauges:
    """Sets the gauges of published assets. While the data database is away, hot tables have no size."""

    state: Database
    data: Database
    settings: DispatcherSettings

    async def run_once(self) -> int:
        """Read once; always 0, so that the runner waits for the next interval."""
        async with self.state.autocommit() as conn:
            assets = await statements.assets(conn, org_id=self.settings.org_id, most=self.settings.metrics_names)
        locations = [location for asset in assets for location in asset.locations]
        try:
            async with self.data.autocommit() as conn:
                hot = await statements.hot_sizes(conn, locations)
        except Unavailable:
            hot = {}  # `trace_store_up` says so; how fresh an asset is, state knows by itself
        for gauge in (metrics.ASSET_COMMITTED, metrics.ASSET_ROWS, metrics.ASSET_BYTES):
            gauge.clear()
        for asset in assets:
            if asset.committed is not None:
                metrics.ASSET_COMMITTED.labels(asset.asset).set(asset.committed)
            tables = [hot[location] for location in asset.locations if location in hot]
            if asset.rows is not None or tables:
                metrics.ASSET_ROWS.labels(asset.asset).set((asset.rows or 0) + sum(table.rows for table in tables))
                metrics.ASSET_BYTES.labels(asset.asset).set(
                    (asset.bytes or 0) + sum(table.bytes for table in tables)
                )
        return 0


@dataclass(frozen=True)
class StoreGauges:
    """Asks each store for a sign of life."""

    state: Database
    data: Database
    objects: Objects

    async def run_once(self) -> int:
        """Ask all of them at once; always 0, so that the runner waits for the next interval."""
        asked = {
            "state": self.state.ping(),
            "data": self.data.ping(),
            "objects": self.objects.list(_PROBED, limit=1),
        }
        answers = await asyncio.gather(*map(_answers, asked.values()))
        for store, up in zip(asked, answers, strict=True):
            metrics.STORE_UP.labels(store).set(up)
        return 0


async def _answers(question: Awaitable[object]) -> bool:
    try:
        await question
    except Unavailable:
        return False
    return True
