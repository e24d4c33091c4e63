"""Declared policy of assets, and the switch that stops a job's dispatch."""

from __future__ import annotations

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.types import Text

UPSERT_ASSET = text("""
INSERT INTO assets (org_id, namespace, name, resource_uid, storage, federation, description, read_roles, policy)
VALUES (:org, :namespace, :name, :uid, :storage, :federation, :description, :read_roles, :policy)
ON CONFLICT (org_id, namespace, name) DO UPDATE
SET resource_uid = excluded.resource_uid, storage = excluded.storage, federation = excluded.federation,
    description = excluded.description, read_roles = excluded.read_roles, policy = excluded.policy,
    updated_at = now(), deleted_at = NULL
WHERE (assets.resource_uid, assets.storage, assets.federation, assets.description, assets.read_roles,
       assets.policy, assets.deleted_at)
      IS DISTINCT FROM
      (excluded.resource_uid, excluded.storage, excluded.federation, excluded.description, excluded.read_roles,
       excluded.policy, NULL::timestamptz)
RETURNING name
""").bindparams(
    bindparam("federation", type_=JSONB(none_as_null=True)),
    bindparam("policy", type_=JSONB),
    bindparam("read_roles", type_=ARRAY(Text)),
)
"""The policy of a declared asset; returns a row only where something changed."""

DELETE_ASSET = text("""
UPDATE assets SET deleted_at = now(), updated_at = now()
WHERE org_id = :org AND namespace = :namespace AND name = :name AND deleted_at IS NULL
RETURNING name
""")
"""The asset is declared no more. Its readRoles go on holding for what is published under its name."""

SET_PAUSED = text("""
UPDATE jobs SET paused = :paused
WHERE org_id = :org AND namespace = :namespace AND dag = :dag AND name = :job AND paused <> :paused
RETURNING id
""")
"""Stop or resume dispatch of every generation of a job."""
