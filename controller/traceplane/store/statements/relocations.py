"""What relocations mean for those who did not make them: a task that reads through them or read before one, and who
collects garbage.

A relocation is added by the completing statement (`partitions`) and only ever grows, until a version is purged with
the rows here that name it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from traceplane.store.documents import document
from traceplane.store.engine import Connection
from traceplane_sdk.wire import MAX_COLD_PARTITIONS, ColdPartition

MAX_SOLE_RANGES = 100
MAX_LISTED = 4 * MAX_COLD_PARTITIONS
"""Partitions listed for one claim: a task may need as many as MAX_COLD_PARTITIONS of each version. A worker claims
one task, and who claims many gets no more for all of them."""

PARTITIONS = f"""
SELECT DISTINCT p.cold::text, p.range_start, p.range_end, p.location, p.manifest_sha256
FROM tasks t
CROSS JOIN unnest(%(cold)s::uuid[]) c
CROSS JOIN LATERAL (
    SELECT p.dataset_version_id AS cold, p.range_start, p.range_end, p.location, p.manifest_sha256
    FROM partition_versions p
    WHERE p.dataset_version_id = c AND p.superseded_at IS NULL AND p.range_start IS NOT NULL
      AND int8range(p.range_start, p.range_end, '[]') && int8range(t.range_start, t.range_end, '[]')
    ORDER BY p.range_start
    LIMIT {MAX_COLD_PARTITIONS + 1}
) p
-- second guard: the tasks are those of a claim.
WHERE t.id = ANY(%(tasks)s::uuid[]) AND t.org_id = %(org)s
ORDER BY 1, 2
LIMIT {MAX_LISTED}
"""
"""Current partitions of cold versions that touch the ranges of tasks. Apart from the claiming statement, which most
often has no use for them; what was committed meanwhile has the same rows."""

MOVED_UNSEEN = """
SELECT DISTINCT x.task_id::text
FROM jsonb_to_recordset(%(relocations)s::jsonb)
    AS x(task_id uuid, input int4, start int8, "end" int8, cold jsonb)
JOIN tasks t ON t.id = x.task_id AND t.org_id = %(org)s
JOIN job_inputs i ON i.job_id = t.job_id AND i.position = x.input
JOIN relocations r ON r.hot_version_id = i.dataset_version_id
CROSS JOIN LATERAL (
    SELECT coalesce(range_agg(int8range((c ->> 0)::int8, (c ->> 1)::int8, '[]')), '{}') AS ranges
    FROM jsonb_array_elements(x.cold) c
) seen
-- Hot rows stay for a time after their relocation. Half of it: a statement that had not committed when the claim
-- was answered counts from its own beginning.
WHERE t.started_at < statement_timestamp() - make_interval(secs => %(keep_hot)s / 2)
  AND NOT isempty(r.ranges * int8range(x.start, x."end", '[]')::int8multirange - seen.ranges)
"""
"""Tasks that read of a hot table what moved since they were claimed, and may have been deleted before they did.

Asked after the rows were read, so nothing need be locked: a relocation that comes later deletes nothing that was
read.
"""

SOLE = """
SELECT r.hot_version_id, lower(x), upper(x) - 1
FROM relocations r
CROSS JOIN LATERAL (
    SELECT coalesce(range_agg(o.ranges * held.ranges), '{}') AS ranges
    FROM relocations o
    CROSS JOIN LATERAL (
        -- Relocated, and its files are still there.
        SELECT coalesce(range_agg(int8range(p.range_start, p.range_end, '[]')), '{}') AS ranges
        FROM partition_versions p
        WHERE p.dataset_version_id = o.cold_version_id AND p.superseded_at IS NULL
          AND p.range_start IS NOT NULL AND p.range_end IS NOT NULL
    ) held
    WHERE o.hot_version_id = r.hot_version_id AND o.cold_version_id <> r.cold_version_id
) others
CROSS JOIN LATERAL unnest(r.ranges - others.ranges) x
WHERE r.cold_version_id = %(cold)s AND r.org_id = %(org)s
ORDER BY r.hot_version_id, lower(x)
LIMIT %(limit)s
"""
"""Ranges that a cold version has alone: their hot rows are deleted, or will be."""


class SoleRange(NamedTuple):
    """Values `first` to `last` of a hot dataset version, whose only copy is in the cold one in question."""

    hot_version: UUID
    first: int
    last: int


async def partitions_of(
    conn: Connection, *, org_id: UUID, cold_versions: Sequence[str], tasks: Sequence[str]
) -> dict[str, list[ColdPartition]]:
    """The partitions that `tasks` read of cold versions, by version and in ascending order."""
    parameters = {"org": org_id, "cold": list(cold_versions), "tasks": list(tasks)}
    found: dict[str, list[ColdPartition]] = {}
    for cold, *part in await (await conn.execute(PARTITIONS, parameters)).fetchall():
        found.setdefault(cold, []).append(ColdPartition(*part))
    return found


async def moved_unseen(
    conn: Connection, *, org_id: UUID, relocations: Sequence[dict[str, object]], keep_hot_seconds: float
) -> frozenset[str]:
    """Tasks of `relocations` (task_id, input, start, end, cold) whose rows may be incomplete."""
    parameters = {"org": org_id, "relocations": document(relocations), "keep_hot": keep_hot_seconds}
    rows = await (await conn.execute(MOVED_UNSEEN, parameters)).fetchall()
    return frozenset(row[0] for row in rows)


async def sole_ranges(
    conn: Connection, *, org_id: UUID, cold_version: UUID, limit: int = MAX_SOLE_RANGES
) -> tuple[SoleRange, ...]:
    """What would be lost with `cold_version`, up to `limit` ranges; nothing: it may be purged.

    For one version at a time: of two that have the same range neither has it alone, and only one of them may go. So
    ask, and purge with its relocations, in one transaction that no other purge runs beside.
    """
    parameters = {"org": org_id, "cold": cold_version, "limit": limit}
    rows = await (await conn.execute(SOLE, parameters)).fetchall()
    return tuple(SoleRange(*row) for row in rows)
