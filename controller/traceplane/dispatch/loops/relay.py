"""The relay: events and invalidations that hot writers recorded in data become facts of state.

Rows are locked in data, in the order they were written, while state accepts them; then they are marked. Two
databases share no transaction: after a crash in between they are relayed again, and their ids make that harmless.
A row that state can never accept (an unknown dataset version, a malformed payload) is counted, logged and marked,
since it would stop every row behind it.

Each pass notes in state how far behind the relay is, since only here both databases are known: a staged version
does not take over while events of what it reads are still to come.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import structlog

from traceplane.dispatch.accept import Acceptance, unpack
from traceplane.kit import crash
from traceplane.observe import dispatch_metrics as metrics
from traceplane.store.engine import Database
from traceplane.store.statements import source_outbox

AFTER_ACCEPT = crash.declare("relay.after_accept")
BATCH = 500

log = structlog.get_logger()


@dataclass(frozen=True)
class Relay:
    """Moves rows of the source outbox into state."""

    state: Database
    data: Database
    acceptance: Acceptance

    async def run_once(self) -> int:
        """Relay up to a batch, and note how far behind that leaves the relay; how many rows."""
        relayed = await self._batch()
        # The clocks of the two databases are never compared: an age is measured in data and counted back in state.
        began = time.monotonic()
        async with self.data.autocommit() as conn:
            oldest = await source_outbox.oldest(conn)
        async with self.state.autocommit() as conn:
            await source_outbox.note_caught_up(conn, seconds=oldest + time.monotonic() - began)
        return relayed

    async def _batch(self) -> int:
        async with self.data.autocommit() as conn, conn.transaction():
            rows = await source_outbox.unrelayed(conn, limit=BATCH)
            if not rows:
                return 0
            unpacked = unpack(rows)
            known = await self.acceptance.relay(unpacked)
            crash.point(AFTER_ACCEPT)
            await source_outbox.mark_relayed(conn, [row.id for row in rows])
        for row_id, problem in unpacked.malformed:
            log.error("malformed row in the source outbox", row=str(row_id), problem=problem)
        unknown = len(rows) - known
        if unknown:
            metrics.RELAY_REFUSED.inc(unknown)
            log.error("rows of the source outbox refused", refused=unknown, malformed=len(unpacked.malformed))
        return len(rows)
