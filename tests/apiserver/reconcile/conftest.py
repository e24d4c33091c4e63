"""A world for each test, on the run's API server and Postgres."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from kubernetes import client

from tests.apiserver.reconcile.world import World
from tests.services import ApiServer, Postgres

_NUMBERS = itertools.count(1)

MakeWorld = Callable[[Path], AbstractContextManager[World]]


@pytest.fixture(scope="session")
def make_world(
    kubernetes_api: client.ApiClient, crds: list[str], api_server: ApiServer, postgres: Postgres
) -> MakeWorld:
    """Makes a namespace and databases of its own, with a folder; its controllers end with the context."""

    @contextmanager
    def make(folder: Path) -> Iterator[World]:
        namespace = f"world-{next(_NUMBERS)}"
        client.CoreV1Api(kubernetes_api).create_namespace({"metadata": {"name": namespace}})
        databases = postgres.databases()
        made = World(kubernetes_api, api_server.kubeconfig, databases.state_dsn, namespace, folder)
        try:
            yield made
        finally:
            made.end()
            postgres.drop(databases)

    return make


@pytest.fixture
def world(make_world: MakeWorld, tmp_path: Path) -> Iterator[World]:
    """A world of the test's own."""
    with make_world(tmp_path) as made:
        yield made
