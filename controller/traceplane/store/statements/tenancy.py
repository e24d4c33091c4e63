"""Users and their roles: how a token's subject is looked up, and what an administrator changes.

Every change does nothing the second time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from traceplane.store.engine import Connection
from traceplane.store.rows import first, many

PRINCIPAL = """
SELECT user_id, org_id, roles FROM catalog.principals WHERE issuer = %(issuer)s AND external_id = %(subject)s
"""
"""The user an issuer's subject stands for, with the roles granted to them."""

ADD_USER = """
INSERT INTO users (org_id, issuer, external_id, name) VALUES (%(org)s, %(issuer)s, %(subject)s, %(name)s)
-- A subject is one user of one organisation: another organisation's is neither taken over nor renamed.
ON CONFLICT (issuer, external_id) DO UPDATE SET name = excluded.name WHERE users.org_id = excluded.org_id
"""
"""Enter a user, or rename one."""

ADD_ROLE = """
INSERT INTO org_roles (org_id, name) VALUES (%(org)s, %(role)s) ON CONFLICT (org_id, name) DO NOTHING
"""
"""Make a role known."""

GRANT = """
INSERT INTO org_role_memberships (org_id, role_id, user_id)
SELECT r.org_id, r.id, u.id
FROM org_roles r JOIN users u ON u.org_id = r.org_id
WHERE r.org_id = %(org)s AND r.name = %(role)s AND u.issuer = %(issuer)s AND u.external_id = %(subject)s
-- An update, not DO NOTHING: a role that is held already counts as granted.
ON CONFLICT (role_id, user_id) DO UPDATE SET org_id = excluded.org_id
"""
"""Give a role to a user."""

REVOKE = """
DELETE FROM org_role_memberships m USING org_roles r, users u
WHERE r.id = m.role_id AND u.id = m.user_id AND m.org_id = %(org)s
  AND r.name = %(role)s AND u.issuer = %(issuer)s AND u.external_id = %(subject)s
"""
"""Take a role away."""

USERS = """
SELECT p.issuer, p.external_id, u.name, p.roles, u.created_at
FROM catalog.principals p JOIN users u ON u.id = p.user_id
WHERE p.org_id = %(org)s
ORDER BY p.issuer, p.external_id
LIMIT 10000
"""
"""Every user of the organisation, with their roles."""


class Identity(NamedTuple):
    """A user by their tokens: `iss` and `sub`."""

    issuer: str
    subject: str


@dataclass(frozen=True, slots=True)
class Principal:
    """The user that a subject stands for."""

    user_id: UUID
    org_id: UUID
    roles: list[str]


@dataclass(frozen=True, slots=True)
class User:
    """A user as an administrator sees them."""

    issuer: str
    subject: str
    name: str
    roles: list[str]
    created_at: datetime


async def principal(conn: Connection, identity: Identity) -> Principal | None:
    """The user with this identity, of whatever organisation; None where there is none."""
    return await first(conn, Principal, PRINCIPAL, identity._asdict())


async def add_user(conn: Connection, *, org_id: UUID, identity: Identity, name: str) -> bool:
    """Enter or rename a user; False where the user belongs to another organisation."""
    return (await conn.execute(ADD_USER, {"org": org_id, "name": name, **identity._asdict()})).rowcount == 1


async def grant(conn: Connection, *, org_id: UUID, identity: Identity, role: str) -> bool:
    """Give a role, known or new, to a user; False where there is no such user."""
    await conn.execute(ADD_ROLE, {"org": org_id, "role": role})
    return (await conn.execute(GRANT, {"org": org_id, "role": role, **identity._asdict()})).rowcount == 1


async def revoke(conn: Connection, *, org_id: UUID, identity: Identity, role: str) -> bool:
    """Take a role from a user; False where the user did not hold it."""
    return (await conn.execute(REVOKE, {"org": org_id, "role": role, **identity._asdict()})).rowcount == 1


async def users(conn: Connection, *, org_id: UUID) -> list[User]:
    """Users by issuer and subject, at most 10,000."""
    return await many(conn, User, USERS, {"org": org_id})
