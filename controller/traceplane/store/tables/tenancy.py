"""Who may do what: organisations, users, roles and their members.

A user is known by (issuer, subject), which is what an OIDC token proves; roles come from here and never from a
claim. Three roles are built in for the API (`reader`, `writer`, `admin`); any other is a free name that an
Asset's `readRoles` may use.
"""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Table, UniqueConstraint, Uuid

from traceplane.store.tables.columns import identity, org, stamped, state, text

BUILT_IN_ROLES = ("reader", "writer", "admin")

orgs = Table("orgs", state, identity(), text("name", unique=True), stamped("created_at"))

users = Table(
    "users",
    state,
    identity(),
    org(),
    text("issuer"),
    text("external_id"),
    text("name"),
    stamped("created_at"),
    UniqueConstraint("issuer", "external_id"),
)

org_roles = Table("org_roles", state, identity(), org(), text("name"), UniqueConstraint("org_id", "name"))

org_role_memberships = Table(
    "org_role_memberships",
    state,
    org(),
    Column("role_id", Uuid, ForeignKey("org_roles.id", ondelete="CASCADE"), primary_key=True),
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
)
