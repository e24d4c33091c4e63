"""What tests of deploys share: a deploy in a transaction of its own, and a picture of everything in state."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests import services
from tests.integration.store.crowd import DAG, OTHERS, fill, looking
from tests.integration.store.reading import Sums
from tests.integration.store.rolling import Rows, Versions
from traceplane.graph import Graph
from traceplane.store import tables
from traceplane.store.engine import Connection, Database
from traceplane.store.failures import retrying
from traceplane.versions import deploy as deploying
from traceplane.versions.asset_policies import Policies

Deploy = Callable[..., Awaitable[deploying.Deployment]]
BUCKET = "bucket"


@pytest.fixture
def deploy(state: Database) -> Deploy:
    """Deploys a graph as the controller does."""

    async def run(
        graph: Graph, *, uid: str = "uid-1", generation: int = 1, policies: Policies | None = None
    ) -> deploying.Deployment:
        async def unit() -> deploying.Deployment:
            async with state.transaction() as connection:
                return await deploying.deploy(
                    connection,
                    org_id=services.ORG_ID,
                    graph=graph,
                    resource_uid=uid,
                    generation=generation,
                    bucket=BUCKET,
                    policies=policies or Policies(),
                )

        return await retrying(unit)

    return run


@pytest.fixture
def picture(databases: services.Databases) -> Callable[[], dict[str, list[Any]]]:
    """Every row of every table of state, in an order of its own."""

    def take() -> dict[str, list[Any]]:
        with psycopg.connect(databases.state_dsn) as connection:
            return {
                table: sorted(
                    str(row)
                    for row in connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(table)))
                )
                for table in sorted(tables.state.tables)
            }

    return take


@pytest.fixture
def rows(databases: services.Databases) -> Callable[..., list[tuple[Any, ...]]]:
    """Rows of a query on state, as committed now."""

    def ask(query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(databases.state_dsn) as connection:
            cursor = connection.execute(query, parameters or None)
            return cursor.fetchall() if cursor.description else []

    return ask


@pytest.fixture
def versions(state: Database, rows: Rows) -> Versions:
    """The chain's versions."""
    return Versions(state, rows)


@pytest.fixture
def upstream(versions: Versions) -> Versions:
    """The chain's versions, where another DAG reads what they make."""
    return versions


@pytest.fixture
def sums(state: Database, deploy: Deploy, rows: Rows) -> Sums:
    """The DAG that reads of the chain."""
    return Sums(state, deploy, rows)


@pytest.fixture(scope="session")
def alone_and_beside(postgres: services.Postgres) -> Iterator[tuple[services.Databases, services.Databases]]:
    """Databases in which a DAG is alone, and such in which it came after its like. Nothing is committed there."""
    alone, beside = postgres.databases(), postgres.databases()
    asyncio.run(fill(alone, [DAG]))
    asyncio.run(fill(beside, [*OTHERS, DAG]))
    yield alone, beside
    postgres.drop(alone)
    postgres.drop(beside)


@pytest.fixture
async def beside(
    alone_and_beside: tuple[services.Databases, services.Databases],
) -> AsyncIterator[Connection]:
    """State in which a DAG has its like beside it, until the end of the test."""
    async with looking(alone_and_beside[1]) as conn:
        yield conn
