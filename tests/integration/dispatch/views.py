"""Two hot tables that are published and rebuilt together, and what a reader of the data database sees of them."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import psycopg
from psycopg import sql

from tests import graphs, services
from traceplane.dispatch.dispatcher import Dispatcher
from traceplane.store.statements import pointers
from traceplane.store.statements.pointers import DagKey
from traceplane.versions import deploy as deploying
from traceplane.versions import rollout
from traceplane.versions.asset_policies import Policies

DAG = DagKey(services.ORG_ID, "demo", "chain")
BOTH = ("narrow", "wide-ranges")
VIEWER = "viewer"


def manifest(size: int, publish: Sequence[str] = BOTH, name: str = "chain") -> dict[str, Any]:
    """The chain with `ranges` of a size and `wide` of twice that."""
    made = graphs.chain(name)
    graphs.job(made, "ranges")["config"]["rangeSize"] = size
    wide = copy.deepcopy(graphs.job(made, "ranges")) | {"name": "wide"}
    wide["config"]["rangeSize"] = 2 * size
    made["spec"]["jobs"].append(wide)
    of = {"narrow": "ranges", "wide-ranges": "wide", "other": "wide"}
    made["spec"]["publish"] = [
        {"asset": asset, "from": {"job": of[asset], "output": "ranges"}} for asset in publish
    ]
    return made


class Reading:
    """The DAG moved through its versions, and the views read as a person does."""

    def __init__(self, dispatcher: Dispatcher, databases: services.Databases) -> None:
        self.dispatcher, self.databases = dispatcher, databases
        self.viewer_dsn = databases.data_dsn.replace("//trace@", f"//{VIEWER}@")
        self._generation = 0
        self.life = 1
        """Rises with each deletion: what is applied again is another object."""

    async def deploy(self, spec: dict[str, Any], policies: Policies | None = None) -> deploying.Deployment:
        """Deploy a manifest."""
        self._generation += 1
        async with self.dispatcher.state.transaction() as conn:
            return await deploying.deploy(
                conn,
                org_id=services.ORG_ID,
                graph=graphs.assembled(spec),
                resource_uid=f"uid-{spec['metadata']['name']}-{self.life}",
                generation=self._generation,
                bucket=self.dispatcher.settings.s3_bucket,
                policies=policies or Policies(),
            )

    async def run(self, verb: Callable[..., Awaitable[Any]], *args: Any, **given: Any) -> Any:
        async with self.dispatcher.state.transaction() as conn:
            return await verb(conn, DAG, *args, **given)

    async def cut_over(self) -> None:
        """Make what is staged active; whether it is ready is not what these tests are about."""

        async def swap(conn: Any, dag: DagKey) -> None:
            pointer = await pointers.lock_known(conn, dag)
            assert pointer is not None
            assert pointer.staged_version_id is not None
            await rollout._swap(conn, dag, pointer, pointer.staged_version_id, policies=Policies())

        await self.run(swap)

    async def version(self, size: int, publish: Sequence[str] = BOTH) -> None:
        """Build a version with ranges of `size`, with rows that say so, and make it active."""
        await self.deploy(manifest(size, publish))
        await self.drain()
        self.fill()
        await self.cut_over()

    async def drain(self) -> None:
        """What the outbox does until nothing is due."""
        outbox = next(loop for loop in self.dispatcher.loops() if loop.name == "outbox")
        while await outbox.run_once():
            pass

    def fill(self) -> None:
        """One row into each table of ranges that has none: it says which size made it."""
        for location, size in self.state(
            "SELECT v.location, (j.definition -> 'config' ->> 'rangeSize')::int FROM dataset_versions v"
            " JOIN jobs j ON j.id = v.job_id WHERE j.operator = 'range_aggregator' AND v.provisioned_at IS NOT NULL"
        ):
            with psycopg.connect(self.databases.data_dsn, autocommit=True) as data:
                table = sql.Identifier(*location.split("."))
                insert = sql.SQL(
                    "INSERT INTO {} (dedupe_key, range_start, range_end) VALUES ('x', 0, %s) ON CONFLICT DO NOTHING"
                )
                data.execute(insert.format(table), (size,))

    def state(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Rows of state."""
        with psycopg.connect(self.databases.state_dsn, autocommit=True) as connection:
            cursor = connection.execute(query, parameters or None)
            return cursor.fetchall() if cursor.description else []

    def data(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Rows of data, as its owner."""
        with psycopg.connect(self.databases.data_dsn, autocommit=True) as connection:
            cursor = connection.execute(query, parameters or None)
            return cursor.fetchall() if cursor.description else []

    def viewed(self, query: str) -> list[tuple[Any, ...]]:
        """Rows as a reader of views gets them."""
        with psycopg.connect(self.viewer_dsn, autocommit=True) as connection:
            return connection.execute(query).fetchall()

    def shown(self, schema: str = "demo") -> dict[str, int]:
        """What each view of a schema reads: the size that made its row."""
        found = {}
        for (name,) in self.data(
            "SELECT viewname FROM pg_views WHERE schemaname = %s AND viewname NOT LIKE 'my%%'", schema
        ):
            ((found[name],),) = self.data(f'SELECT range_end FROM {schema}."{name}"')
        return found
