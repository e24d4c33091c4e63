"""What tests of the dispatcher share: a dispatcher on real Postgres and MinIO, deployed jobs, and a client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from psycopg.rows import dict_row

from tests import graphs, services
from tests.integration.dispatch import contract
from tests.integration.dispatch.callers import WORKER_TOKEN, Caller, settings_of
from tests.integration.dispatch.two_orgs import Orgs
from tests.support.deploying import Deploys
from traceplane import operator_registry
from traceplane.dispatch import dispatcher as building
from traceplane.dispatch.accept import Unpacked
from traceplane.dispatch.dispatcher import Dispatcher
from traceplane.graph import AssetRef, Assets
from traceplane.settings import Settings
from traceplane.store.engine import Database
from traceplane.store.statements.pointers import DagKey
from traceplane.taskapi.app import app
from traceplane.versions import asset_inputs
from traceplane.versions import deploy as deploying
from traceplane_sdk.operator import Operator


@pytest.fixture
def settings(
    databases: services.Databases, object_store: services.ObjectStore, bucket: str, tmp_path: Path
) -> Settings:
    return settings_of(
        databases,
        object_store,
        bucket,
        tmp_path,
        longest_query_seconds=0.001,
        poll_seconds=0.2,
        pool_size=8,
    )


@pytest.fixture
async def dispatcher(settings: Settings) -> AsyncIterator[Dispatcher]:
    """All parts of a dispatcher; its loops do not run, tests call them."""
    parts = building.build(settings)
    yield parts
    await parts.wakeups.close()
    await parts.close()


@pytest.fixture
async def http(dispatcher: Dispatcher) -> AsyncIterator[httpx.AsyncClient]:
    """The task API, called in process; every answer is held against its OpenAPI document."""
    transport = httpx.ASGITransport(app(dispatcher, pytest.fail), raise_app_exceptions=False)
    hooks = {"response": [contract.check]}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://dispatcher", timeout=30, event_hooks=hooks
    ) as client:
        yield client


@pytest.fixture
def caller(http: httpx.AsyncClient) -> Caller:
    """A worker of ours."""
    return Caller(http, WORKER_TOKEN)


@pytest.fixture
def sql(databases: services.Databases) -> Iterator[Callable[..., list[dict[str, Any]]]]:
    """Statements on state in autocommit, rows as dicts."""
    with psycopg.connect(databases.state_dsn, autocommit=True, row_factory=dict_row) as connection:

        def run(statement: str, **parameters: Any) -> list[dict[str, Any]]:
            cursor = connection.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

        yield run


@pytest.fixture
def deploy(dispatcher: Dispatcher) -> Callable[..., Any]:
    """Deploys a DAG manifest and provisions its tables; job generation ids by job name. `reads`: assets that other
    DAGs publish."""

    async def run(
        manifest: dict[str, Any] | None = None,
        *,
        provision: bool = True,
        operators: Mapping[str, Operator] | None = None,
        reads: Collection[str] = (),
    ) -> dict[str, UUID]:
        written = manifest or graphs.chain()
        async with dispatcher.state.transaction() as conn:
            dag = DagKey(dispatcher.settings.org_id, written["metadata"]["namespace"], written["metadata"]["name"])
            read = Assets(await asset_inputs.look_up(conn, dag, [AssetRef(dag.namespace, name) for name in reads]))
            graph = graphs.assembled(written, operators, read)
            deployed = await deploying.deploy(
                conn,
                org_id=dispatcher.settings.org_id,
                graph=graph,
                resource_uid="uid-1",
                generation=1,
                bucket=dispatcher.settings.s3_bucket,
            )
        outbox = next(loop for loop in dispatcher.loops() if loop.name == "outbox")
        while provision and await outbox.run_once():
            pass
        return {job.name: job.id for job in deployed.jobs}

    return run


@pytest.fixture
async def jobs(deploy: Callable[..., Any]) -> dict[str, UUID]:
    """The chain DAG, deployed and provisioned: ids of its job generations by name."""
    deployed: dict[str, UUID] = await deploy()
    return deployed


@pytest.fixture
def loop_of(dispatcher: Dispatcher) -> Callable[[str], Callable[[], Any]]:
    """One pass of a named loop."""
    passes = {loop.name: loop.run_once for loop in dispatcher.loops()}
    return lambda name: passes[name]


class Feed:
    """Makes tasks the way the world does: by events of upstream dataset versions."""

    def __init__(self, dispatcher: Dispatcher, jobs: dict[str, UUID], sql: Callable[..., Any]) -> None:
        self._dispatcher = dispatcher
        self._jobs = jobs
        self._sql = sql

    def version(self, job: str, output: str) -> UUID:
        """The dataset version of one output."""
        (row,) = self._sql(
            "SELECT v.id FROM dataset_versions v JOIN datasets d ON d.id = v.dataset_id"
            " WHERE v.job_id = %(job)s AND d.output = %(output)s",
            job=self._jobs[job],
            output=output,
        )
        found: UUID = row["id"]
        return found

    async def partitions(self, count: int, first: int = 0) -> list[str]:
        """`count` events of ranges of 20, each of which makes a compaction task; their ids."""
        version = self.version("ranges", "ranges")
        events = [
            {
                "id": str(uuid4()),
                "version": str(version),
                "key": f"{n * 20}-{n * 20 + 19}",
                "start": n * 20,
                "end": n * 20 + 19,
            }
            for n in range(first, first + count)
        ]
        await self._dispatcher.acceptance.relay(Unpacked(events, [], []))
        return [str(event["id"]) for event in events]

    async def partition(self, start: int, end: int) -> None:
        """An event of one range, which makes a compaction task."""
        part = {"key": f"{start}-{end}", "start": start, "end": end}
        event = {"id": str(uuid4()), "version": str(self.version("ranges", "ranges")), **part}
        await self._dispatcher.acceptance.relay(Unpacked([event], [], []))

    async def cursor(self, value: int) -> str:
        """An event of the follower's blocks up to `value`, which makes a task of `ranges`; its id."""
        event = {"id": str(uuid4()), "version": str(self.version("follow", "blocks")), "cursor": value}
        await self._dispatcher.acceptance.relay(Unpacked([event], [], []))
        return str(event["id"])


@pytest.fixture
def feed(dispatcher: Dispatcher, jobs: dict[str, UUID], sql: Callable[..., list[dict[str, Any]]]) -> Feed:
    """Makes tasks of the chain DAG."""
    return Feed(dispatcher, jobs, sql)


@pytest.fixture
def task_row(sql: Callable[..., list[dict[str, Any]]]) -> Callable[[str], dict[str, Any]]:
    """A task's row in state."""
    return lambda task_id: sql("SELECT * FROM tasks WHERE id = %(id)s", id=task_id)[0]


@pytest.fixture(scope="session")
def deployed_twice(postgres: services.Postgres) -> Iterator[services.Databases]:
    """Databases in which two organisations have the chain DAG."""
    pair = postgres.databases()
    deploys = Deploys(pair, "bucket", "demo", operator_registry.load())
    deploys.deploy(graphs.chain(), 1)
    deploys.close()
    yield pair
    postgres.drop(pair)


@pytest.fixture
async def orgs(deployed_twice: services.Databases) -> AsyncIterator[Orgs]:
    """Two organisations with the chain DAG and without a task."""
    database = Database(deployed_twice.state_dsn, application="test")
    with psycopg.connect(deployed_twice.state_dsn, autocommit=True, row_factory=dict_row) as connection:
        async with database.autocommit() as conn:
            made = Orgs(conn, connection)
            made.reset()
            yield made
    await database.close()
