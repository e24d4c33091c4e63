"""Fixtures over real parts. A server starts once per run, when the first test asks; each test gets its own
databases, bucket or chain on it, so that tests run in any order and never see each other."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, nullcontext
from typing import TYPE_CHECKING

import pytest

from tests import services
from tests.services import ROOT
from tests.services.installation import Installation, installation, start_pipeline
from tests.support.alarms import Alarms, watching
from tests.support.flaky import Flaky

if TYPE_CHECKING:  # what needs no services does not pay for the database libraries
    from traceplane.store.engine import Database


pytest_plugins = ["pytester"]


def pytest_configure(config: pytest.Config) -> None:
    # A run that is told to end (SIGTERM, as `timeout` sends) ends its servers first, as after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # A folder that outlives the run, and that `hack/verify.sh` reads.
    config.pluginmanager.register(
        Flaky(ROOT / ".pytest_cache" / "flaky", reports=not hasattr(config, "workerinput"))
    )


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marked `last`: runs when all others have run, and otherwise they keep their order."""
    items.sort(key=lambda item: item.get_closest_marker("last") is not None)


@pytest.fixture(scope="session")
def postgres() -> Iterator[services.Postgres]:
    """The run's Postgres server, its own where it shares none."""
    shared = services.shared_postgres()
    with nullcontext(shared) if shared else services.postgres() as server:
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
    from traceplane.store.engine import Database

    database = Database(databases.state_dsn, application="test")
    yield database
    await database.close()


@pytest.fixture
async def data(databases: services.Databases) -> AsyncIterator[Database]:
    """The data database, opened by its owner."""
    from traceplane.store.engine import Database

    database = Database(databases.data_dsn, application="test")
    yield database
    await database.close()


@pytest.fixture(scope="session")
def object_store() -> Iterator[services.ObjectStore]:
    """The run's S3 store."""
    with services.object_store() as store:
        yield store


@pytest.fixture
def bucket(object_store: services.ObjectStore) -> str:
    """A fresh, empty bucket."""
    return object_store.bucket()


@pytest.fixture(scope="session")
def plain_store() -> Iterator[services.ObjectStore]:
    """The run's store without STS, behind TLS."""
    with services.plain_store() as store:
        yield store


@pytest.fixture(params=["object_store", "plain_store"], ids=["minio", "versitygw"])
def each_store(request: pytest.FixtureRequest) -> services.ObjectStore:
    """Each of the two stores, one after the other."""
    store: services.ObjectStore = request.getfixturevalue(request.param)
    return store


@pytest.fixture
def chain() -> Iterator[services.Chain]:
    """A fresh node that mines only when told."""
    with services.chain() as node:
        yield node


@pytest.fixture
def start_chain() -> Iterator[Callable[..., services.Chain]]:
    """Starts further nodes, with `services.chain`'s arguments, for as long as the test runs."""
    with ExitStack() as running:
        yield lambda **options: running.enter_context(services.chain(**options))


@pytest.fixture(scope="session")
def trace() -> Iterator[Installation]:
    """Trace on a whole cluster, following a chain with the example pipeline."""
    with installation() as installed:
        start_pipeline(installed)
        yield installed


@pytest.fixture(scope="session")
def alarms(trace: Installation) -> Iterator[Alarms]:
    """A Prometheus on that cluster, with the alerts of the chart."""
    with watching(trace) as watched:
        yield watched


@pytest.fixture(scope="session")
def api_server() -> Iterator[services.ApiServer]:
    """The run's Kubernetes API server."""
    with services.api_server() as server:
        yield server
