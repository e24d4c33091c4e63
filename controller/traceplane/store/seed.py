"""The first rows of an installation: the organisation, the built-in roles, and the first admin if there is none.

A repeated run changes nothing, and an admin who was removed on purpose stays removed: the first admin is made only
while the organisation has none.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Any
from uuid import UUID

import psycopg

from traceplane.errors import InvalidSettings
from traceplane.store.statements.tenancy import Identity
from traceplane.store.tables.tenancy import BUILT_IN_ROLES

ORGANISATION = "INSERT INTO orgs (id, name) VALUES (%(org)s, 'default') ON CONFLICT (id) DO NOTHING"

ROLES = """
INSERT INTO org_roles (org_id, name) SELECT %(org)s, unnest(%(roles)s::text[]) ON CONFLICT (org_id, name) DO NOTHING
"""
"""The built-in roles."""

IS_ADMIN = """
SELECT bool_or(u.issuer = %(issuer)s AND u.external_id = %(subject)s)
FROM org_role_memberships m JOIN org_roles r ON r.id = m.role_id JOIN users u ON u.id = m.user_id
WHERE r.org_id = %(org)s AND r.name = 'admin'
-- An aggregate gives a row even of nothing: so there is none while the organisation has no admin.
HAVING count(*) > 0
"""
"""Whether one user is among the admins."""

ADMIN = """
INSERT INTO users (org_id, issuer, external_id, name) VALUES (%(org)s, %(issuer)s, %(subject)s, %(subject)s)
ON CONFLICT (issuer, external_id) DO NOTHING
"""
"""The user of the first admin, who may be there already without being an admin."""

ADMIN_ROLES = """
INSERT INTO org_role_memberships (org_id, role_id, user_id)
SELECT r.org_id, r.id, u.id FROM org_roles r, users u
WHERE r.org_id = %(org)s AND r.name = ANY(%(roles)s::text[])
  -- A user of another organisation with the same identity gets nothing here.
  AND u.org_id = r.org_id
  AND u.issuer = %(issuer)s AND u.external_id = %(subject)s
"""
"""Every built-in role: the role admin alone may neither read nor write."""


class FirstAdmin(Enum):
    """What became of the first admin that a migration was given."""

    NOT_GIVEN = auto()
    MADE = auto()
    IS_ADMIN = auto()
    UNUSED = auto()
    """Others are admins, and this one is not."""


def first_admin(setting: str) -> Identity:
    """The identity that the setting `issuer|subject` names. Raises InvalidSettings."""
    issuer, bar, subject = setting.partition("|")
    if not (issuer and bar and subject):
        raise InvalidSettings("TRACE_FIRST_ADMIN: write `issuer|subject`")
    return Identity(issuer, subject)


def seed(connection: psycopg.Connection[Any], org_id: UUID, admin: Identity | None) -> FirstAdmin:
    """Insert what is missing, in the caller's transaction; what became of the first admin."""
    parameters: dict[str, object] = {"org": org_id, "roles": list(BUILT_IN_ROLES)}
    connection.execute(ORGANISATION, parameters)
    connection.execute(ROLES, parameters)
    if admin is None:
        return FirstAdmin.NOT_GIVEN
    parameters |= admin._asdict()
    found = connection.execute(IS_ADMIN, parameters).fetchone()
    if found is not None:
        return FirstAdmin.IS_ADMIN if found[0] else FirstAdmin.UNUSED
    connection.execute(ADMIN, parameters)
    connection.execute(ADMIN_ROLES, parameters)
    return FirstAdmin.MADE
