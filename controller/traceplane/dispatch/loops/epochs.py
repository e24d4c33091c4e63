"""Notices that state was restored to an earlier time than data, and lets work go on.

The fences of hot tables hold epochs of leases that such a state has not given out yet, so every new writer would be
taken for a stale one. Counting goes on above them. Nothing is published twice by it: rows are written by key or by
range, files are committed by task and attempt, and what state forgot is found missing and made again.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from traceplane.store.engine import Database
from traceplane.store.statements import epochs

log = structlog.get_logger()


@dataclass(frozen=True)
class Epochs:
    """Compares the two databases."""

    state: Database
    data: Database

    async def run_once(self) -> int:
        """Compare once; 1 where state was behind."""
        # Data first: an epoch that is taken in between is above both.
        async with self.data.autocommit() as conn:
            highest = await epochs.highest(conn)
        async with self.state.autocommit() as conn:
            before = await epochs.advance(conn, past=highest)
        if before is None:
            return 0
        log.error(
            "state was restored to an earlier time than data; leases are counted on above those in data",
            counted=before,
            data=highest,
            remedy="see the runbook docs/runbooks/dispatcher.md",
        )
        return 1
