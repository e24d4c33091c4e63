"""A world for each test, on the run's API server and Postgres."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from kubernetes import client

from tests.apiserver.reconcile.world import World
from tests.services import ApiServer, Databases

_NUMBERS = itertools.count(1)


@pytest.fixture
def world(
    kubernetes_api: client.ApiClient, crds: list[str], api_server: ApiServer, databases: Databases, tmp_path: Path
) -> Iterator[World]:
    """A namespace and databases of its own; its controllers end with the test."""
    namespace = f"world-{next(_NUMBERS)}"
    client.CoreV1Api(kubernetes_api).create_namespace({"metadata": {"name": namespace}})
    made = World(kubernetes_api, api_server.kubeconfig, databases.state_dsn, namespace, tmp_path)
    try:
        yield made
    finally:
        made.end()
