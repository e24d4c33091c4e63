"""A user of the platform, and what the built-in roles mean.

Roles come from the state database only. `admin` may do what `writer` may, `writer` what `reader` may; every other
role is a free name that assets list in `readRoles` and that opens nothing by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from traceplane.errors import Forbidden

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


def needs(principal: Principal, role: str) -> None:
    """Raises Forbidden, with the remedy, where a built-in `role` is not granted."""
    if not principal.may(role):
        raise Forbidden(f"this needs the role {role!r}; an admin grants it with `tracectl admin role grant`")
