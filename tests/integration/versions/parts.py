"""All that a DAG needs to run, in one process: dispatcher, attempts of workers, query service, controller.

Real databases, store and query cells; what is missing is processes and waiting. Time is what a test says it is: the
clock of Postgres decides everything here, so all times that state holds are moved into the past instead.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests import graphs, services
from tests.integration.dispatch.callers import settings_of
from tests.integration.query.conftest import MANY, running
from tests.integration.versions.chain import OPERATOR, MadeUpChain
from tests.integration.versions.definitions import DAG, NAMESPACE
from tests.integration.versions.workers import Workers
from tests.issuer import issuer
from traceplane import operator_registry
from traceplane.dispatch import dispatcher as building
from traceplane.graph import Graph
from traceplane.query.api.app import create_app
from traceplane.settings import Settings
from traceplane.store.statements import controller_facts, operate, tenancy
from traceplane.store.statements.controller_facts import DagFacts
from traceplane.store.statements.pointers import DagKey
from traceplane.store.statements.tenancy import Identity
from traceplane.versions import deploy, rollout
from traceplane.versions.asset_policies import Policies

KEY = DagKey(services.ORG_ID, NAMESPACE, DAG)
RUNNING_LOOPS = ("outbox", "relay", "retry", "reaper")
CHANGING = ("dag_current_versions", "dag_versions", "dataset_versions", "events", "jobs", "outbox",
            "partition_versions", "relay_progress", "task_attempts", "tasks")  # fmt: skip
"""Tables of state whose times decide something."""


class Parts:
    """The running parts. Made by `parts`."""

    def __init__(
        self,
        settings: Settings,
        databases: services.Databases,
        chain: MadeUpChain,
        folder: Path,
        chance: random.Random,
    ) -> None:
        self.workers = Workers(lambda: self.dispatcher, databases, chain, folder, chance)
        self.dispatcher = building.build(settings)
        self._settings = settings
        self._databases = databases
        self._operators = {**operator_registry.load(), OPERATOR.name: OPERATOR}
        self._generation = 0
        self._url = self._token = ""

    async def close(self) -> None:
        await self.dispatcher.wakeups.close()
        await self.dispatcher.close()

    def serves(self, url: str, token: str) -> None:
        """Where the query service is, and a token of a user who may read everything."""
        self._url, self._token = url, token
        self.workers.query_url = url

    async def keys(self, _request: Request) -> JSONResponse:
        """The dispatcher's public keys, by which the query service knows its tasks."""
        return JSONResponse(self.dispatcher.capabilities.jwks())

    def sql(self, statement: str, **parameters: Any) -> list[dict[str, Any]]:
        """Rows of a statement on state, on a connection of its own: databases come and go here."""
        with psycopg.connect(self._databases.state_dsn, row_factory=dict_row) as connection:
            cursor = connection.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    async def restart(self) -> None:
        """Another dispatcher in the place of this one."""
        await self.close()
        self.open()

    def open(self) -> None:
        self.dispatcher = building.build(self._settings)

    # The controller.

    def assembled(self, manifest: dict[str, Any]) -> Graph:
        return graphs.assembled(manifest, self._operators)

    async def apply(self, graph: Graph) -> deploy.Deployment:
        """The spec was edited: the look that finds it deploys it."""
        self._generation += 1
        return await self._deploy(graph)

    async def _deploy(self, graph: Graph) -> deploy.Deployment:
        async with self.dispatcher.state.transaction() as conn:
            return await deploy.deploy(
                conn,
                org_id=services.ORG_ID,
                graph=graph,
                resource_uid="uid-1",
                generation=self._generation,
                bucket=self._settings.s3_bucket,
            )

    async def look(self, graph: Graph) -> float | None:
        """A look of the controller at the DAG; how long the staged version that took over had to be ready."""
        await self._deploy(graph)
        facts = await self.facts()
        if facts.staged_version_id is None:
            return None
        async with self.dispatcher.state.transaction() as conn:
            active, staged = facts.active_version_id, facts.staged_version_id
            found = await rollout.observe(conn, KEY, active=active, staged=staged)
        if graph.spec_hash != facts.staged_spec_hash:
            return None
        async with self.dispatcher.state.transaction() as conn:
            done = await rollout.cut_over(conn, KEY, graph.spec_hash, cutover=graph.cutover, policies=Policies())
        return found.hold_seconds if done else None

    async def facts(self) -> DagFacts:
        async with self.dispatcher.state.transaction() as conn:
            found = await controller_facts.dag_facts(conn, KEY)
        assert found is not None
        return found

    async def run(self, verb: Callable[..., Any], **given: Any) -> Any:
        """A verb of a rollout, in a transaction of its own."""
        async with self.dispatcher.state.transaction() as conn:
            return await verb(conn, KEY, **given)

    # The dispatcher's loops and tasks.

    async def turn(self, *names: str) -> int:
        """One pass of each of some loops; how much they did."""
        passes = {loop.name: loop.run_once for loop in self.dispatcher.loops()}
        return sum([await passes[name]() for name in names or RUNNING_LOOPS])

    def queued(self, *, sources: bool) -> list[UUID]:
        """Generations with tasks to claim."""
        found = self.sql(
            "SELECT DISTINCT t.job_id, j.name FROM tasks t JOIN jobs j ON j.id = t.job_id"
            " WHERE t.status = 'Queued' AND (j.activation = 'Source') = %(sources)s ORDER BY j.name, t.job_id",
            sources=sources,
        )
        return [row["job_id"] for row in found]

    async def reopen(self) -> int:
        """A person retries every task that failed for good; how many could be."""
        dead = self.sql("SELECT id FROM tasks WHERE status = 'Failed' AND finished_at IS NOT NULL")
        changed = 0
        for task in dead:
            async with self.dispatcher.state.transaction() as conn:
                found = await operate.reopen(conn, org_id=services.ORG_ID, task_id=task["id"])
            changed += bool(found and found.changed)
        return changed

    # Time.

    def pass_time(self, seconds: float) -> None:
        """Make it so many seconds later, for everything that state decides by its clock."""
        for table, columns in self._times().items():
            moved = sql.SQL(", ").join(
                sql.SQL("{0} = {0} - %(seconds)s * interval '1 s'").format(sql.Identifier(column))
                for column in columns
            )
            statement = sql.SQL("UPDATE {} SET {}").format(sql.Identifier(table), moved)
            with psycopg.connect(self._databases.state_dsn) as connection:
                connection.execute(statement, {"seconds": seconds})

    def _times(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for row in self.sql(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
            " AND data_type = 'timestamp with time zone' AND table_name = ANY(%(tables)s)",
            tables=list(CHANGING),
        ):
            found.setdefault(row["table_name"], []).append(row["column_name"])
        return found

    # What a reader finds.

    def read(self, statement: str) -> list[tuple[Any, ...]] | None:
        """The rows of a SELECT, in order; None where it names something that does not exist."""
        answer = self.ask(statement)
        if answer.status_code == 404:
            return None
        assert answer.status_code == 200, answer.text
        return sorted(tuple(row) for row in answer.json()["rows"])

    def ask(self, statement: str) -> httpx.Response:
        return httpx.post(
            f"{self._url}/v1/query",
            json={"sql": statement},
            headers={"Authorization": f"Bearer {self._token}"},
            timeout=60,
        )

    def written(self, job: UUID) -> list[Any]:
        """All that a generation holds, in places of its own: to see that nothing writes there."""
        held: list[Any] = []
        for version in self.sql(
            "SELECT id, storage, location FROM dataset_versions WHERE job_id = %(job)s", job=job
        ):
            if version["storage"] == "Postgres":
                table = sql.Identifier(*version["location"].split("."))
                with psycopg.connect(self._databases.data_dsn) as data:
                    held += sorted(data.execute(sql.SQL("SELECT t::text FROM {} t").format(table)).fetchall())
            held += self.sql(
                "SELECT partition_key, location FROM partition_versions"
                " WHERE dataset_version_id = %(id)s AND superseded_at IS NULL ORDER BY 1",
                id=version["id"],
            )
        return held


@asynccontextmanager
async def parts(
    databases: services.Databases,
    store: services.ObjectStore,
    bucket: str,
    chain: MadeUpChain,
    folder: Path,
    chance: random.Random,
) -> AsyncIterator[Parts]:
    """The parts, running until the end of the block."""
    settings = settings_of(databases, store, bucket, folder, retry_base_seconds=1, pool_size=4)
    made = Parts(settings, databases, chain, folder, chance)
    try:
        with issuer() as oidc, running() as serve:
            alice = Identity(oidc.url, "alice")
            async with made.dispatcher.state.transaction() as conn:
                await tenancy.add_user(conn, org_id=services.ORG_ID, identity=alice, name="alice")
                await tenancy.grant(conn, org_id=services.ORG_ID, identity=alice, role="reader")
            chosen = Settings(
                state_dsn=databases.query_state_dsn,
                data_dsn=databases.query_dsn,
                s3_bucket=bucket,
                namespace=NAMESPACE,
                oidc_issuer=oidc.url,
                query_cache_dir=folder / "cache",
                dispatcher_url=serve(Starlette(routes=[Route("/internal/jwks/task", made.keys)])),
                query_rate_per_minute=MANY,
                query_task_rate_per_minute=MANY,
                **store.settings(),
            )
            made.serves(serve(create_app(chosen, pytest.fail)), oidc.token("alice"))
            yield made
    finally:
        await made.close()
