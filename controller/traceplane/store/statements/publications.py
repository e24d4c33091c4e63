"""Publications: which dataset readers find under the name of an asset. One DAG publishes an asset at a time."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from traceplane.store.engine import Connection
from traceplane.store.rows import many
from traceplane.store.statements.pointers import DagKey

CURRENT = """
asset_publications p
JOIN datasets d ON d.id = p.dataset_id
JOIN dag_current_versions c
  ON (c.org_id, c.namespace, c.dag) = (d.org_id, d.namespace, d.dag) AND c.deleted_at IS NULL
-- The version that the active DAG version writes, not the newest: that one may still be staged.
JOIN dag_version_datasets x ON x.dag_version_id = c.active_version_id AND x.dataset_id = d.id
JOIN dataset_versions v ON v.id = x.dataset_version_id
"""
"""What readers get by the name of an asset, for a FROM: publication `p`, dataset `d` and dataset version `v`."""

WITHDRAW = """
DELETE FROM asset_publications WHERE org_id = %(org)s AND namespace = %(namespace)s AND dag = %(dag)s
"""
"""Withdraw everything the DAG publishes; its data and the policies of the names stay."""

PUBLISH = """
INSERT INTO asset_publications (org_id, namespace, asset, dag, dataset_id)
SELECT %(org)s, %(namespace)s, a.asset, %(dag)s, a.dataset_id
FROM dag_version_assets a WHERE a.dag_version_id = %(version)s
-- Nobody takes over what another DAG publishes: that row stays as it is, and the caller refuses.
ON CONFLICT (org_id, namespace, asset) DO NOTHING
"""
"""Publish the version's assets, as far as no other DAG publishes them."""

PUBLISHED_ELSEWHERE = """
SELECT p.asset, p.dag FROM asset_publications p
JOIN dag_version_assets a ON a.dag_version_id = %(version)s AND a.asset = p.asset
WHERE p.org_id = %(org)s AND p.namespace = %(namespace)s AND p.dag <> %(dag)s
ORDER BY p.asset
"""
"""Which assets of the version another DAG publishes."""


class Taken(NamedTuple):
    """An asset that another DAG publishes."""

    asset: str
    dag: str


async def replace(conn: Connection, dag: DagKey, version_id: UUID) -> list[Taken]:
    """Publish what a version of the DAG publishes and nothing else; the assets it could not have."""
    await withdraw(conn, dag)
    await conn.execute(PUBLISH, dag.parameters | {"version": version_id})
    return await taken(conn, dag, version_id)


async def taken(conn: Connection, dag: DagKey, version_id: UUID) -> list[Taken]:
    """The assets of a version that another DAG publishes."""
    return await many(conn, Taken, PUBLISHED_ELSEWHERE, dag.parameters | {"version": version_id})


async def withdraw(conn: Connection, dag: DagKey) -> int:
    """Publish nothing of the DAG any more; how many assets that were."""
    return (await conn.execute(WITHDRAW, dag.parameters)).rowcount
