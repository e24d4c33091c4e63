"""The chart on a real cluster."""

from __future__ import annotations

import json
import subprocess

import pytest

from hack.localcluster.layout import ClusterError
from tests.services.installation import DAG, Installation

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

CRDS = {f"{plural}.trace.dev" for plural in ("dags", "jobs", "assets", "bundles")}


def crds(trace: Installation) -> set[str]:
    return {item["metadata"]["name"] for item in trace.kube.items("customresourcedefinitions")} & CRDS


def test_helm_test_asks_with_right_and_wrong_credentials(trace):
    said = trace.kube.helm("test", "trace", "--logs", "--timeout", "4m")
    assert said.count("Phase:          Succeeded") >= 2, said
    assert "FAILED" not in said


def test_the_namespace_enforces_the_restricted_standard_on_every_pod(trace):
    labels = trace.kube.get("namespace", trace.kube.namespace)["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    privileged = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "root"},
                  "spec": {"containers": [{"name": "root", "image": trace.images["trace"]}]}}  # fmt: skip
    with pytest.raises(ClusterError, match="violates PodSecurity"):
        trace.kube.kubectl("create", "--filename", "-", stdin=json.dumps(privileged))


def test_an_upgrade_that_changes_nothing_restarts_nothing(trace):
    def parts():
        return {pod["metadata"]["uid"] for pod in trace.pods("app.kubernetes.io/instance=trace")}

    before = parts()
    trace.install()
    assert parts() == before


def test_no_query_is_refused_while_its_service_is_replaced(trace):
    dispatcher = "deployment/trace-dispatcher"
    trace.kube.kubectl("rollout", "restart", dispatcher)
    watching = subprocess.Popen(
        ["kubectl", "--namespace", trace.kube.namespace, "rollout", "status", dispatcher, "--timeout=120s"],
        env=dict(trace.kube.environment),
        stdout=subprocess.DEVNULL,
    )
    asked = 0
    while watching.poll() is None or trace.terminating("app.kubernetes.io/component=dispatcher"):
        assert trace.admin.rows("SELECT 1") == [[1]]
        asked += 1
    assert watching.returncode == 0
    assert asked > 10


def test_secrets_are_made_once(trace):
    def secrets():
        found = trace.kube.items("secrets", "--selector", "app.kubernetes.io/instance=trace")
        return {item["metadata"]["name"]: item["data"] for item in found}

    before = secrets()
    trace.install()
    assert secrets() == before
    made = {"trace-postgres", "trace-state", "trace-data", "trace-worker", "trace-capability"}
    assert made | {"trace-s3", "trace-query-s3"} <= set(before)


@pytest.mark.parametrize(
    ("account", "verb", "resource", "allowed"),
    [
        ("trace-controller", "create", "pods", "yes"),
        ("trace-controller", "patch", "dags.trace.dev --subresource=status", "yes"),
        ("trace-controller", "get", "secrets", "no"),
        ("trace-controller", "create", "roles.rbac.authorization.k8s.io", "no"),
        ("trace-controller", "create", "pods --subresource=exec", "no"),
        ("trace-controller", "create", "serviceaccounts --subresource=token", "no"),
        ("trace-dispatcher", "get", "pods", "no"),
        ("trace-dispatcher", "get", "secrets", "no"),
        ("trace-admin", "get", "pods", "no"),
        ("trace-admin", "get", "dags.trace.dev", "no"),
    ],
)
def test_each_identity_may_do_its_own_and_nothing_else(trace, account, verb, resource, allowed):
    who = f"system:serviceaccount:{trace.kube.namespace}:{account}"
    done = subprocess.run(
        ["kubectl", "--namespace", trace.kube.namespace, "auth", "can-i", verb, *resource.split(), "--as", who],
        env=dict(trace.kube.environment),
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == allowed


def test_the_controllers_rights_end_at_its_namespace(trace):
    who = f"system:serviceaccount:{trace.kube.namespace}:trace-controller"
    done = subprocess.run(
        ["kubectl", "--namespace", "kube-system", "auth", "can-i", "list", "pods", "--as", who],
        env=dict(trace.kube.environment),
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "no"


def test_uninstall_keeps_definitions_pipelines_and_data(trace):
    """And an installation after it goes on where the one before ended."""
    blocks = trace.count("blocks")
    uid = trace.kube.get("dag", DAG)["metadata"]["uid"]
    trace.kube.helm("uninstall", "trace", "--wait", "--timeout", "4m")
    try:
        assert crds(trace) == CRDS
        assert trace.kube.get("dag", DAG)["metadata"]["uid"] == uid
        claims = {item["metadata"]["name"] for item in trace.kube.items("persistentvolumeclaims")}
        assert claims == {"data-trace-postgres-0", "data-trace-minio-0"}
    finally:
        trace.install()
    assert trace.prove_new_ranges().rows["blocks"] > blocks
