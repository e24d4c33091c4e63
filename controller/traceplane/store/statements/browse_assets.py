"""What users read about published assets: versions and partitions. Pages and rows are as in `browse_dags`.

What a user may not read does not exist: the roles of the caller are in the `WHERE` of each statement that begins
with an asset's name, and the others begin with a dataset that such a statement gave.
"""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from traceplane.store.engine import Connection
from traceplane.store.statements.browse_dags import Row, row, rows
from traceplane.store.statements.versions import NAME

ASSETS = """
SELECT r.namespace, r.name, r.storage, coalesce(a.description, '') AS description, r.read_roles, r.federation,
       r.dataset_id AS dataset, r.dataset_version_id AS version, r.columns, r.scope_column,
       coalesce(r.cold_version_id, CASE WHEN r.storage = 'S3' THEN r.dataset_version_id END) AS cold_version,
       r.provisioned,
       ARRAY(SELECT DISTINCT rule FROM dataset_versions v CROSS JOIN LATERAL unnest(v.unverified) rule
             WHERE v.id IN (r.dataset_version_id, r.cold_version_id) ORDER BY rule) AS unverified
FROM catalog.relations r
LEFT JOIN assets a
  ON a.org_id = r.org_id AND a.namespace = r.namespace AND a.name = r.name AND a.deleted_at IS NULL
WHERE r.org_id = %(org)s
  AND (%(namespace)s::text IS NULL OR r.namespace = %(namespace)s)
  AND (%(asset)s::text IS NULL OR r.name = %(asset)s)
  -- A federated asset is as closed as the more closed of its halves. No roles: any reader may read.
  AND (cardinality(r.read_roles) = 0 OR r.read_roles && %(roles)s::text[])
  AND (cardinality(r.hot_read_roles) = 0 OR r.hot_read_roles && %(roles)s::text[])
  AND (cardinality(r.cold_read_roles) = 0 OR r.cold_read_roles && %(roles)s::text[])
  AND (r.namespace, r.name) > (%(after_namespace)s, %(after_name)s)
ORDER BY r.namespace, r.name
LIMIT %(limit)s
"""
"""Published assets that a caller with these roles may read; also one asset by its name."""

PROGRESS = f"""
SELECT (SELECT max(cursor_value) FROM events WHERE dataset_version_id = %(version)s) AS cursor,
       (SELECT unique_key FROM dataset_versions WHERE id = coalesce(%(version)s, %(cold_version)s)) AS unique_key,
       (SELECT jsonb_build_object('version', {NAME.format(v="s")},
                                  'start', lower(j.preview), 'end', upper(j.preview) - 1)
        FROM dataset_versions v
        JOIN datasets d ON d.id = v.dataset_id
        JOIN dag_current_versions c ON (c.org_id, c.namespace, c.dag) = (d.org_id, d.namespace, d.dag)
        JOIN dag_versions s ON s.id = c.staged_version_id
        JOIN dag_version_datasets x ON x.dag_version_id = s.id AND x.dataset_id = d.id
        JOIN dataset_versions n ON n.id = x.dataset_version_id
        JOIN jobs j ON j.id = n.job_id AND j.preview IS NOT NULL
        WHERE v.id IN (%(version)s, %(cold_version)s) LIMIT 1) AS preview,
       count(*) AS partitions, coalesce(sum(rows), 0)::bigint AS rows, coalesce(sum(bytes), 0)::bigint AS bytes
FROM partition_versions
WHERE org_id = %(org)s AND dataset_version_id = %(cold_version)s AND superseded_at IS NULL
"""
"""How far an asset's version is, what its cold one holds, what identifies a row, and the range of a preview."""

ASSET_VERSIONS = """
SELECT v.id, v.dataset_id AS dataset, v.storage, v.config_hash, v.schema_hash, v.created_at,
       v.id = %(current)s::uuid AS active
FROM dataset_versions v
WHERE v.org_id = %(org)s AND v.dataset_id = %(dataset)s AND v.purged_at IS NULL
  AND (%(before)s::uuid IS NULL OR v.id < %(before)s)
ORDER BY v.id DESC
LIMIT %(limit)s
"""
"""Every version of a published dataset, newest first."""

PARTITIONS = """
SELECT p.partition_key AS key, p.range_start AS start, p.range_end AS "end", p.rows, p.bytes, p.location,
       p.committed_at, p.task_id, p.attempt
FROM partition_versions p
WHERE p.org_id = %(org)s AND p.dataset_version_id = %(version)s AND p.superseded_at IS NULL
  -- Whole partitions have no start and stand last, by key: the row comparison is the order below in one expression.
  AND (%(after_key)s::text IS NULL
       OR (p.range_start IS NULL, coalesce(p.range_start, 0), p.partition_key)
          > (%(after_start)s::int8 IS NULL, coalesce(%(after_start)s::int8, 0), %(after_key)s::text))
ORDER BY p.range_start IS NULL, p.range_start, p.partition_key
LIMIT %(limit)s
"""
"""Current partitions of one dataset version, by where they start."""


async def assets(
    conn: Connection,
    org_id: UUID,
    *,
    namespace: str | None,
    roles: Collection[str],
    after: tuple[str, str],
    limit: int,
) -> list[Row]:
    """Assets of one namespace or all, by (namespace, name) after `after`."""
    page = {"namespace": namespace, "asset": None, "after_namespace": after[0], "after_name": after[1]}
    return await rows(conn, ASSETS, {"org": org_id, "roles": sorted(roles), "limit": limit, **page})


async def asset(
    conn: Connection, org_id: UUID, *, namespace: str, asset: str, roles: Collection[str]
) -> Row | None:
    """One asset; None where none of this name is published that these roles may read."""
    page = {"namespace": namespace, "asset": asset, "after_namespace": "", "after_name": ""}
    return await row(conn, ASSETS, {"org": org_id, "roles": sorted(roles), "limit": 1, **page})


async def progress(conn: Connection, org_id: UUID, *, version: UUID | None, cold_version: UUID | None) -> Row:
    """Cursor of an asset's version; partitions, rows and bytes of its cold one. None where it has none of them."""
    found = await row(conn, PROGRESS, {"org": org_id, "version": version, "cold_version": cold_version})
    assert found is not None  # it counts
    return found


async def versions(
    conn: Connection, org_id: UUID, *, dataset: UUID | None, current: UUID | None, before: UUID | None, limit: int
) -> list[Row]:
    """Versions of a dataset older than the version `before`; `active` is the version `current`."""
    page = {"dataset": dataset, "current": current, "before": before}
    return await rows(conn, ASSET_VERSIONS, {"org": org_id, "limit": limit, **page})


async def partitions(
    conn: Connection, org_id: UUID, *, version: UUID, after: tuple[int | None, str] | None, limit: int
) -> list[Row]:
    """Partitions that come after (start, key); from the first one where `after` is None."""
    start, key = after or (None, None)
    page = {"version": version, "after_start": start, "after_key": key}
    return await rows(conn, PARTITIONS, {"org": org_id, "limit": limit, **page})
