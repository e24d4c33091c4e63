"""The outbox loop: performs external effects that a transaction decided on.

Rows are leased, performed, and finished by separate statements. A failed row comes back with backoff; after the
limit it is Failed and stays for a person to see.
"""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from traceplane.dispatch.effects import Effect
from traceplane.errors import Refused, TraceError
from traceplane.kit import crash
from traceplane.kit.loops import backoff
from traceplane.observe import dispatch_metrics as metrics
from traceplane.settings import DispatcherSettings
from traceplane.store.engine import Database
from traceplane.store.statements import outbox
from traceplane.store.statements.outbox import OutboxRow

AFTER_TAKE = crash.declare("outbox.after_take")
AFTER_EFFECT = crash.declare("outbox.after_effect")

BATCH = 16
HOLD_SECONDS = 120.0
"""Longer than any step: a row whose worker died comes back after this."""

log = structlog.get_logger()


class Outbox:
    """Drains due rows. `effects` by kind of row."""

    def __init__(self, settings: DispatcherSettings, state: Database, effects: Mapping[str, Effect]) -> None:
        self._settings = settings
        self._state = state
        self._effects = effects

    async def run_once(self) -> int:
        """Perform one step of each of a batch of due rows; how many were tried."""
        async with self._state.autocommit() as conn:
            rows = await outbox.take(conn, limit=BATCH, hold_seconds=HOLD_SECONDS)
        if rows:
            crash.point(AFTER_TAKE)
        for row in rows:
            await self._perform(row)
        return len(rows)

    async def _perform(self, row: OutboxRow) -> None:
        try:
            effect = self._effects.get(row.kind)
            if effect is None:
                raise Refused(f"no effect for outbox rows of kind {row.kind}")
            done = await effect.perform(row)
        except Exception as error:  # recorded on the row, which comes back with backoff or ends as Failed
            # A GiveUp as well: a right that is missing on one table is that row's failure, and no reason to end a
            # process that serves every DAG.
            await self._failed(row, error)
            return
        crash.point(AFTER_EFFECT)
        async with self._state.autocommit() as conn:
            await (outbox.finish if done else outbox.proceed)(conn, row)
        metrics.OUTBOX.labels(row.kind, "done" if done else "continued").inc()

    async def _failed(self, row: OutboxRow, error: Exception) -> None:
        exhausted = row.attempts >= self._settings.outbox_max_attempts
        final = isinstance(error, Refused) or exhausted
        delay = backoff(
            row.attempts, base=self._settings.outbox_base_seconds, limit=self._settings.outbox_max_seconds
        )
        message = error.message if isinstance(error, TraceError) else type(error).__name__
        async with self._state.autocommit() as conn:
            await outbox.fail(conn, row, error=message, delay_seconds=delay, final=final)
        metrics.OUTBOX.labels(row.kind, "failed" if final else "retried").inc()
        log.warning(
            "outbox row failed", row=row.id, kind=row.kind, attempt=row.attempts, final=final, error=message
        )
