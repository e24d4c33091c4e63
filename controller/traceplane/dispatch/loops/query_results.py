"""Deletes old results of queries and the files they were exported to, and much older accesses to personal data.

The file goes first and the rows that name it second, so that a crash between the two is put right by the next pass.
A file that was written again since (the same answer has the same name) stays, and its old rows with it. What a
query service left half written when it was killed is deleted after a day.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from traceplane.drivers.objects import Objects
from traceplane.settings import DispatcherSettings
from traceplane.store.engine import Database
from traceplane.store.statements import results

BATCH = 200
ABANDONED = timedelta(days=1)


@dataclass(frozen=True)
class QueryResults:
    """Forgets what is too old of each table."""

    data: Database
    objects: Objects
    settings: DispatcherSettings

    async def run_once(self) -> int:
        """One batch; how many rows and files were deleted. Raises Unavailable."""
        older = self.settings.query_retention_seconds
        async with self.data.autocommit() as conn:
            expired = await results.expired_outputs(conn, older_seconds=older, limit=BATCH)
        kept = [location for location in expired if not await self._deleted(location)]
        async with self.data.autocommit() as conn:
            deleted = await results.forget_results(conn, older_seconds=older, kept=kept, limit=BATCH)
            deleted += await results.forget_batches(conn, older_seconds=older, limit=BATCH)
            deleted += await results.forget_accesses(
                conn, older_seconds=self.settings.audit_retention_seconds, limit=BATCH
            )
        return deleted + await self._sweep()

    async def _deleted(self, location: str) -> bool:
        """Delete an exported file; False, and nothing changed, where it was written again lately."""
        key = location.removeprefix(f"s3://{self.settings.s3_bucket}/")
        found = await self.objects.head(key)
        horizon = datetime.now(UTC) - timedelta(seconds=self.settings.query_retention_seconds)
        if found is not None and found.modified >= horizon:
            return False
        if found is not None:
            await self.objects.delete(key)
        return True

    async def _sweep(self) -> int:
        """Delete files that never got to their place."""
        horizon = datetime.now(UTC) - ABANDONED
        prefix = f"exports/{self.settings.org_id}/incoming/"
        abandoned = [found for found in await self.objects.list(prefix, limit=BATCH) if found.modified < horizon]
        for found in abandoned:
            await self.objects.delete(found.key)
        return len(abandoned)
