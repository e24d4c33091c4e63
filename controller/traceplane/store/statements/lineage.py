"""Where rows come from: what an asset was made from, the runs that made its rows, and what it waits for.

All begin with dataset versions that a statement of `browse_assets` gave: of an asset that the caller may read.
"""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from traceplane.store.documents import document
from traceplane.store.engine import Connection
from traceplane.store.statements.browse_dags import Row, rows
from traceplane.store.statements.versions import NAME

UP = """up (version, depth) AS (
    SELECT unnest(%(roots)s::uuid[]), 0
    UNION
    SELECT i.dataset_version_id, up.depth + 1
    FROM up
    JOIN dataset_versions v ON v.id = up.version
    JOIN job_inputs i ON i.job_id = v.job_id
    WHERE up.depth < %(depth)s
)"""
"""The dataset versions that `roots` are made from, and how many jobs away."""

LINEAGE = f"""
WITH RECURSIVE {UP},
-- A version was made from what its generation reads, for ever. Downstream is only what runs now: generations of a
-- DAG's former versions read it too, and concern nobody.
down (version, depth) AS (
    SELECT unnest(%(roots)s::uuid[]), 0
    UNION
    SELECT v.id, down.depth + 1
    FROM down
    JOIN job_inputs i ON i.dataset_version_id = down.version
    JOIN dag_version_jobs m ON m.job_id = i.job_id
    -- second guard: a DAG that is deleted has no active version.
    JOIN dag_current_versions c ON c.active_version_id = m.dag_version_id AND c.deleted_at IS NULL
    JOIN dataset_versions v ON v.job_id = i.job_id
    WHERE down.depth < %(depth)s
),
-- A version may be reached on several ways; its distance is that of the shortest one.
near AS (
    SELECT version, min(abs(side)) AS distance, sign(min(side)) AS side
    FROM (SELECT version, -depth AS side FROM up UNION ALL SELECT version, depth FROM down) AS both_sides
    GROUP BY version ORDER BY distance, version LIMIT %(limit)s
)
SELECT v.id AS version, d.id AS dataset, d.namespace, d.dag, d.job, d.output, v.storage, r.name AS asset,
       CASE WHEN n.distance = 0 THEN 'Asset' WHEN n.side < 0 THEN 'Upstream' ELSE 'Downstream' END AS side,
       n.distance,
       ARRAY(SELECT DISTINCT i.dataset_version_id FROM job_inputs i JOIN near k ON k.version = i.dataset_version_id
             WHERE i.job_id = v.job_id ORDER BY 1) AS inputs
FROM near n
JOIN dataset_versions v ON v.id = n.version AND v.org_id = %(org)s
JOIN datasets d ON d.id = v.dataset_id
-- The name of an asset is shown to callers that may read it.
LEFT JOIN catalog.relations r
  ON r.org_id = v.org_id AND r.dataset_version_id = v.id AND r.storage <> 'Federated'
  AND (cardinality(r.read_roles) = 0 OR r.read_roles && %(roles)s::text[])
ORDER BY n.distance, d.namespace, d.dag, d.job, d.output, v.id
"""
"""What an asset's versions were made from, and what is made from them."""


_FIRST_TO_LAST = "namespace, dag, job, output, start NULLS LAST, partition, task_id"

