"""Declared assets: the policy that users own, stored for whoever reads or serves data.

An Asset object says how published data may be read, and a Federated one joins a hot and a cold asset under one
name. It needs no DAG: the two may be applied in any order, and readers join them by name when they look.

Who may read fails closed. Roles are opened only by an Asset that a user declares, and by a valid one: a deleted
Asset leaves its roles behind, the projection of a publication has no say in them, and an invalid Asset can only
close what was open. `deploy` writes the policies of what it publishes in its own transaction, so that no reader
ever finds a publication whose policy is still on its way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from traceplane.store.statements import policy as statements


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
    """A policy as state holds it. `deleted`: nobody declares it any more, and its roles hold nevertheless."""

    policy: Policy
    deleted: bool


@dataclass(frozen=True, slots=True)
class Policies:
    """The policies for the publications of one DAG: valid ones, and the roles of Assets that are not valid."""

    declared: tuple[Policy, ...] = ()
    closing: tuple[Policy, ...] = ()


async def declare(
    conn: AsyncConnection, *, org_id: UUID, namespace: str, policies: Sequence[Policy], keep_roles: bool = False
) -> frozenset[str]:
    """Store policies; the names of those that changed. With `keep_roles`, stored roles stay as they are."""
    parameters = _rows(org_id, namespace, policies) | {"keep_roles": keep_roles}
    return frozenset((await conn.execute(statements.DECLARE_ASSETS, parameters)).scalars())


async def close(
    conn: AsyncConnection, *, org_id: UUID, namespace: str, policies: Sequence[Policy]
) -> frozenset[str]:
    """Give `read_roles` to assets that any reader could read so far; the names of those that changed."""
    parameters = _rows(org_id, namespace, policies)
    return frozenset((await conn.execute(statements.CLOSE_ASSETS, parameters)).scalars())


async def stored(conn: AsyncConnection, *, org_id: UUID, namespace: str, names: Sequence[str]) -> dict[str, Stored]:
    """The stored policies among `names`."""
    parameters = {"org": org_id, "namespace": namespace, "names": list(names)}
    found = {}
    for row in (await conn.execute(statements.STORED_ASSETS, parameters)).mappings():
        fields = {key: value for key, value in row.items() if key != "deleted"}
        fields["read_roles"] = tuple(fields["read_roles"])
        found[row["name"]] = Stored(Policy(**fields), row["deleted"])
    return found


def _rows(org_id: UUID, namespace: str, policies: Sequence[Policy]) -> dict[str, Any]:
    return {"org": org_id, "namespace": namespace, "rows": [asdict(policy) for policy in policies]}


async def delete_asset(conn: AsyncConnection, *, org_id: UUID, namespace: str, name: str) -> bool:
    """Nobody declares the asset any more; whether somebody did. A Federated one is gone with that.

    Published data stays, and so do the roles that may read it: deleting a policy must not open what it closed.
    They hold until an Asset of that name is declared again.
    """
    parameters = {"org": org_id, "namespace": namespace, "name": name}
    return (await conn.execute(statements.DELETE_ASSET, parameters)).first() is not None
