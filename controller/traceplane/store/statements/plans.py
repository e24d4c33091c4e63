"""What a plan of a change is made from: how much each output of a DAG's generations has.

One statement for all, whatever their number: counts come from indexes of what is announced and committed, and no
file is read. Of a plan with a preview only what touches its range counts.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from traceplane.store.engine import Connection
from traceplane.store.rows import named
from traceplane.store.statements.previews import Range

_INSIDE = "(%(start)s::int8 IS NULL OR range_start IS NULL OR (range_start <= %(end)s AND range_end >= %(start)s))"

SIZES = f"""
SELECT v.id AS version, j.name AS job, d.output, made.tasks, announced.partitions AS announced,
       least(furthest.position, %(end)s::int8) AS position, stored.partitions,
       coalesce(stored.rows, 0)::int8 AS rows, coalesce(stored.bytes, 0)::int8 AS bytes
FROM dataset_versions v
JOIN jobs j ON j.id = v.job_id
JOIN datasets d ON d.id = v.dataset_id
CROSS JOIN LATERAL (
    SELECT count(*) AS tasks FROM tasks
    WHERE job_id = j.id AND status <> 'Canceled' AND cause <> 'Source' AND {_INSIDE}) made
CROSS JOIN LATERAL (
    SELECT count(*) AS partitions FROM events
    WHERE dataset_version_id = v.id AND kind = 'Partition' AND {_INSIDE}) announced
CROSS JOIN LATERAL (SELECT max(cursor_value) AS position FROM events WHERE dataset_version_id = v.id) furthest
CROSS JOIN LATERAL (
    SELECT count(*) AS partitions, sum(rows) AS rows, sum(bytes) AS bytes
    FROM partition_versions WHERE dataset_version_id = v.id AND superseded_at IS NULL AND {_INSIDE}) stored
WHERE v.org_id = %(org)s
  -- Both of one table: so the planner answers each from its index.
  AND (v.job_id = ANY(%(jobs)s) OR v.id = ANY(%(versions)s))
ORDER BY j.name, d.output
"""
"""How much each output of some generations, and some dataset versions beside, have announced and committed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """One output of a generation. `announced` partitions make a task each of who is triggered by it; `position` is
    how far it is; `rows` and `bytes` are those of cold files. `tasks` are those of the whole job."""

    version: UUID
    job: str
    output: str
    tasks: int
    announced: int
    position: int | None
    partitions: int
    rows: int
    bytes: int


async def sizes(
    conn: Connection,
    org_id: UUID,
    job_ids: Collection[UUID],
    versions: Collection[UUID] = (),
    preview: Range | None = None,
) -> list[Size]:
    """Of the outputs of some generations, and of dataset versions, by job and name; of `preview` only."""
    start, end = preview or (None, None)
    asked = {"org": org_id, "jobs": list(job_ids), "versions": list(versions), "start": start, "end": end}
    return await named(conn, Size, SIZES, asked)
