"""Declared assets: the policy that users own, stored for whoever reads or serves data.

An Asset object says how published data may be read, and a Federated one joins a hot and a cold asset under one
name. It needs no DAG: the two may be applied in any order, and readers join them by name when they look.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from traceplane.store.statements import policy as statements


async def upsert_asset(
    conn: AsyncConnection,
    *,
    org_id: UUID,
    namespace: str,
    name: str,
    resource_uid: str,
    storage: str,
    federation: Mapping[str, str] | None,
    description: str,
    read_roles: Sequence[str],
    policy: Mapping[str, Any],
) -> bool:
    """Store a declared asset's policy; whether anything changed.

    `storage` is Postgres, S3 or Federated; `federation` is `{"hot", "cold", "column"}` for Federated, else None.
    No `read_roles` means that any reader may read.
    """
    parameters = {
        "org": org_id,
        "namespace": namespace,
        "name": name,
        "uid": resource_uid,
        "storage": storage,
        "federation": None if federation is None else dict(federation),
        "description": description,
        "read_roles": list(read_roles),
        "policy": dict(policy),
    }
    return (await conn.execute(statements.UPSERT_ASSET, parameters)).first() is not None


async def delete_asset(conn: AsyncConnection, *, org_id: UUID, namespace: str, name: str) -> bool:
    """Nobody declares the asset any more; whether somebody did. A Federated one is gone with that.

    Published data stays, and so do the roles that may read it: deleting a policy must not open what it closed.
    They hold until an Asset of that name is declared again.
    """
    parameters = {"org": org_id, "namespace": namespace, "name": name}
    return (await conn.execute(statements.DELETE_ASSET, parameters)).first() is not None
