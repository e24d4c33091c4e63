"""The outbox loop: performs external effects that a transaction decided on.

Rows are leased, performed, and finished by separate statements, so an effect may happen twice (a crash between it
and its finish) and every handler is idempotent. A failed row comes back with backoff; after the limit it is
Failed and stays for a person to see. A handler does one bounded step and says whether more is left.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping
from uuid import UUID

import structlog

from traceplane.dispatch.wake import Wakeups
from traceplane.errors import GiveUp, Refused, TraceError
from traceplane.kit import crash
from traceplane.kit.loops import backoff
from traceplane.observe import dispatch_metrics as metrics
from traceplane.settings import DispatcherSettings
from traceplane.store.engine import Database
from traceplane.store.statements import hot_tables, outbox, partitions
from traceplane.store.statements.outbox import OutboxRow

AFTER_TAKE = crash.declare("outbox.after_take")
AFTER_EFFECT = crash.declare("outbox.after_effect")

BATCH = 16
HOLD_SECONDS = 120.0
"""Longer than any step: a row whose worker died comes back after this."""

DELETE_ROWS = 5_000
"""Hot rows deleted in one statement, so that no lock is held for long."""

Handler = Callable[[OutboxRow], Awaitable[bool]]
"""Performs one step of a row; True when nothing is left to do."""

log = structlog.get_logger()


class Outbox:
    """Drains due rows."""

    def __init__(self, settings: DispatcherSettings, state: Database, handlers: Mapping[str, Handler]) -> None:
        self._settings = settings
        self._state = state
        self._handlers = handlers

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
            handler = self._handlers.get(row.kind)
            if handler is None:
                raise GiveUp(f"no handler for outbox rows of kind {row.kind}")
            done = await handler(row)
        except Exception as error:  # recorded on the row, which comes back with backoff or ends as Failed
            await self._failed(row, error)
            return
        crash.point(AFTER_EFFECT)
        async with self._state.autocommit() as conn:
            await (outbox.finish if done else outbox.proceed)(conn, row)
        metrics.OUTBOX.labels(row.kind, "done" if done else "continued").inc()

    async def _failed(self, row: OutboxRow, error: Exception) -> None:
        final = isinstance(error, (Refused, GiveUp)) or row.attempts >= self._settings.outbox_max_attempts
        delay = backoff(
            row.attempts,
            base=self._settings.outbox_base_seconds,
            limit=self._settings.outbox_max_seconds,
            jitter=random.random(),  # noqa: S311
        )
        told = error.message if isinstance(error, TraceError) else type(error).__name__
        async with self._state.autocommit() as conn:
            await outbox.fail(conn, row, error=told, delay_seconds=delay, final=final)
        metrics.OUTBOX.labels(row.kind, "failed" if final else "retried").inc()
        log.warning("outbox row failed", row=row.id, kind=row.kind, attempt=row.attempts, final=final, error=told)


class HotTables:
    """Effects in the data database: making hot tables, and sweeping rows that moved to cold files."""

    def __init__(self, state: Database, data: Database, wakeups: Wakeups) -> None:
        self._state = state
        self._data = data
        self._wakeups = wakeups

    def handlers(self) -> dict[str, Handler]:
        """Handlers by kind of outbox row."""
        return {"provision_hot_table": self.provision, "delete_hot_rows": self.sweep}

    async def provision(self, row: OutboxRow) -> bool:
        """Make the table of a dataset version, then let its job run."""
        table = await self._table(row)
        async with self._data.autocommit() as conn:
            await hot_tables.create(conn, table)
        async with self._state.autocommit() as conn:
            ready = await hot_tables.mark_provisioned(conn, table.version_id)
        self._wakeups.publish(ready)
        return True

    async def sweep(self, row: OutboxRow) -> bool:
        """Delete a bounded number of relocated rows, if the relocation still covers them."""
        table = await self._table(row)
        start, end = int(row.payload["start"]), int(row.payload["end"])
        async with self._state.autocommit() as conn:
            covered = await partitions.is_relocated(conn, table.version_id, start, end)
        if not covered:
            raise Refused(f"rows {start} to {end} of {table.location} are not relocated; they stay")
        async with self._data.autocommit() as conn:
            deleted = await hot_tables.delete_rows(conn, table, start=start, end=end, limit=DELETE_ROWS)
        metrics.HOT_ROWS_DELETED.inc(deleted)
        return deleted < DELETE_ROWS

    async def _table(self, row: OutboxRow) -> hot_tables.HotTable:
        version = UUID(row.payload["dataset_version_id"])
        async with self._state.autocommit() as conn:
            table = await hot_tables.hot_table(conn, version)
        if table is None:
            raise Refused(f"dataset version {version} has no hot table")
        return table
