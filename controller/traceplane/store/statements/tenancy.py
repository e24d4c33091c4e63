"""Users and their roles, as an administrator changes them. Every statement is a no-op the second time."""

from __future__ import annotations

from sqlalchemy import text

ADD_USER = text("""
INSERT INTO users (org_id, issuer, external_id, name) VALUES (:org, :issuer, :subject, :name)
ON CONFLICT (issuer, external_id) DO UPDATE SET name = excluded.name WHERE users.org_id = excluded.org_id
RETURNING id
""")
"""Enter a user, or rename one; no row where another organisation has them."""

ADD_ROLE = text("INSERT INTO org_roles (org_id, name) VALUES (:org, :role) ON CONFLICT (org_id, name) DO NOTHING")
"""Make a role known."""

GRANT = text("""
INSERT INTO org_role_memberships (org_id, role_id, user_id)
SELECT r.org_id, r.id, u.id
FROM org_roles r JOIN users u ON u.org_id = r.org_id
WHERE r.org_id = :org AND r.name = :role AND u.issuer = :issuer AND u.external_id = :subject
ON CONFLICT (role_id, user_id) DO UPDATE SET org_id = excluded.org_id
RETURNING user_id
""")
"""Give a role to a user; no row where there is no such user."""

REVOKE = text("""
DELETE FROM org_role_memberships m USING org_roles r, users u
WHERE r.id = m.role_id AND u.id = m.user_id AND m.org_id = :org
  AND r.name = :role AND u.issuer = :issuer AND u.external_id = :subject
RETURNING m.user_id
""")
"""Take a role away; no row where the user did not hold it."""

USERS = text("""
SELECT p.issuer, p.external_id AS subject, u.name, p.roles, u.created_at
FROM catalog.principals p JOIN users u ON u.id = p.user_id
WHERE p.org_id = :org
ORDER BY p.issuer, p.external_id
LIMIT 10000
""")
"""Everybody, with their roles."""
