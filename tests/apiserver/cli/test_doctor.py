"""`tracectl doctor` and `version` beside a real API server and a real dispatcher: things are broken one by one."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from tests.apiserver.cli.conftest import Installed
from tests.services import ROOT

pytestmark = pytest.mark.apiserver

DAG = "dags/chain.yaml"


def examined(installed: Installed, *arguments: str, **options: Any) -> tuple[int, dict[str, dict[str, str]]]:
    """The exit code, and what was found that is not well, by part."""
    done = installed.tracectl("doctor", "-o", "json", *arguments, **options)
    found = json.loads(done.stdout)
    assert all(bool(each["remedy"]) or each["result"] == "ok" for each in found), found
    return done.returncode, {each["part"]: each for each in found if each["result"] != "ok"}


def broken(installed: Installed) -> tuple[str, str]:
    """The one part that failed, and why."""
    code, found = examined(installed)
    assert code == 1
    ((part, finding),) = found.items()
    assert finding["result"] == "failed"
    return part, finding["message"]


def test_all_is_well_and_everything_was_looked_at(installed: Installed) -> None:
    assert examined(installed) == (0, {})
    done = installed.tracectl("doctor", "-o", "json")
    parts = [each["part"] for each in json.loads(done.stdout)]
    assert parts == [
        *("API server", "CRDs", "controller", "dispatcher", "query", "network policies", "DAGs"),
        *("user API", "clock", "state database", "data database", "object store", "sts"),
        *("tasks", "outbox", "sources"),
    ]
    drawn = installed.tracectl("tracedag", "doctor", program="kubectl")
    assert (drawn.returncode, "object store" in drawn.stdout) == (0, True), drawn.stderr


def test_a_crd_that_is_missing_or_lacks_a_field_is_named(installed: Installed) -> None:
    whole = yaml.safe_load((ROOT / "crds" / "trace.dev_bundles.yaml").read_text())
    older = json.loads(json.dumps(whole))
    del older["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["entrypoint"]
    try:
        installed.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(older))
        part, why = broken(installed)
        assert (part, "bundles.trace.dev is of another release: it lacks spec.entrypoint" in why) == ("CRDs", True)
        installed.kubectl("delete", "crd", "bundles.trace.dev")
        part, why = broken(installed)
        assert (part, why) == ("CRDs", "bundles.trace.dev is not there")
    finally:
        installed.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(whole))
        installed.kubectl("wait", "crd/bundles.trace.dev", "--for=condition=Established", "--timeout=30s")


@pytest.mark.parametrize("component", ["controller", "dispatcher"])
def test_a_process_that_does_not_start_is_named_with_the_reason(installed: Installed, component: str) -> None:
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    status = {"name": component, "ready": False, "image": "x", "imageID": "", "restartCount": 0, "state": waiting}
    beside = {**status, "name": "query", "ready": True, "state": {"running": {}}}
    found = [status] if component == "controller" else [status, beside]
    installed.set_status(f"pod/trace-{component}", {"containerStatuses": found})
    part, why = broken(installed)
    assert part == component
    assert why.startswith("0 of 1 ready: ")
    assert "ImagePullBackOff: no such image" in why


def test_a_deployment_that_is_missing_or_of_another_version_is_named(installed: Installed) -> None:
    label = {"metadata": {"labels": {"app.kubernetes.io/version": "0.0.9"}}}
    installed.patch("deployment/trace-controller", label)
    code, found = examined(installed)
    assert (code, found["controller"]["result"]) == (0, "warning")
    assert "version 0.0.9" in found["controller"]["message"]
    installed.kubectl("delete", "deployment", "trace-controller")
    assert broken(installed)[0] == "controller"


def test_missing_network_policies_are_a_warning(installed: Installed) -> None:
    installed.kubectl("delete", "networkpolicy", "--all")
    code, found = examined(installed)
    assert (code, list(found)) == (0, ["network policies"])


def test_a_dag_that_nobody_reconciles_or_that_is_not_valid_is_named(installed: Installed) -> None:
    installed.kubectl("apply", "-f", str(ROOT / DAG))
    assert "the controller has not seen its last change" in broken(installed)[1]
    condition = {
        "type": "Valid",
        "status": "False",
        "reason": "Invalid",
        "message": "no such output",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    installed.set_status("dag/chain", {"observedGeneration": 1, "conditions": [condition]})
    assert broken(installed) == ("DAGs", "chain: Valid is False, Invalid: no such output")


def test_a_schema_of_another_release_is_found_by_the_server(installed: Installed) -> None:
    (found,) = installed.sql("SELECT version_num FROM trace_schema_state")
    installed.sql("UPDATE trace_schema_state SET version_num = 's0001'")
    try:
        part, why = broken(installed)
    finally:
        installed.sql("UPDATE trace_schema_state SET version_num = %s", *found)
    assert part == "state database"
    assert "s0001" in why


def test_a_reader_sees_what_he_may(installed: Installed) -> None:
    code, found = examined(installed, token=installed.oidc.token("rita"))
    assert (code, list(found), found["parts"]["result"]) == (0, ["parts"], "warning")
    code, found = examined(installed, token=installed.oidc.token("nobody"))
    assert (code, list(found)) == (1, ["user API"])
    assert "TRACE_TOKEN" in found["user API"]["remedy"]


def test_no_part_keeps_another_back(installed: Installed) -> None:
    """With no cluster what the server knows is still found, and with no server what the cluster shows."""
    code, found = examined(installed, "--kubeconfig", "/nonexistent")
    assert code == 1
    assert list(found) == ["API server", "CRDs", "controller", "dispatcher", "query", "network policies", "DAGs"]
    assert examined(installed, "--server-only")[0] == 0
    code, found = examined(installed, "--server", "http://127.0.0.1:1")
    assert (code, list(found)) == (1, ["user API"])


def test_what_the_caller_may_not_see_is_a_warning(installed: Installed) -> None:
    role = ["--verb=get,list", "--resource=deployments,pods,networkpolicies.networking.k8s.io,dags.trace.dev"]
    installed.kubectl("create", "serviceaccount", "looker")
    installed.kubectl("create", "role", "looker", *role)
    installed.kubectl(
        "create", "rolebinding", "looker", "--role=looker", f"--serviceaccount={installed.namespace}:looker"
    )
    config = json.loads(installed.kubeconfig.read_text())
    token = installed.kubectl("create", "token", "looker").strip()
    config["users"] = [{"name": config["users"][0]["name"], "user": {"token": token}}]
    other = installed.kubeconfig.parent / f"looker-{installed.namespace}"
    other.write_text(json.dumps(config))
    code, found = examined(installed, "--kubeconfig", str(other))
    assert (code, list(found)) == (0, ["CRDs"])
    assert "Forbidden" in found["CRDs"]["message"]


def test_the_version_of_both_is_printed(installed: Installed) -> None:
    said = json.loads(installed.tracectl("version", "-o", "json").stdout)
    assert said["client"]["version"] == said["server"]["version"]
    assert said["skew"] is None
    done = installed.tracectl("tracedag", "version", program="kubectl")
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 2), done.stderr
