"""Deleting what the query service recorded long ago: results, batch queries, accesses to personal data.

In the data database.
"""

from __future__ import annotations

from collections.abc import Sequence

from traceplane.store.engine import Connection
from traceplane.store.rows import column

EXPIRED_OUTPUTS = """
SELECT DISTINCT output_location FROM (
    SELECT output_location FROM trace.query_results
    WHERE created_at < statement_timestamp() - make_interval(secs => %(older)s)
    ORDER BY created_at LIMIT %(limit)s
) AS old
WHERE output_location IS NOT NULL AND NOT EXISTS (
    SELECT FROM trace.query_results young
    WHERE young.output_location = old.output_location
      AND young.created_at >= statement_timestamp() - make_interval(secs => %(older)s))
"""
"""Exported files that no younger result names, of the rows that FORGET_RESULTS takes next."""

FORGET_RESULTS = """
DELETE FROM trace.query_results WHERE id IN (
    SELECT id FROM trace.query_results
    WHERE created_at < statement_timestamp() - make_interval(secs => %(older)s)
      -- A row goes after its file: while it is there, the next pass finds the file again.
      AND (output_location IS NULL OR output_location <> ALL (%(kept)s::text[]))
    ORDER BY created_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
"""
"""Old results, but for those whose file is still there."""

FORGET_BATCHES = """
DELETE FROM trace.query_batches WHERE id IN (
    SELECT id FROM trace.query_batches
    WHERE ended_at < statement_timestamp() - make_interval(secs => %(older)s)
    LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
"""
"""Batch queries that ended long ago."""

FORGET_ACCESSES = """
DELETE FROM trace.pii_access_log WHERE id IN (
    SELECT id FROM trace.pii_access_log
    WHERE accessed_at < statement_timestamp() - make_interval(secs => %(older)s)
    LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
"""
"""Accesses to personal data past the time for which they are kept."""


async def expired_outputs(conn: Connection, *, older_seconds: float, limit: int) -> list[str]:
    """`s3://` addresses of exported files that no request can name any more."""
    return await column(conn, EXPIRED_OUTPUTS, {"older": older_seconds, "limit": limit})


async def forget_results(conn: Connection, *, older_seconds: float, kept: Sequence[str], limit: int) -> int:
    """Delete old results, but for those of the files `kept`; how many."""
    parameters = {"older": older_seconds, "kept": list(kept), "limit": limit}
    return (await conn.execute(FORGET_RESULTS, parameters)).rowcount


async def forget_batches(conn: Connection, *, older_seconds: float, limit: int) -> int:
    """Delete batch queries that ended long ago; how many."""
    return (await conn.execute(FORGET_BATCHES, {"older": older_seconds, "limit": limit})).rowcount


async def forget_accesses(conn: Connection, *, older_seconds: float, limit: int) -> int:
    """Delete old accesses to personal data; how many."""
    return (await conn.execute(FORGET_ACCESSES, {"older": older_seconds, "limit": limit})).rowcount
