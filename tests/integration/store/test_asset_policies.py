"""The policies of assets: stored once, and never opened by what disappears or is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests import services
from tests.integration.store.assets import ASSET, declared
from traceplane.store.engine import Database
from traceplane.store.statements import asset_policies

pytestmark = pytest.mark.services
Rows = Callable[..., list[tuple[Any, ...]]]


async def test_an_assets_policy_is_stored_once_and_forgotten_once(state: Database, rows: Rows):
    async def upsert(**changes: Any) -> bool:
        async with state.transaction() as connection:
            return await declared(connection, **ASSET | changes)

    async def delete() -> bool:
        async with state.transaction() as connection:
            return await asset_policies.delete(connection, org_id=services.ORG_ID, namespace="demo", name="blocks")

    assert [await upsert(), await upsert(), await upsert(read_roles=[])] == [True, False, True]
    assert await upsert(storage="Postgres", federation=None)
    assert rows("SELECT storage, federation, read_roles FROM assets") == [("Postgres", None, ["finance"])]
    assert [await delete(), await delete()] == [True, False]
    assert await upsert()
    assert rows("SELECT deleted_at FROM assets") == [(None,)]


async def test_roles_outlive_their_asset_and_its_projection_until_one_is_declared(state: Database, rows: Rows):
    name = {"org_id": services.ORG_ID, "namespace": "demo"}
    plain = ASSET | {"storage": "Postgres", "federation": None}

    async def act(what: Any, **arguments: Any) -> Any:
        async with state.transaction() as connection:
            return await what(connection, **arguments)

    async def stored() -> tuple[Any, ...]:
        held = (await act(asset_policies.stored, **name, names=["blocks", "unknown"]))["blocks"]
        return held.policy.resource_uid, held.policy.read_roles, held.deleted

    await act(declared, **plain)
    await act(asset_policies.delete, **name, name="blocks")
    assert await stored() == ("a-1", ("finance",), True)
    projection = plain | {"resource_uid": "p-1", "read_roles": ()}
    assert await act(declared, **projection, keep_roles=True)
    assert not await act(declared, **projection, keep_roles=True)
    assert await stored() == ("p-1", ("finance",), False)
    assert await act(declared, **plain | {"resource_uid": "a-2", "read_roles": ()})
    assert await stored() == ("a-2", (), False)


async def test_an_invalid_asset_closes_what_is_open_and_opens_nothing(state: Database, rows: Rows):
    async def close(roles: str) -> bool:
        policy = asset_policies.Policy(name="blocks", resource_uid="x", storage="S3", read_roles=(roles,))
        async with state.transaction() as connection:
            where = {"org_id": services.ORG_ID, "namespace": "demo"}
            return bool(await asset_policies.close(connection, **where, policies=[policy]))

    async with state.transaction() as connection:
        await declared(connection, **ASSET | {"read_roles": ()})
    assert [await close("audit"), await close("anybody")] == [True, False]
    assert rows("SELECT storage, read_roles, resource_uid FROM assets") == [("Federated", ["audit"], "a-1")]
