"""A dispatcher that refreshes external assets, and the bucket that they are read from."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import boto3

from tests import services
from tests.integration.dispatch.callers import settings_of
from tests.integration.query.world import NAMESPACE, World
from traceplane import external
from traceplane.dispatch import dispatcher as building
from traceplane.dispatch.dispatcher import Dispatcher
from traceplane.store.engine import Connection
from traceplane.store.statements import asset_policies
from traceplane.store.statements import external as statements
from traceplane.store.statements.asset_policies import Policy
from traceplane.store.statements.external import Standing
from traceplane.versions import external as versions


class Refreshing:
    """An event loop with a dispatcher on it; its loops do not run, tests call them."""

    def __init__(self, world: World, folder: Path, **changed: Any) -> None:
        self.world = world
        self.settings = settings_of(world.databases, world.store, world.bucket, folder, pool_size=4, **changed)
        self._runner = asyncio.Runner()
        self.dispatcher: Dispatcher = self._runner.run(self._built())
        store = world.store
        self.s3 = boto3.client(
            "s3",
            endpoint_url=store.endpoint_url,
            aws_access_key_id=store.access_key_id,
            aws_secret_access_key=store.secret_access_key,
            region_name="us-east-1",
        )

    async def _built(self) -> Dispatcher:
        return building.build(self.settings, external.parts)

    def close(self) -> None:
        async def ended() -> None:
            await self.dispatcher.wakeups.close()
            await self.dispatcher.close()

        self._runner.run(ended())
        self._runner.close()

    def put(self, key: str, body: bytes | str) -> str:
        """An object of the platform's bucket; its address."""
        self.s3.put_object(Bucket=self.world.bucket, Key=key, Body=body.encode() if isinstance(body, str) else body)
        return f"s3://{self.world.bucket}/{key}"

    def remove(self, key: str) -> None:
        self.s3.delete_object(Bucket=self.world.bucket, Key=key)

    def declare(self, asset: str, *, roles: tuple[str, ...] = (), **source: Any) -> None:
        """What the controller stores of an Asset with spec.external."""
        policy = Policy(
            name=asset,
            resource_uid=f"uid-{asset}",
            storage="S3",
            read_roles=roles,
            policy={"deletionPolicy": "Retain", "external": source},
        )
        self.transact(
            lambda conn: asset_policies.declare(
                conn, org_id=services.ORG_ID, namespace=NAMESPACE, policies=[policy]
            )
        )

    def ask(self, asset: str) -> UUID:
        task = self.transact(
            lambda conn: versions.request(conn, org_id=services.ORG_ID, namespace=NAMESPACE, asset=asset)
        )
        assert task is not None
        return task

    def work(self) -> None:
        """Run every task that waits, to its end."""

        async def all_of_it() -> None:
            while await self.dispatcher.local.run_once():
                await self.dispatcher.local.idle()

        self._runner.run(all_of_it())

    def refresh(self, asset: str) -> Standing:
        task = self.ask(asset)
        self.work()
        return self.standing(asset, task)

    def standing(self, asset: str, task: UUID | None = None) -> Standing:
        key = versions.key(services.ORG_ID, NAMESPACE, asset)
        found = self.transact(lambda conn: statements.standing(conn, key, job=versions.REFRESH, task_id=task))
        assert found is not None
        return found

    def transact(self, verb: Callable[[Connection], Awaitable[Any]]) -> Any:
        async def once() -> Any:
            async with self.dispatcher.state.transaction() as conn:
                return await verb(conn)

        return self._runner.run(once())

    def run(self, verb: Awaitable[Any]) -> Any:
        async def once() -> Any:
            return await verb

        return self._runner.run(once())


def came_to(standing: Standing) -> str:
    """The result of a refresh that ended well."""
    assert standing.status == "Completed", (standing.status, standing.error)
    assert standing.last is not None
    return str(standing.last["result"])


def failure(standing: Standing) -> tuple[str, str]:
    """Code and message of a refresh that is over and failed."""
    assert standing.status == "Failed", (standing.status, standing.last)
    assert standing.next_retry_at is None, standing.error
    assert standing.error is not None
    return standing.error["code"], standing.error["message"]
