"""Fixtures over real parts. A server starts once per run, when the first test asks; each test gets its own
databases, bucket or chain on it, so that tests run in any order and never see each other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests import services
from traceplane.store.engine import Database


@pytest.fixture(scope="session")
def postgres() -> Iterator[services.Postgres]:
    """The run's Postgres server."""
    with services.postgres() as server:
        yield server


@pytest.fixture
def databases(postgres: services.Postgres) -> Iterator[services.Databases]:
    """A fresh pair of migrated, seeded databases."""
    pair = postgres.databases()
    yield pair
    postgres.drop(pair)


@pytest.fixture
async def state(databases: services.Databases) -> AsyncIterator[Database]:
    """The state database, opened as the dispatcher and the controller open it."""
    database = Database(databases.state_dsn, application="test")
    yield database
    await database.close()


@pytest.fixture
async def data(databases: services.Databases) -> AsyncIterator[Database]:
    """The data database, opened by its owner."""
    database = Database(databases.data_dsn, application="test")
    yield database
    await database.close()
