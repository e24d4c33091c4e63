"""The pointer of a DAG: which of its versions is active, and which Kubernetes object it was taken from.

There is one row for each name of a DAG, and it is never deleted. Whatever changes a DAG locks this row first, so
deploys and the deletion of one DAG run one after the other, whatever the number of controllers.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from traceplane.store.engine import Connection

CREATE = """
INSERT INTO dag_current_versions (org_id, namespace, dag, resource_uid, resource_generation)
VALUES (%(org)s, %(namespace)s, %(dag)s, %(uid)s, %(generation)s)
ON CONFLICT DO NOTHING
"""
"""The row must exist to be locked: a second first deploy waits here until the one before it commits."""

LOCK = """
SELECT c.active_version_id, v.spec_hash, c.resource_uid, c.resource_generation, c.deleted_at
FROM dag_current_versions c LEFT JOIN dag_versions v ON v.id = c.active_version_id
WHERE c.org_id = %(org)s AND c.namespace = %(namespace)s AND c.dag = %(dag)s
FOR UPDATE OF c
"""
"""Serialise what changes one DAG, and see which version is active."""

ACTIVATE = """
UPDATE dag_current_versions
SET active_version_id = %(version)s, resource_uid = %(uid)s, resource_generation = %(generation)s,
    -- A DAG that was being deleted and is applied again lives on under its new resource.
    deleted_at = NULL,
    updated_at = statement_timestamp()
WHERE org_id = %(org)s AND namespace = %(namespace)s AND dag = %(dag)s
"""
"""Make a version current."""

RECORD_RESOURCE = """
UPDATE dag_current_versions
SET resource_uid = %(uid)s, resource_generation = %(generation)s, updated_at = statement_timestamp()
WHERE org_id = %(org)s AND namespace = %(namespace)s AND dag = %(dag)s
  -- Nearly every look at a DAG ends here and finds the same resource: no row is written then.
  AND (resource_uid, resource_generation) IS DISTINCT FROM (%(uid)s, %(generation)s)
"""
"""Remember the newest resource that was compared, though it changed nothing, so that an older one is refused."""

RETIRE = """
UPDATE dag_current_versions
SET active_version_id = NULL, staged_version_id = NULL,
    deleted_at = coalesce(deleted_at, statement_timestamp()), updated_at = statement_timestamp()
WHERE org_id = %(org)s AND namespace = %(namespace)s AND dag = %(dag)s
  -- The fence: a resource of the same name that was applied since owns the DAG now.
  AND resource_uid = %(uid)s
"""
"""No version is current any more, so nothing routes to the DAG. Locks the row like a deploy."""


@dataclass(frozen=True, slots=True)
class DagKey:
    """What identifies a DAG."""

    org_id: UUID
    namespace: str
    dag: str

    @property
    def parameters(self) -> dict[str, object]:
        """As statements take it: `org`, `namespace`, `dag`."""
        return {"org": self.org_id, "namespace": self.namespace, "dag": self.dag}


@dataclass(frozen=True, slots=True)
class Resource:
    """The Kubernetes object of a DAG as one observer saw it: `metadata.uid` and `metadata.generation`."""

    uid: str
    generation: int

    @property
    def parameters(self) -> dict[str, object]:
        """As statements take it: `uid`, `generation`."""
        return {"uid": self.uid, "generation": self.generation}


@dataclass(frozen=True, slots=True)
class Pointer:
    """A DAG's row. `spec_hash` is the active version's; both are None before a first deploy and after deletion."""

    active_version_id: UUID | None
    spec_hash: str | None
    resource_uid: str
    resource_generation: int
    deleted_at: datetime | None


async def lock(conn: Connection, dag: DagKey, resource: Resource) -> Pointer:
    """The DAG's pointer, made for `resource` where there is none, and locked until the transaction ends."""
    await conn.execute(CREATE, dag.parameters | resource.parameters)
    row = await (await conn.execute(LOCK, dag.parameters)).fetchone()
    assert row is not None, "it was made above, and pointers are never deleted"
    return Pointer(*row)


async def activate(conn: Connection, dag: DagKey, resource: Resource, version_id: UUID) -> None:
    """Make `version_id`, which was taken from `resource`, the active version."""
    await conn.execute(ACTIVATE, dag.parameters | resource.parameters | {"version": version_id})


async def record_resource(conn: Connection, dag: DagKey, resource: Resource) -> None:
    """Remember `resource` as the newest one that was compared with the active version."""
    await conn.execute(RECORD_RESOURCE, dag.parameters | resource.parameters)


async def retire(conn: Connection, dag: DagKey, resource_uid: str) -> bool:
    """Take the DAG out of service; False where it belongs to another resource or is unknown. May be repeated."""
    return (await conn.execute(RETIRE, dag.parameters | {"uid": resource_uid})).rowcount == 1
