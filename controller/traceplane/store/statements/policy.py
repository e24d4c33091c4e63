"""Declared policy of assets, and the switch that stops a job's dispatch."""

from __future__ import annotations

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.types import Boolean, Text

_ROWS = """
INSERT INTO assets (org_id, namespace, name, resource_uid, storage, federation, description, read_roles, policy)
SELECT :org, :namespace, r.name, r.resource_uid, r.storage, r.federation, r.description, r.read_roles, r.policy
FROM jsonb_to_recordset(:rows) AS r(name text, resource_uid text, storage text, federation jsonb,
    description text, read_roles text[], policy jsonb)
ORDER BY r.name
"""

DECLARE_ASSETS = text(
    _ROWS
    + """
ON CONFLICT (org_id, namespace, name) DO UPDATE
SET resource_uid = excluded.resource_uid, storage = excluded.storage, federation = excluded.federation,
    description = excluded.description, policy = excluded.policy, updated_at = now(), deleted_at = NULL,
    read_roles = CASE WHEN :keep_roles THEN assets.read_roles ELSE excluded.read_roles END
WHERE (assets.resource_uid, assets.storage, assets.federation, assets.description, assets.policy,
       assets.deleted_at, assets.read_roles)
      IS DISTINCT FROM
      (excluded.resource_uid, excluded.storage, excluded.federation, excluded.description, excluded.policy,
       NULL::timestamptz, CASE WHEN :keep_roles THEN assets.read_roles ELSE excluded.read_roles END)
RETURNING name
"""
).bindparams(bindparam("rows", type_=JSONB), bindparam("keep_roles", type_=Boolean))
"""Policies as declared; returns a row where something changed. `keep_roles`: who may read stays as it was."""

CLOSE_ASSETS = text(
    _ROWS
    + """
ON CONFLICT (org_id, namespace, name) DO UPDATE SET read_roles = excluded.read_roles, updated_at = now()
WHERE cardinality(assets.read_roles) = 0
RETURNING name
"""
).bindparams(bindparam("rows", type_=JSONB))
"""Roles for assets that had none so far; everything else of a stored policy stays."""

STORED_ASSETS = text("""
SELECT name, resource_uid, storage, federation, description, read_roles, policy, deleted_at IS NOT NULL AS deleted
FROM assets
WHERE org_id = :org AND namespace = :namespace AND name = ANY(:names)
""").bindparams(bindparam("names", type_=ARRAY(Text)))
"""The policies of some assets, those that nobody declares any more included."""

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
