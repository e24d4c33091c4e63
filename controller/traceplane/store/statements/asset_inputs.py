"""Reading assets of other DAGs: which version their readers get now, and who reads what of a DAG.

A reader is tied to a dataset version like to one of its own DAG, by `job_inputs`; so its work follows from events,
and a version that somebody reads is not purged, without a word about DAGs. Here is what only the boundary needs.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from traceplane.store.engine import Connection
from traceplane.store.rows import column, named
from traceplane.store.statements import publications
from traceplane.store.statements.pointers import DagKey

CURRENT = f"""
WITH RECURSIVE asked AS (
    SELECT a.namespace, a.asset, CASE p.storage WHEN 'Federated' THEN p.federation END AS federation,
           a.namespace = %(namespace)s
           OR coalesce(p.policy -> 'readNamespaces' ?| ARRAY[%(namespace)s, '*'], false) AS allowed
    FROM unnest(%(namespaces)s::text[], %(assets)s::text[]) a (namespace, asset)
    LEFT JOIN assets p
      ON p.org_id = %(org)s AND (p.namespace, p.name) = (a.namespace, a.asset) AND p.deleted_at IS NULL
),
current AS (
    SELECT p.namespace, p.asset, d.dag, d.job, d.output, v.dataset_id, v.id, v.storage, v.location, v.columns,
           v.unique_key, v.scope_column, v.sort_by, v.finality_depth, v.first_value, v.sparse, v.unverified
    FROM {publications.CURRENT}
    JOIN asked a ON (a.namespace, a.asset) = (p.namespace, p.asset) AND a.allowed
    WHERE p.org_id = %(org)s
),
up (root, version) AS (
    SELECT id, id FROM current
    UNION
    SELECT up.root, i.dataset_version_id
    FROM up JOIN dataset_versions v ON v.id = up.version JOIN job_inputs i ON i.job_id = v.job_id
),
made AS MATERIALIZED (
    -- What the asking DAG made of it itself: it must not come to read its own output by way of another DAG. Once
    -- for all, or each asset would be looked for in what is upstream of any.
    SELECT up.root, array_agg(DISTINCT d.job) AS jobs
    FROM up JOIN dataset_versions m ON m.id = up.version JOIN datasets d ON d.id = m.dataset_id
    WHERE d.org_id = %(org)s AND d.namespace = %(namespace)s AND d.dag = %(dag)s
    GROUP BY up.root
)
SELECT a.namespace, a.asset, v.dag, v.job, v.output, v.dataset_id, v.id AS version_id, v.storage, v.location,
       v.columns, v.unique_key, v.scope_column, v.sort_by, v.finality_depth, v.first_value, v.sparse, v.unverified,
       a.allowed, CASE WHEN a.allowed THEN a.federation END AS federation,
       coalesce(made.jobs, '{{}}') AS made_from
FROM asked a LEFT JOIN current v USING (namespace, asset) LEFT JOIN made ON made.root = v.id
"""
"""What some assets are for a DAG that wants to read them, published or not."""

HOLD = """
SELECT id FROM dataset_versions WHERE id = ANY(%(versions)s) AND purged_at IS NULL ORDER BY id FOR KEY SHARE
"""
"""Keep versions from being purged until their new readers are visible; those that are purged are left out."""

_READ = """
FROM datasets d
JOIN dataset_versions v ON v.dataset_id = d.id
JOIN job_inputs i ON i.dataset_version_id = v.id
JOIN jobs j ON j.id = i.job_id AND (j.namespace, j.dag) <> (d.namespace, d.dag)
JOIN dag_current_versions c
  ON (c.org_id, c.namespace, c.dag) = (j.org_id, j.namespace, j.dag) AND c.deleted_at IS NULL
JOIN dag_version_jobs m ON m.job_id = j.id AND m.dag_version_id IN (c.active_version_id, c.staged_version_id)
"""
"""Datasets, with the jobs of other DAGs that run and read them, of whatever version."""

READERS = f"""
SELECT DISTINCT d.job, d.output, j.namespace, j.dag, j.name AS reader,
       (SELECT regexp_replace(a.value ->> 0, '^.*/', '') FROM jsonb_each(j.definition -> 'assets') a
        WHERE a.value ->> 1 = v.id::text LIMIT 1) AS asset
{_READ}
WHERE d.org_id = %(org)s AND d.namespace = %(namespace)s AND d.dag = %(dag)s
ORDER BY j.namespace, j.dag, reader, d.job, d.output
"""
"""Who reads outputs of a DAG."""

READING_DAGS = f"""
SELECT DISTINCT j.namespace || '/' || j.dag
{_READ}
WHERE d.id IN (
    SELECT id FROM datasets WHERE org_id = %(org)s AND namespace = %(namespace)s AND dag = %(dag)s
    UNION
    -- A reader keeps to a name: who published it before is whom it is tied to still.
    SELECT o.id
    FROM asset_publications p
    JOIN dag_version_assets a ON a.org_id = p.org_id AND a.asset = p.asset
    JOIN datasets o ON o.id = a.dataset_id AND o.namespace = p.namespace
    WHERE p.org_id = %(org)s AND p.namespace = %(namespace)s AND p.dag = %(dag)s)
"""
"""DAGs with jobs that read what a DAG publishes, or what others published under the same names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentAsset:
    """An asset as a DAG finds it that wants to read it. Where nobody publishes it, or the DAG may not read
    it, what follows `asset` up to `unverified` is None."""

    namespace: str
    asset: str
    dag: str | None
    job: str | None
    output: str | None
    dataset_id: UUID | None
    version_id: UUID | None
    storage: str | None
    location: str | None
    columns: Sequence[dict[str, Any]] | None
    unique_key: Sequence[str] | None
    scope_column: str | None
    sort_by: Sequence[str] | None
    finality_depth: int | None
    first_value: int | None
    sparse: bool | None
    unverified: Sequence[str] | None
    allowed: bool
    """It is of the DAG's own namespace, or lists that in `readNamespaces`."""
    federation: dict[str, str] | None
    made_from: Sequence[str]
    """Jobs of the DAG that asks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """A job of another DAG that reads an output, by the name of an asset."""

    job: str
    output: str
    namespace: str
    dag: str
    reader: str
    asset: str


async def current(conn: Connection, dag: DagKey, assets: Collection[tuple[str, str]]) -> list[CurrentAsset]:
    """Each of `assets` (namespace, name) as `dag` finds it."""
    asked = {"namespaces": [namespace for namespace, _ in assets], "assets": [name for _, name in assets]}
    return await named(conn, CurrentAsset, CURRENT, dag.parameters | asked)


async def hold(conn: Connection, versions: Collection[UUID]) -> set[UUID]:
    """Those of `versions` that are not purged, and are not until this transaction ends."""
    return set(await column(conn, HOLD, {"versions": list(versions)}))


async def readers(conn: Connection, dag: DagKey) -> list[Reader]:
    """Who reads outputs of a DAG in other DAGs."""
    return await named(conn, Reader, READERS, dag.parameters)


async def reading_dags(conn: Connection, dag: DagKey) -> list[str]:
    """`namespace/name` of the DAGs that read outputs of this one, or assets that it took over from another."""
    return await column(conn, READING_DAGS, dag.parameters)
