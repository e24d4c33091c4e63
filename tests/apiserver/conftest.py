"""A real API server with Trace's CRDs installed as an administrator would: from crds/, and established."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from kubernetes import client, config

from tests.services import ApiServer
from tests.support.waiting import until

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
    objects = client.CustomObjectsApi(kubernetes_api)
    lacking = list(names)

    def usable() -> bool:
        lacking[:] = [name for name in lacking if not (_established(extensions, name) and _served(objects, name))]
        return not lacking

    until(usable, "every kind is served", timeout=_ESTABLISHED_SECONDS, detail=lambda: f"not served: {lacking}")
    return names


def _served(objects: client.CustomObjectsApi, name: str) -> bool:
    """Whether the server lists and names a kind, which it does a moment after it says that it is established."""
    plural = name.partition(".")[0]
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
