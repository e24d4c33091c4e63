"""A user of the platform, and what the built-in roles mean.

Roles come from the state database only. `admin` may do what `writer` may, `writer` what `reader` may; every other
role is a free name that assets list in `readRoles` and that opens nothing by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from traceplane.errors import Forbidden, Overloaded
from traceplane.identity.issuers import Verifier
from traceplane.identity.oidc import Subject
from traceplane.web.rates import RateLimit

_LADDER = ("reader", "writer", "admin")


@dataclass(frozen=True, slots=True)
class Principal:
    """A known user: `roles` are the names granted in its organisation."""

    user_id: UUID
    org_id: UUID
    roles: frozenset[str]

    def may(self, role: str) -> bool:
        """Whether a built-in `role` is granted, directly or by a higher one."""
        return not self.roles.isdisjoint(_LADDER[_LADDER.index(role) :])


class Lookup(Protocol):
    """Where users are looked up."""

    async def __call__(self, subject: Subject) -> Principal | None:
        """The user that `subject` names; None where nobody entered it. Raises Unavailable."""


async def authenticate(verifier: Verifier, rate: RateLimit, lookup: Lookup, token: str, role: str) -> Principal:
    """The user behind a bearer token, if it holds `role`. Raises Unauthenticated, Forbidden or RateLimited.

    Who shows a valid token is counted before anything is looked up: an issuer may know many who are no users here.
    """
    subject = await verifier.verify(token)
    try:
        rate.take(subject)
        principal = await lookup(subject)
        if principal is None:
            raise Forbidden(
                f"{subject.subject!r} is not a user here; an admin adds it with `tracectl admin user add`"
            )
        needs(principal, role)
    except (Forbidden, Overloaded) as error:
        error.who = f"{subject.issuer}|{subject.subject}"
        raise
    return principal


def needs(principal: Principal, role: str) -> None:
    """Raises Forbidden, with the remedy, where a built-in `role` is not granted."""
    if not principal.may(role):
        raise Forbidden(f"this needs the role {role!r}; an admin grants it with `tracectl admin role grant`")
