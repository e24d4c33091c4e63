"""The policies of assets: who may read what is published under a name, and what is federated under one.

Who may read fails closed. Roles are opened only by an Asset that a user declares, and by a valid one: a deleted
Asset leaves its roles behind, the Asset that Trace makes of a publication does not change them, and an invalid
Asset can only close what was open. So a row is never deleted; `deleted_at` says that no Asset declares the policy
any more.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from traceplane.store.documents import document
from traceplane.store.engine import Connection
from traceplane.store.rows import column, named
from traceplane.store.statements import views

_INSERT = """
INSERT INTO assets (org_id, namespace, name, resource_uid, storage, federation, description, read_roles, policy)
SELECT %(org)s, %(namespace)s, r.name, r.resource_uid, r.storage, r.federation, r.description, r.read_roles,
       r.policy
FROM jsonb_to_recordset(%(rows)s::jsonb) AS r(name text, resource_uid text, storage text, federation jsonb,
    description text, read_roles text[], policy jsonb)
-- Every writer locks rows in this order, so that two that write the same names do not deadlock.
ORDER BY r.name
ON CONFLICT (org_id, namespace, name) DO UPDATE
"""

DECLARE = (
    _INSERT
    + """
SET resource_uid = excluded.resource_uid, storage = excluded.storage, federation = excluded.federation,
    description = excluded.description, policy = excluded.policy, updated_at = statement_timestamp(),
    deleted_at = NULL,
    read_roles = CASE WHEN %(keep_roles)s::boolean THEN assets.read_roles ELSE excluded.read_roles END
-- Rows that are as declared are not written, and so not returned.
WHERE (assets.resource_uid, assets.storage, assets.federation, assets.description, assets.policy,
       assets.deleted_at, assets.read_roles)
      IS DISTINCT FROM
      (excluded.resource_uid, excluded.storage, excluded.federation, excluded.description, excluded.policy,
       NULL::timestamptz,
       CASE WHEN %(keep_roles)s::boolean THEN assets.read_roles ELSE excluded.read_roles END)
RETURNING name
"""
)
"""Policies as declared."""

CLOSE = (
    _INSERT
    + """
SET read_roles = excluded.read_roles, updated_at = statement_timestamp()
WHERE cardinality(assets.read_roles) = 0
RETURNING name
"""
)
"""Roles for assets that any reader could read so far; everything else of a stored policy stays."""

STORED = """
SELECT name, resource_uid, storage, federation, description, read_roles, policy, deleted_at IS NOT NULL AS deleted
FROM assets
WHERE org_id = %(org)s AND namespace = %(namespace)s AND name = ANY(%(names)s::text[])
"""
"""The policies of some assets, those that no Asset declares any more included."""

DELETE = """
UPDATE assets SET deleted_at = statement_timestamp(), updated_at = statement_timestamp()
WHERE org_id = %(org)s AND namespace = %(namespace)s AND name = %(name)s AND deleted_at IS NULL
"""
"""The Asset is gone. Its read_roles stay in force for what is published under its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What is declared of one asset.

    `storage` is Postgres, S3 or Federated; `federation` is `{"hot", "cold", "column"}` for Federated, else None.
    No `read_roles` means that any reader may read.
    """

    name: str
    resource_uid: str
    storage: str
    federation: Mapping[str, str] | None = None
    description: str = ""
    read_roles: tuple[str, ...] = ()
    policy: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stored:
    """A policy as state holds it. `deleted`: no Asset declares it any more, and its roles hold nevertheless."""

    policy: Policy
    deleted: bool


async def declare(
    conn: Connection, *, org_id: UUID, namespace: str, policies: Sequence[Policy], keep_roles: bool = False
) -> frozenset[str]:
    """Store policies; the names of those that changed. With `keep_roles`, stored roles stay as they are."""
    parameters = _parameters(org_id, namespace, policies) | {"keep_roles": keep_roles}
    return await _changed(conn, org_id, namespace, await column(conn, DECLARE, parameters))


async def close(conn: Connection, *, org_id: UUID, namespace: str, policies: Sequence[Policy]) -> frozenset[str]:
    """Give `read_roles` to assets that any reader could read so far; the names of those that changed."""
    changed = await column(conn, CLOSE, _parameters(org_id, namespace, policies))
    return await _changed(conn, org_id, namespace, changed)


async def stored(conn: Connection, *, org_id: UUID, namespace: str, names: Collection[str]) -> dict[str, Stored]:
    """The stored policies among `names`, by name."""
    parameters = {"org": org_id, "namespace": namespace, "names": list(names)}
    return {found.policy.name: found for found in await named(conn, _stored, STORED, parameters)}


async def delete(conn: Connection, *, org_id: UUID, namespace: str, name: str) -> bool:
    """The Asset is gone; whether there was one. A federated name ends with that.

    Published data stays, and so do the roles that may read it, until an Asset of that name is declared again:
    deleting a policy must not open what it closed.
    """
    return (await conn.execute(DELETE, {"org": org_id, "namespace": namespace, "name": name})).rowcount == 1


async def _changed(conn: Connection, org_id: UUID, namespace: str, names: Sequence[str]) -> frozenset[str]:
    """Views follow, since they are open to readers of Postgres where an asset is open to all."""
    if names:
        await views.request_of_assets(conn, org_id, namespace, names)
    return frozenset(names)


def _parameters(org_id: UUID, namespace: str, policies: Sequence[Policy]) -> dict[str, object]:
    return {"org": org_id, "namespace": namespace, "rows": document(policies)}


def _stored(*, read_roles: list[str], deleted: bool, **fields: Any) -> Stored:
    return Stored(Policy(read_roles=tuple(read_roles), **fields), deleted)
