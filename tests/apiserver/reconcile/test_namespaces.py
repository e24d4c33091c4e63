"""Several namespaces by one controller that has the chart's rights, and several installations in one cluster."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config, utils

from tests.apiserver.reconcile.world import ROOT, World
from tests.services import tool

pytestmark = [pytest.mark.apiserver, pytest.mark.services]

ACCOUNT = "trace-controller"
Install = Callable[..., World]


@pytest.fixture
def install(tmp_path: Path) -> Install:
    """Installs the chart's rights for a world's controller; the world, whose controllers then have these alone."""

    def run(world: World, *served: str) -> World:
        argv = [
            *(tool("helm"), "template", world.namespace, str(ROOT / "charts" / "trace")),
            *("--namespace", world.namespace, "--kube-version", "1.34.0", "--values", "-"),
            *("--show-only", "templates/rbac.yaml", "--show-only", "templates/serviceaccounts.yaml"),
        ]
        values = json.dumps({"watchNamespaces": list(served)})
        rendered = subprocess.run(argv, input=values, capture_output=True, text=True, check=True, timeout=60)
        for document in filter(None, yaml.safe_load_all(rendered.stdout)):
            utils.create_from_dict(world.api, document, namespace=world.namespace)
        asked = {"spec": {"expirationSeconds": 3600}}
        token = world.core.create_namespaced_service_account_token(ACCOUNT, world.namespace, asked).status.token
        access = yaml.safe_load(world.kubeconfig.read_text())
        access["users"][0]["user"] = {"token": token}
        kubeconfig = tmp_path / f"{world.namespace}.kubeconfig"
        kubeconfig.write_text(json.dumps(access))
        settings = {"watch_namespaces": " ".join(served or [world.namespace])}
        return replace(world, kubeconfig=kubeconfig, settings=world.settings | settings)

    return run


def ready(here: World) -> None:
    """Play the cluster until the example DAG is ready."""
    here.until(here.deployments, f"{here.namespace}: the source has a Deployment")
    here.provision()
    here.source_up()
    here.until(lambda: here.holds("dags", "chain", "Ready"), f"{here.namespace}: the DAG is ready")


def touched(obj: dict[str, Any]) -> bool:
    """Whether the controller has written to an object."""
    return ACCOUNT in {entry["manager"] for entry in obj["metadata"]["managedFields"]}


def test_listed_namespaces_are_served_and_no_other_is_touched(world: World, install: Install) -> None:
    one, two, other = (world.beside(f"{world.namespace}-{name}") for name in ("one", "two", "other"))
    installed = install(world, one.namespace, two.namespace)
    for here in (one, two, other, world):
        here.apply(here.chain())
    installed.led()
    ready(one)
    ready(two)
    assert touched(one.get("dags", "chain") or {})
    for left in (other, world):
        dag = left.get("dags", "chain") or {}
        assert not touched(dag)
        assert "finalizers" not in dag["metadata"]
        assert (left.names("jobs"), left.names("assets")) == ([], [])
        assert (left.deployments(), left.events()) == ([], [])
    known = world.sql("SELECT namespace FROM dag_current_versions WHERE dag = 'chain' ORDER BY namespace")
    assert [row["namespace"] for row in known] == [one.namespace, two.namespace]

    one.enqueue(2)
    one.until(one.pods, "workers for the namespace whose queue has tasks")
    assert not two.pods(), "the other namespace's queue is empty"
    one.delete("dags", "chain")
    one.until(lambda: not one.names("dags") and not one.collect(), "one of them is deleted")
    assert two.holds("dags", "chain", "Ready")
    assert len(two.deployments()) == 1


def test_the_api_server_denies_what_is_not_served(world: World, install: Install) -> None:
    one, other = (world.beside(f"{world.namespace}-{name}") for name in ("one", "other"))
    installed = install(world, one.namespace)
    with config.new_client_from_config(str(installed.kubeconfig)) as api:
        objects, core = client.CustomObjectsApi(api), client.CoreV1Api(api)
        assert objects.list_namespaced_custom_object("trace.dev", "v1alpha1", one.namespace, "dags")["items"] == []
        pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        denied: list[Callable[[], object]] = [
            lambda: objects.list_cluster_custom_object("trace.dev", "v1alpha1", "dags"),
            lambda: core.list_namespace(),
            lambda: core.list_namespaced_secret(one.namespace),
            lambda: core.list_pod_for_all_namespaces(),
        ]
        for left in (other.namespace, world.namespace):
            denied += [
                lambda left=left: objects.list_namespaced_custom_object("trace.dev", "v1alpha1", left, "dags"),  # type: ignore[misc]
                lambda left=left: core.create_namespaced_pod(left, pod),  # type: ignore[misc]
                lambda left=left: core.list_namespaced_secret(left),  # type: ignore[misc]
            ]
        for number, call in enumerate(denied):
            with pytest.raises(client.ApiException) as refused:
                call()
            assert refused.value.status == 403, number


def test_a_namespace_without_rights_waits_and_the_others_are_served(world: World, install: Install) -> None:
    one, two = (world.beside(f"{world.namespace}-{name}") for name in ("one", "two"))
    installed = install(world, one.namespace, two.namespace)
    rights = client.RbacAuthorizationV1Api(world.api)
    binding = rights.read_namespaced_role_binding(ACCOUNT, two.namespace)
    rights.delete_namespaced_role_binding(ACCOUNT, two.namespace)
    for here in (one, two):
        here.apply(here.chain())
    controller = installed.start()
    ready(one)
    assert controller.readiness() == f"standing by: {two.namespace}"
    assert controller.get("/healthz").status_code == 200, "a restart would help nobody"
    binding.metadata.resource_version = None
    rights.create_namespaced_role_binding(two.namespace, binding)
    ready(two)
    assert controller.leads()


def test_a_namespace_is_served_by_one_installation_and_then_by_the_next(world: World, install: Install) -> None:
    home = world.beside(f"{world.namespace}-second")
    first = install(world)
    first.led(leader_lease_seconds="6")
    world.apply(world.chain())
    ready(world)
    leases = client.CoordinationV1Api(world.api)
    assert (
        leases.read_namespaced_lease("trace-installation", world.namespace).spec.holder_identity == world.namespace
    )

    # The chart would refuse this: its Role in the namespace belongs to the first release. Without it, here.
    second = replace(
        home, settings=home.settings | {"watch_namespaces": f"{home.namespace} {world.namespace}"}
    ).start(leader_lease_seconds="6")
    home.apply(home.chain())
    home.until(home.deployments, "the second installation serves its own")
    assert second.readiness() == f"standing by: {world.namespace}"
    assert first.controllers[0].ended() is None
    first.controllers[0].stop()
    home.until(second.leads, "the second serves both")
