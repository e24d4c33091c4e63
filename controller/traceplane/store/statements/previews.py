"""Building a staged generation over a sample range first: `jobs.preview`, NULL where it is built whole.

The range stands with the generation, not with the DAG, since it says what the generation has: one that was left
while it had a range is not whole up to then. It bounds what makes tasks and what hands them out, by the fragments
below; so taking it away needs no memory of what was left out, for the usual difference finds that.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from traceplane.store.engine import Connection
from traceplane.store.rows import column
from traceplane.store.statements.transitions import CANCELED, WAITS

Range = tuple[int, int]
"""First and last value, both inclusive."""

WANTS = """(j.preview IS NULL OR j.execution_strategy = 'PerUpdate'
         OR int8range(e.range_start, e.range_end, '[]') && j.preview)"""
"""Guard: a job `j` makes a task of the event `e`. A partition that only touches the range is made whole, so that
the range is. A run past a cursor takes all that there is up to the end of the range (`claims`)."""

HELD_BACK = """coalesce(j.activation = 'Source' AND j.preview IS NOT NULL AND (
        SELECT bool_and(furthest.cursor_value >= upper(j.preview) - 1)
        FROM dataset_versions v CROSS JOIN LATERAL (
            SELECT e.cursor_value FROM events e
            WHERE e.dataset_version_id = v.id AND e.cursor_value IS NOT NULL
            ORDER BY e.cursor_value DESC LIMIT 1) furthest
        WHERE v.job_id = j.id), false)"""
"""Whether a source `j` has come to the end of its range: every output of it that has anything."""

_RANGE = "int8range(%(start)s::int8, %(end)s::int8, '[]')"

PUT = f"""
WITH changed AS (
    UPDATE jobs j SET preview = CASE WHEN %(start)s::int8 IS NOT NULL THEN {_RANGE} END
    FROM dag_version_jobs s
    WHERE s.dag_version_id = %(staged)s AND j.id = s.job_id
      AND NOT EXISTS (SELECT FROM dag_version_jobs a WHERE a.dag_version_id = %(active)s AND a.job_id = j.id)
      AND j.preview IS DISTINCT FROM CASE WHEN %(start)s::int8 IS NOT NULL THEN {_RANGE} END
    RETURNING j.id
),
moved AS (
    -- An event that is accepted meanwhile goes by the range before: it is looked for a while (`MISSED_LATELY`).
    UPDATE dag_current_versions SET staged_at = statement_timestamp()
    WHERE staged_version_id = %(staged)s AND EXISTS (SELECT FROM changed)
)
SELECT id FROM changed
"""
"""Give the generations that the staged version alone runs a range, or none; those that had another one."""

CLEAR = "UPDATE jobs SET preview = NULL WHERE id = ANY(%(jobs)s) AND preview IS NOT NULL RETURNING id"
"""Generations of a version that becomes active are built whole; those that were not."""

CANCEL_OUTSIDE = f"""
UPDATE tasks t SET {CANCELED}
FROM jobs j
WHERE j.id IN (SELECT job_id FROM dag_version_jobs WHERE dag_version_id = %(staged)s)
  AND j.preview IS NOT NULL AND j.execution_strategy = 'PerPartition'
  AND t.job_id = j.id AND {WAITS} AND NOT int8range(t.range_start, t.range_end, '[]') && j.preview
"""
"""End what waits outside of the range; it is taken up again, like all that was canceled, once it is inside."""


async def put(conn: Connection, *, staged: UUID, active: UUID | None, preview: Range | None) -> tuple[UUID, ...]:
    """Build what `staged` has and `active` has not over `preview` only, or whole; the generations that changed."""
    start, end = preview or (None, None)
    given = {"staged": staged, "active": active, "start": start, "end": end}
    changed = tuple(await column(conn, PUT, given))
    if preview is not None:
        await conn.execute(CANCEL_OUTSIDE, {"staged": staged})
    return changed


async def clear(conn: Connection, *, job_ids: Sequence[UUID]) -> tuple[UUID, ...]:
    """Build generations whole from now on; those that were not."""
    return tuple(await column(conn, CLEAR, {"jobs": list(job_ids)}))
