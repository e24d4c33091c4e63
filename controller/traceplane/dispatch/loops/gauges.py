"""Reads the backlog of both databases into gauges, so that a scrape costs no query."""

from __future__ import annotations

from dataclasses import dataclass

from traceplane.observe import dispatch_metrics as metrics
from traceplane.store.engine import Database
from traceplane.store.statements import gauges, source_outbox


@dataclass(frozen=True)
class Gauges:
    """Sets the gauges of queue, leases, outbox and relay."""

    state: Database
    data: Database

    async def run_once(self) -> int:
        """Read once; always 0, so that the runner waits for the next interval."""
        async with self.state.autocommit() as conn:
            queue = await gauges.queue(conn)
        metrics.TASKS.labels("Queued").set(queue.queued)
        metrics.TASKS.labels("Running").set(queue.running)
        metrics.TASKS.labels("Retrying").set(queue.retrying)
        metrics.TASKS.labels("Dead").set(queue.dead)
        metrics.OLDEST_QUEUED.set(queue.oldest_queued)
        metrics.RETRY_OVERDUE.set(queue.retry_overdue)
        metrics.NEXT_EXPIRY.set(queue.next_expiry)
        metrics.OUTBOX_PENDING.set(queue.outbox_due)
        metrics.OUTBOX_OLDEST.set(queue.outbox_oldest)
        metrics.OUTBOX_FAILED.set(queue.outbox_failed)
        metrics.OUTBOX_FAILED_LATELY.set(queue.outbox_failed_lately)
        async with self.data.autocommit() as conn:
            waiting, oldest = await source_outbox.waiting(conn)
        metrics.RELAY_PENDING.set(waiting)
        metrics.RELAY_OLDEST.set(oldest)
        return 0
