"""An Asset, declared in the store as the controller does."""

from __future__ import annotations

from typing import Any

from tests import services
from traceplane.store.engine import Connection
from traceplane.store.statements import asset_policies

ASSET: dict[str, Any] = {
    "org_id": services.ORG_ID,
    "namespace": "demo",
    "name": "blocks",
    "resource_uid": "a-1",
    "storage": "Federated",
    "federation": {"hot": "hot-blocks", "cold": "cold-blocks", "column": "block_number"},
    "description": "All blocks",
    "read_roles": ["finance"],
    "policy": {},
}


async def declared(connection: Connection, *, keep_roles: bool = False, **fields: Any) -> bool:
    """Declare one asset; whether anything changed."""
    where = {"org_id": fields.pop("org_id"), "namespace": fields.pop("namespace")}
    policy = asset_policies.Policy(**fields)
    return bool(await asset_policies.declare(connection, **where, policies=[policy], keep_roles=keep_roles))
