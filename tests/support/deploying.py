"""Deploys a DAG and makes its hot tables as the product does, for tests that are not themselves asynchronous.

A second organisation has the same DAG in the same databases: a statement that forgets its organisation finds two of
everything, and a test that expects one of it fails.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar
from uuid import UUID

import psycopg

from tests import graphs, services
from traceplane.store.engine import Database
from traceplane.store.statements import asset_policies, hot_tables
from traceplane.versions import deploy as deploying
from traceplane_sdk.operator import Operator

T = TypeVar("T")
NEIGHBOUR = UUID("00000000-0000-7000-8000-00000000000b")
"""The organisation beside `services.ORG_ID`, with the same DAG under the same names."""


class Deploys:
    """Makes manifests current in both organisations, on an event loop of its own thread."""

    def __init__(
        self, databases: services.Databases, bucket: str, namespace: str, operators: Mapping[str, Operator]
    ) -> None:
        self._bucket = bucket
        self._namespace = namespace
        self._operators = operators
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="deploys", daemon=True)
        self._thread.start()
        self._state = Database(databases.state_dsn, application="test")
        self._data = Database(databases.data_dsn, application="test")
        with psycopg.connect(databases.state_dsn) as connection:
            # The product makes one organisation, when it is installed; no statement of it makes another.
            connection.execute("INSERT INTO orgs (id, name) VALUES (%s, 'neighbour')", (NEIGHBOUR,))

    def close(self) -> None:
        self._await(self._state.close())
        self._await(self._data.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def deploy(self, manifest: dict[str, Any], generation: int, *, staged: bool = False) -> None:
        """Make a manifest the current version of its DAG in both organisations, with its hot tables; or `staged`,
        where it rebuilds jobs."""
        for org in (services.ORG_ID, NEIGHBOUR):
            self._await(self._deploy(manifest, generation, org, staged=staged))

    def declare(self, policy: asset_policies.Policy) -> None:
        """Declare an Asset of `services.ORG_ID`, as the controller does when a user applies one."""
        self._await(self._declare(policy))

    async def _declare(self, policy: asset_policies.Policy) -> None:
        async with self._state.transaction() as connection:
            await asset_policies.declare(
                connection, org_id=services.ORG_ID, namespace=self._namespace, policies=[policy], keep_roles=False
            )

    async def _deploy(self, manifest: dict[str, Any], generation: int, org: UUID, *, staged: bool) -> None:
        graph = graphs.assembled(manifest, self._operators)
        async with self._state.autocommit() as state:
            # A new job of a running DAG is staged; one of a DAG that was deleted and is applied again runs at once.
            await state.execute(
                "UPDATE dag_current_versions SET deleted_at = now()"
                " WHERE (org_id, namespace, dag) = (%s, %s, %s) AND active_version_id IS NOT NULL AND NOT %s",
                (org, self._namespace, graph.dag, staged),
            )
        async with self._state.transaction() as connection:
            await deploying.deploy(
                connection,
                org_id=org,
                graph=graph,
                resource_uid=f"uid-{generation}",
                generation=generation,
                bucket=self._bucket,
            )
        await self._provision()

    async def _provision(self) -> None:
        """What the outbox's effect does, and nothing else of the dispatcher."""
        async with self._state.autocommit() as state, self._data.autocommit() as data:
            found = await state.execute("SELECT id FROM dataset_versions WHERE provisioned_at IS NULL")
            for (version,) in await found.fetchall():
                table = await hot_tables.hot_table(state, version)
                if table is not None:
                    await hot_tables.create(data, table)
                await hot_tables.mark_provisioned(state, version)

    def _await(self, what: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(60)
