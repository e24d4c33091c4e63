"""A real API server with Trace's CRDs installed as an administrator would: from crds/, and established."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from kubernetes import client, config

from tests.services import ApiServer

CRDS = Path(__file__).resolve().parents[2] / "crds"
_ESTABLISHED_SECONDS = 120


@pytest.fixture(scope="session")
def kubernetes_api(api_server: ApiServer) -> Iterator[client.ApiClient]:
    """A client with the administrator's rights."""
    with config.new_client_from_config(str(api_server.kubeconfig)) as api:
        yield api


@pytest.fixture(scope="session")
def crds(kubernetes_api: client.ApiClient) -> list[str]:
    """Installs crds/ and waits until the server serves all kinds; their names."""
    extensions = client.ApiextensionsV1Api(kubernetes_api)
    names = []
    for path in sorted(CRDS.glob("*.yaml")):
        definition = yaml.safe_load(path.read_text())
        names.append(definition["metadata"]["name"])
        try:
            extensions.create_custom_resource_definition(definition)
        except client.ApiException as error:
            if error.status != 409:
                raise
    deadline = time.monotonic() + _ESTABLISHED_SECONDS
    for name in names:
        while not _established(extensions, name):
            assert time.monotonic() < deadline, f"{name} is not established after {_ESTABLISHED_SECONDS} s"
            time.sleep(0.05)
    objects = client.CustomObjectsApi(kubernetes_api)
    for plural in (name.partition(".")[0] for name in names):
        while not _served(objects, plural):
            assert time.monotonic() < deadline, f"{plural} are not served after {_ESTABLISHED_SECONDS} s"
            time.sleep(0.05)
    return names


def _served(objects: client.CustomObjectsApi, plural: str) -> bool:
    """Whether the server lists and names a kind, which it does a moment after it says that it is established."""
    try:
        objects.list_namespaced_custom_object("trace.dev", "v1alpha1", "default", plural)
        return plural in {kind.name for kind in objects.get_api_resources("trace.dev", "v1alpha1").resources}
    except client.ApiException as error:
        if error.status != 404:
            raise
        return False


def _established(extensions: client.ApiextensionsV1Api, name: str) -> bool:
    status = extensions.read_custom_resource_definition(name).status
    return any(c.type == "Established" and c.status == "True" for c in status.conditions or [])
