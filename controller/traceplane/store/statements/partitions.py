"""Committed partitions and relocated ranges: how cold files take the place of what was there.

Both are CTEs of the completing statement and read the rows it accepted (`ended`). A partition has one current
version per dataset version; the one before stays as history, since a running query may have pinned it. A
relocation says that readers of a hot dataset version find a range in cold files from this commit on; the hot
rows go later, through the outbox, when no query that began before can still want them.
"""

from __future__ import annotations

from uuid import UUID

from traceplane.store.engine import Connection

COMMITTED = """
commits AS (
    SELECT x.location, x.files, x.rows, x.bytes, x.sha256, x.key, x.start, x."end",
           v.org_id, v.dataset_id, v.id AS dataset_version_id, d.id AS task_id, d.attempt,
           -- Two tasks of one batch may commit the same partition: the later lease is current, the other history.
           row_number() OVER (PARTITION BY v.id, x.key ORDER BY d.lease_epoch DESC) AS nth
    FROM jsonb_to_recordset(%(commits)s::jsonb)
        AS x(task_id uuid, output text, key text, start int8, "end" int8, location text, files jsonb, rows int8,
             bytes int8, sha256 text)
    JOIN ended d ON d.id = x.task_id AND d.status = 'Completed'
    JOIN dataset_versions v ON v.job_id = d.job_id AND v.storage = 'S3'
    JOIN datasets o ON o.id = v.dataset_id AND o.output = x.output
),
superseded AS (
    UPDATE partition_versions p SET superseded_at = statement_timestamp(), superseded_xid = pg_current_xact_id()
    FROM commits c
    WHERE p.dataset_version_id = c.dataset_version_id AND p.partition_key = c.key
      AND p.superseded_at IS NULL
      AND c.nth = 1  -- second guard: every partition that is committed at all has a first
    RETURNING p.id
),
committed AS (
    INSERT INTO partition_versions
        (org_id, dataset_id, dataset_version_id, partition_key, range_start, range_end, location, files, rows,
         bytes, manifest_sha256, task_id, attempt, committed_at, superseded_at, superseded_xid)
    SELECT c.org_id, c.dataset_id, c.dataset_version_id, c.key, c.start, c."end", c.location, c.files, c.rows,
           c.bytes, c.sha256, c.task_id, c.attempt, statement_timestamp(),
           CASE WHEN c.nth > 1 THEN statement_timestamp() END, CASE WHEN c.nth > 1 THEN pg_current_xact_id() END
    FROM commits c
    -- Always true, and reads `superseded`: so the current version is out of the way before the new one comes, of
    -- which a unique index allows one.
    WHERE (SELECT count(*) FROM superseded) >= 0
    RETURNING id
)"""
"""Point at the new files."""

RELOCATED = """
relocating AS (
    SELECT d.org_id, i.dataset_version_id AS hot, v.id AS cold, d.id AS task_id, d.attempt, x.start, x."end",
           x.delete_hot
    FROM jsonb_to_recordset(%(relocations)s::jsonb)
        AS x(task_id uuid, input int4, output text, start int8, "end" int8, delete_hot bool)
    JOIN ended d ON d.id = x.task_id AND d.status = 'Completed'
    JOIN job_inputs i ON i.job_id = d.job_id AND i.position = x.input
    JOIN dataset_versions v ON v.job_id = d.job_id AND v.storage = 'S3'
    JOIN datasets o ON o.id = v.dataset_id AND o.output = x.output
),
relocated AS (
    INSERT INTO relocations (hot_version_id, cold_version_id, org_id, ranges)
    SELECT hot, cold, org_id, range_agg(int8range(start, "end", '[]')) FROM relocating GROUP BY hot, cold, org_id
    ON CONFLICT (hot_version_id, cold_version_id) DO UPDATE
        SET ranges = relocations.ranges + excluded.ranges, updated_at = statement_timestamp()
),
requested_deletions AS (
    INSERT INTO outbox (org_id, kind, payload, dedupe_key, available_at)
    SELECT org_id, 'delete_hot_rows',
           jsonb_build_object('dataset_version_id', hot, 'start', start, 'end', "end"),
           'delete_hot_rows:' || hot || ':' || task_id || ':' || attempt || ':' || start || '-' || "end",
           -- A query that began before this commit still reads these rows hot; it has ended by then.
           statement_timestamp() + make_interval(secs => %(keep_hot)s)
    FROM relocating WHERE delete_hot
    ON CONFLICT (dedupe_key) DO NOTHING
)"""
"""Readers of the hot version read these ranges cold from now on; the hot rows are deleted through the outbox."""

RELOCATION_COVERS = """
SELECT bool_or(ranges @> int8range(%(start)s::int8, %(end)s::int8, '[]'))
FROM relocations WHERE hot_version_id = %(version)s
"""
"""Whether one cold version holds a whole range of a hot one: checked again before hot rows are deleted."""


async def is_relocated(conn: Connection, version_id: UUID, start: int, end: int) -> bool:
    """Whether the inclusive range of a hot version is wholly in one cold version."""
    parameters = {"version": version_id, "start": start, "end": end}
    row = await (await conn.execute(RELOCATION_COVERS, parameters)).fetchone()
    return bool(row and row[0])