RUNS = f"""
WITH asked AS (
    SELECT * FROM jsonb_to_recordset(%(asked)s::jsonb) AS x(version uuid, key text, start int8, "end" int8)
),
-- What announced hot rows wrote them. The last event that concerns a range is the first one that reaches its end:
-- partitions of a version do not overlap, and a cursor reaches back to the one before it.
hot AS MATERIALIZED (
    SELECT a.*, coalesce(a.start, {-(2**63)}) AS first,
           coalesce((SELECT min(n.cursor_value) FROM events n
                     WHERE n.dataset_version_id = a.version AND n.cursor_value >= a."end"),
                    a."end", {2**63 - 1}) AS last
    FROM asked a JOIN dataset_versions v ON v.id = a.version AND v.storage = 'Postgres'
),
announced AS (
    SELECT h.version, e.producer_task_id AS task_id, e.created_at,
           -- The cursor before the first one that is asked about is not read: from where the question begins.
           CASE e.kind WHEN 'Cursor' THEN coalesce(e.before + 1, h.start) ELSE e.range_start END AS start,
           CASE e.kind WHEN 'Cursor' THEN least(e.cursor_value, h."end") ELSE e.cursor_value END AS "end"
    FROM hot h
    CROSS JOIN LATERAL (
        SELECT newest.*, max(cursor_value) OVER (
            ORDER BY cursor_value RANGE BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
        FROM (  -- What was announced again was written again: the run before has no rows there any more.
            SELECT DISTINCT ON (cursor_value, partition_key)
                   kind, cursor_value, range_start, producer_task_id, created_at
            FROM events
            WHERE dataset_version_id = h.version AND cursor_value BETWEEN h.first AND h.last
              AND (h.key IS NULL OR partition_key = h.key)
            ORDER BY cursor_value, partition_key, created_at DESC, id DESC) newest) e
    WHERE h."end" IS NULL OR e.kind = 'Cursor' OR e.range_start <= h."end"
),
made AS (
    SELECT a.version, p.partition_key AS partition, p.range_start AS start, p.range_end AS "end", p.rows, p.bytes,
           p.committed_at, p.task_id, p.attempt
    FROM asked a
    CROSS JOIN LATERAL (  -- UNION ALL: so each kind of question is answered from the index for it.
        SELECT * FROM partition_versions
        WHERE a.start IS NOT NULL AND dataset_version_id = a.version AND superseded_at IS NULL
          AND range_start IS NOT NULL
          AND int8range(range_start, range_end, '[]') && int8range(a.start, a."end", '[]')
        UNION ALL
        SELECT * FROM partition_versions
        WHERE dataset_version_id = a.version AND superseded_at IS NULL AND partition_key = a.key
        UNION ALL
        SELECT * FROM partition_versions
        WHERE a.start IS NULL AND a.key IS NULL AND dataset_version_id = a.version AND superseded_at IS NULL) p
    UNION ALL
    SELECT version, NULL, min(start), max("end"), NULL, NULL, max(created_at), task_id, NULL
    FROM announced GROUP BY version, task_id
),
-- Bounded first: attempts and inputs are looked up for what is shown.
shown AS (
    SELECT m.*, d.namespace, d.dag, d.job, d.output, v.storage, v.scope_column, v.job_id
    FROM made m
    JOIN dataset_versions v ON v.id = m.version AND v.org_id = %(org)s
    JOIN datasets d ON d.id = v.dataset_id
    ORDER BY {_FIRST_TO_LAST}
    LIMIT %(limit)s
)
SELECT m.version, m.namespace, m.dag, m.job, m.output, m.storage, m.partition, m.start, m."end", m.rows, m.bytes,
       m.committed_at, m.task_id, coalesce(m.attempt, ran.attempt, t.attempt) AS attempt, t.cause,
       coalesce(ran.worker_id, t.worker_id) AS worker_id, coalesce(ran.started_at, t.started_at) AS started_at,
       coalesce(ran.finished_at, t.finished_at) AS finished_at, j.operator, j.config_hash,
       (SELECT {NAME.format(v="x")} FROM dag_version_jobs y JOIN dag_versions x ON x.id = y.dag_version_id
        WHERE y.job_id = j.id ORDER BY x.number LIMIT 1) AS dag_version,
       (SELECT coalesce(jsonb_agg(jsonb_build_object(
                   'version', i.dataset_version_id, 'namespace', o.namespace, 'dag', o.dag, 'job', o.job,
                   'output', o.output,
                   -- A task's partition is that of what triggered it; any other range means the same in an input
                   -- that is placed by the same column.
                   'start', CASE WHEN i.is_trigger AND t.range_start IS NOT NULL THEN t.range_start
                                 WHEN w.scope_column = m.scope_column THEN coalesce(t.range_start, m.start) END,
                   'end', CASE WHEN i.is_trigger AND t.range_end IS NOT NULL THEN t.range_end
                               WHEN w.scope_column = m.scope_column THEN coalesce(t.range_end, m."end") END)
               ORDER BY i.position), '[]')
        FROM job_inputs i
        JOIN datasets o ON o.id = i.dataset_id
        JOIN dataset_versions w ON w.id = i.dataset_version_id
        WHERE i.job_id = j.id) AS inputs
FROM shown m
JOIN jobs j ON j.id = m.job_id
-- Finished tasks of old cursors are forgotten: what they made is not.
LEFT JOIN tasks t ON t.id = m.task_id
LEFT JOIN LATERAL (
    SELECT a.* FROM task_attempts a
    WHERE a.task_id = m.task_id AND (a.attempt = m.attempt OR m.attempt IS NULL AND a.finished_at >= m.committed_at)
    ORDER BY a.attempt LIMIT 1) ran ON true
ORDER BY {_FIRST_TO_LAST}
"""
"""Which task and attempt made the rows of versions, by range or partition, and what it read."""


async def lineage(
    conn: Connection, org_id: UUID, *, roots: Collection[UUID], roles: Collection[str], depth: int, limit: int
) -> list[Row]:
    """The `limit` versions nearest to `roots`, at most `depth` jobs away, the roots themselves first."""
    page = {"roots": list(roots), "roles": sorted(roles), "depth": depth}
    return await rows(conn, LINEAGE, {"org": org_id, "limit": limit, **page})


async def runs(
    conn: Connection,
    org_id: UUID,
    *,
    versions: Collection[UUID],
    key: str | None,
    start: int | None,
    end: int | None,
    depth: int,
    limit: int,
) -> list[Row]:
    """At most `limit` runs that made a partition or a range of versions (or all of them), the nearest first.

    `depth` jobs back: who made what these read, each range of a version once, however many read it.
    """
    asked = [{"version": version, "key": key, "start": start, "end": end} for version in versions]
    found: list[Row] = []
    seen: set[tuple[object, ...]] = set()
    for distance in range(depth + 1):
        async with conn.transaction():
            # Postgres cannot know how little is asked, and would compile the statement for longer than it runs.
            await conn.execute("SET LOCAL jit = off")
            made = await rows(conn, RUNS, {"org": org_id, "asked": document(asked), "limit": limit - len(found)})
        found += [{**run, "distance": distance} for run in made]
        read = {
            (i["version"], i["start"], i["end"]) for run in made for i in run["inputs"] if i["start"] is not None
        }
        asked = [
            {"version": UUID(version), "key": None, "start": start, "end": end}
            for version, start, end in sorted(read - seen)
        ]
        seen |= read
        if not asked or len(found) >= limit:
            break
    return found
