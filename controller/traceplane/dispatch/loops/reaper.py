"""The reaper: ends attempts whose lease expired, and those that ran past `timeoutSeconds` though they renewed it.

It writes only where the row is still Running with the attempt it looked at, so a task that completed in between
stays completed.
"""

from __future__ import annotations

from dataclasses import dataclass

from traceplane.dispatch.wake import Wakeups
from traceplane.observe import dispatch_metrics as metrics
from traceplane.observe import task_spans
from traceplane.store.engine import Database
from traceplane.store.statements import attempts
from traceplane.tasks.retries import RetryPolicy

BATCH = 500


@dataclass(frozen=True)
class Reaper:
    """Ends late attempts; the retry loop brings their tasks back."""

    state: Database
    wakeups: Wakeups
    retry: RetryPolicy

    async def run_once(self) -> int:
        """End up to a batch of expired leases and of overrun attempts; how many."""
        async with self.state.autocommit() as conn:
            ended = await attempts.reap(conn, retry=self.retry, limit=BATCH)
        for attempt in ended:
            metrics.attempts_ended(attempt.dag, attempt.job, attempt.result)
            task_spans.ended((attempt.namespace, attempt.dag, attempt.job), attempt)
        self.wakeups.publish({attempt.job_id for attempt in ended})
        return len(ended)
