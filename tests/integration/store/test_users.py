"""Users and their roles: a change concerns one user, one role and one organisation."""

from __future__ import annotations

from uuid import UUID

import psycopg
import pytest

from tests import services
from tests.support.deploying import NEIGHBOUR
from traceplane.store import seed
from traceplane.store.engine import Connection
from traceplane.store.statements import tenancy
from traceplane.store.statements.tenancy import Identity
from traceplane.store.tables.tenancy import BUILT_IN_ROLES

pytestmark = pytest.mark.services

ORG = services.ORG_ID
ANNA, BOB = Identity("https://one", "anna"), Identity("https://one", "bob")
NAMESAKE = Identity("https://two", "anna")
STRANGER = Identity("https://two", "bob")
ROLES = ("reader", "writer")


@pytest.fixture
async def users(beside: Connection) -> Connection:
    """Three users of one organisation and one of another, each with two roles."""
    for identity in (ANNA, BOB, NAMESAKE, STRANGER):
        org = NEIGHBOUR if identity == STRANGER else ORG
        assert await tenancy.add_user(beside, org_id=org, identity=identity, name=identity.subject)
        for role in ROLES:
            assert await tenancy.grant(beside, org_id=org, identity=identity, role=role)
    return beside


async def roles(conn: Connection) -> dict[Identity, tuple[UUID, list[str]]]:
    """What each user has."""
    found = {one: await tenancy.principal(conn, one) for one in (ANNA, BOB, NAMESAKE, STRANGER)}
    return {one: (user.org_id, sorted(user.roles)) for one, user in found.items() if user is not None}


async def test_a_role_is_taken_from_one_user_alone_and_given_back(users: Connection):
    before = await roles(users)
    assert before[ANNA] == (ORG, ["reader", "writer"])
    assert await tenancy.revoke(users, org_id=ORG, identity=ANNA, role="reader")
    assert await roles(users) == {**before, ANNA: (ORG, ["writer"])}
    assert not await tenancy.revoke(users, org_id=ORG, identity=ANNA, role="reader")
    assert await tenancy.grant(users, org_id=ORG, identity=ANNA, role="reader")
    assert await tenancy.grant(users, org_id=ORG, identity=ANNA, role="reader"), "it has what was asked for"
    assert await roles(users) == before
    assert await tenancy.grant(users, org_id=ORG, identity=ANNA, role="audit"), "a role that is new"
    assert await roles(users) == {**before, ANNA: (ORG, ["audit", "reader", "writer"])}


async def test_an_organisation_changes_no_user_of_another(users: Connection):
    before = await roles(users)
    assert not await tenancy.grant(users, org_id=NEIGHBOUR, identity=ANNA, role="reader")
    assert not await tenancy.grant(users, org_id=NEIGHBOUR, identity=ANNA, role="admin")
    assert not await tenancy.revoke(users, org_id=NEIGHBOUR, identity=ANNA, role="reader")
    assert not await tenancy.add_user(users, org_id=NEIGHBOUR, identity=ANNA, name="Mallory")
    assert await roles(users) == before
    named = {
        user.subject: user.name for user in await tenancy.users(users, org_id=ORG) if user.issuer == ANNA.issuer
    }
    assert named == {"anna": "anna", "bob": "bob"}
    (stranger,) = await tenancy.users(users, org_id=NEIGHBOUR)
    assert (stranger.issuer, stranger.subject) == STRANGER
    assert await tenancy.add_user(users, org_id=ORG, identity=ANNA, name="Anna"), "its own renames"
    assert "Anna" in {user.name for user in await tenancy.users(users, org_id=ORG)}


def test_the_first_admin_gets_the_built_in_roles_of_its_organisation_and_nobody_else_does(
    alone_and_beside: tuple[services.Databases, services.Databases],
):
    with psycopg.connect(alone_and_beside[1].state_dsn) as conn:

        def held() -> dict[tuple[str, ...], list[str]]:
            rows = conn.execute("SELECT issuer, external_id, roles FROM catalog.principals WHERE roles <> '{}'")
            return {(issuer, subject): sorted(roles) for issuer, subject, roles in rows}

        add = "INSERT INTO users (org_id, issuer, external_id, name) VALUES (%s, %s, %s, '')"
        for org, one in ((ORG, BOB), (ORG, NAMESAKE), (NEIGHBOUR, STRANGER)):
            conn.execute(add, (org, *one))
        conn.execute("INSERT INTO org_roles (org_id, name) VALUES (%s, 'audit')", (ORG,))
        assert seed.seed(conn, NEIGHBOUR, STRANGER) is seed.FirstAdmin.MADE
        before = held()
        assert before == {STRANGER: sorted(BUILT_IN_ROLES)}
        # The other organisation's admin is none of ours, and a user of it does not become one.
        seed.seed(conn, ORG, STRANGER)
        assert held() == before
        assert seed.seed(conn, ORG, ANNA) is seed.FirstAdmin.MADE
        assert held() == {**before, ANNA: sorted(BUILT_IN_ROLES)}
        assert seed.seed(conn, ORG, BOB) is seed.FirstAdmin.UNUSED
        assert seed.seed(conn, ORG, ANNA) is seed.FirstAdmin.IS_ADMIN
        assert held() == {**before, ANNA: sorted(BUILT_IN_ROLES)}
        conn.rollback()
