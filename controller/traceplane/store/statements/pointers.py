"""The pointer of a DAG: which of its versions is active, which is staged, and from which Kubernetes object.

There is one row for each name of a DAG, and it is never deleted. Whatever changes a DAG locks this row first, so
deploys and the deletion of one DAG run one after the other, whatever the number of controllers.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from traceplane.store.engine import Connection
from traceplane.store.rows import column, first

CREATE = """
INSERT INTO dag_current_versions (org_id, namespace, dag, resource_uid, resource_generation)
VALUES (%(org)s, %(namespace)s, %(dag)s, %(uid)s, %(generation)s)
ON CONFLICT DO NOTHING
"""
"""The row must exist to be locked: a second first deploy waits here until the one before it commits."""

LOCK = """
SELECT c.active_version_id, a.spec_hash, coalesce(a.written_hash, a.spec_hash), c.staged_version_id, s.spec_hash,
       coalesce(s.written_hash, s.spec_hash), c.approved_version_id, c.held_spec_hash,
       c.resource_uid, c.resource_generation, c.deleted_at,
       extract(epoch FROM statement_timestamp() - c.ready_at)::float8
FROM dag_current_versions c
LEFT JOIN dag_versions a ON a.id = c.active_version_id
LEFT JOIN dag_versions s ON s.id = c.staged_version_id
WHERE c.org_id = %(org)s AND c.namespace = %(namespace)s AND c.dag = %(dag)s
FOR UPDATE OF c
"""
"""Serialise what changes one DAG, and see where it points."""

_LEFT = """
left_behind AS (
    UPDATE dag_versions v SET left_at = statement_timestamp() FROM dag_current_versions c
    WHERE c.org_id = %(org)s AND c.namespace = %(namespace)s AND c.dag = %(dag)s AND {left}
)"""
"""Versions that ran until now: how long they are kept counts from here."""

ACTIVATE = f"""
WITH {_LEFT.format(left="v.id IN (c.active_version_id, c.staged_version_id) AND v.id <> %(version)s")},
activated AS (
    UPDATE dag_versions SET activated_at = statement_timestamp(), left_at = NULL, purged_at = NULL
    WHERE id = %(version)s
)
UPDATE dag_current_versions
SET active_version_id = %(version)s, staged_version_id = NULL, staged_at = NULL, ready_at = NULL,
    approved_version_id = NULL, held_spec_hash = %(held)s,
    -- A DAG that was being deleted and is applied again lives on under its new resource.
    deleted_at = NULL,
    updated_at = statement_timestamp()
WHERE org_id = %(org)s AND namespace = %(namespace)s AND dag = %(dag)s
"""
"""Make a version current; what was staged is so no more."""

STAGE = f"""
WITH {_LEFT.format(left="v.id = c.staged_version_id AND v.id IS DISTINCT FROM %(version)s")},
staged AS (
    UPDATE dag_versions SET left_at = NULL, purged_at = NULL WHERE id = %(version)s
)
UPDATE dag_current_versions
SET staged_version_id = %(version)s, approved_version_id = NULL, held_spec_hash = NULL, ready_at = NULL,
    staged_at = CASE WHEN %(version)s::uuid IS NOT NULL THEN statement_timestamp() END,
    updated_at = statement_timestamp()
WHERE org_id = %(org)s AND namespace = %(namespace)s AND dag = %(dag)s
"""
"""Build a version beside the active one, or none."""

MARK_READY = """
WITH changed AS (
    UPDATE dag_current_versions SET ready_at = CASE WHEN %(ready)s THEN statement_timestamp() END
    WHERE org_id = %(org)s AND namespace = %(namespace)s AND dag = %(dag)s AND staged_version_id = %(version)s
      AND (ready_at IS NOT NULL) <> %(ready)s
    RETURNING 1
)
SELECT extract(epoch FROM statement_timestamp() - ready_at)::float8 AS seconds
FROM dag_current_versions
WHERE org_id = %(org)s AND namespace = %(namespace)s AND dag = %(dag)s AND staged_version_id = %(version)s
  AND ready_at IS NOT NULL AND NOT EXISTS (SELECT FROM changed)
