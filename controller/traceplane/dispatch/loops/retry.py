"""The retry loop: failed tasks whose time has come are queued again."""

from __future__ import annotations

from dataclasses import dataclass

from traceplane.dispatch.wake import Wakeups
from traceplane.observe import dispatch_metrics as metrics
from traceplane.store.engine import Database
from traceplane.store.statements import attempts

BATCH = 1_000


@dataclass(frozen=True)
class Retry:
    """Queues due retries and wakes their workers."""

    state: Database
    wakeups: Wakeups

    async def run_once(self) -> int:
        """Queue up to a batch; how many."""
        async with self.state.autocommit() as conn:
            queued = await attempts.retry_due(conn, limit=BATCH)
        metrics.RETRIED.inc(len(queued))
        self.wakeups.publish(set(queued))
        return len(queued)