"""
"""Note since when the staged version is ready at every look, and say for how long: the first look that finds it
behind begins anew."""

APPROVE = """
UPDATE dag_current_versions SET approved_version_id = staged_version_id, updated_at = statement_timestamp()
WHERE org_id = %(org)s AND namespace = %(namespace)s AND dag = %(dag)s
"""
"""Let the staged version take the place of the active one as soon as it is ready."""

RELEASE = """
UPDATE dag_current_versions SET held_spec_hash = NULL, updated_at = statement_timestamp()
WHERE org_id = %(org)s AND namespace = %(namespace)s AND dag = %(dag)s
"""
"""Deploy again what a rollback held off."""

RECORD_RESOURCE = """
UPDATE dag_current_versions
SET resource_uid = %(uid)s, resource_generation = %(generation)s, updated_at = statement_timestamp()
WHERE org_id = %(org)s AND namespace = %(namespace)s AND dag = %(dag)s
  -- Nearly every look at a DAG ends here and finds the same resource: no row is written then.
  AND (resource_uid, resource_generation) IS DISTINCT FROM (%(uid)s, %(generation)s)
"""
"""Remember the newest resource that was compared, though it changed nothing, so that an older one is refused."""

RETIRE = f"""
WITH {_LEFT.format(left="v.id IN (c.active_version_id, c.staged_version_id) AND c.resource_uid = %(uid)s")}
UPDATE dag_current_versions
SET active_version_id = NULL, staged_version_id = NULL, staged_at = NULL, ready_at = NULL,
    approved_version_id = NULL, held_spec_hash = NULL,
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
    """A DAG's row. `spec_hash` is the active version's; all but the resource are None before a first deploy and
    after deletion. A written hash is that of what a person wrote, without the versions of other DAGs' assets."""

    active_version_id: UUID | None
    spec_hash: str | None
    written_hash: str | None
    staged_version_id: UUID | None
    staged_spec_hash: str | None
    staged_written_hash: str | None
    approved_version_id: UUID | None
    """The staged version, where somebody approved that it takes over."""
    held_spec_hash: str | None
    """The written hash of the spec that was applied when somebody rolled back: it is not deployed again until it
    changes, whatever other DAGs do."""
    resource_uid: str
    resource_generation: int
    deleted_at: datetime | None
    ready_seconds: float | None = None
    """How long the staged version has been ready, at every look since."""

    @property
    def running(self) -> tuple[UUID | None, UUID | None]:
        """The active and the staged version of a DAG that is in service."""
        return (None, None) if self.deleted_at is not None else (self.active_version_id, self.staged_version_id)


async def lock(conn: Connection, dag: DagKey, resource: Resource) -> Pointer:
    """The DAG's pointer, made for `resource` where there is none, and locked until the transaction ends."""
    await conn.execute(CREATE, dag.parameters | resource.parameters)
    pointer = await lock_known(conn, dag)
    assert pointer is not None, "it was made above, and pointers are never deleted"
    return pointer


async def lock_known(conn: Connection, dag: DagKey) -> Pointer | None:
    """The DAG's pointer, locked until the transaction ends; None where the DAG was never deployed."""
    return await first(conn, Pointer, LOCK, dag.parameters)


async def activate(conn: Connection, dag: DagKey, version_id: UUID, *, held: str | None = None) -> None:
    """Make `version_id` the active version; `held` is a spec hash that is not deployed until the spec changes."""
    await conn.execute(ACTIVATE, dag.parameters | {"version": version_id, "held": held})


async def stage(conn: Connection, dag: DagKey, version_id: UUID | None) -> None:
    """Build `version_id` beside the active version; None: nothing any more."""
    await conn.execute(STAGE, dag.parameters | {"version": version_id})


async def mark_ready(conn: Connection, dag: DagKey, version_id: UUID, *, ready: bool) -> float:
    """What a look at the staged version `version_id` found; for how many seconds every look has found it ready."""
    found: list[float] = await column(conn, MARK_READY, dag.parameters | {"version": version_id, "ready": ready})
    return found[0] if found else 0.0


async def approve(conn: Connection, dag: DagKey) -> None:
    """Let the staged version take over when it is ready."""
    await conn.execute(APPROVE, dag.parameters)


async def release(conn: Connection, dag: DagKey) -> None:
    """Hold no spec off any more."""
    await conn.execute(RELEASE, dag.parameters)


async def record_resource(conn: Connection, dag: DagKey, resource: Resource) -> None:
    """Remember `resource` as the newest one that was compared with the active version."""
    await conn.execute(RECORD_RESOURCE, dag.parameters | resource.parameters)


async def retire(conn: Connection, dag: DagKey, resource_uid: str) -> bool:
    """Take the DAG out of service; False where it belongs to another resource or is unknown. May be repeated."""
    return (await conn.execute(RETIRE, dag.parameters | {"uid": resource_uid})).rowcount == 1
