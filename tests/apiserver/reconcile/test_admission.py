"""The validating webhook behind a real API server: what kubectl is refused, warned of, and let through."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from tests.apiserver.reconcile.conftest import MakeWorld
from tests.apiserver.reconcile.world import ROOT, Controller, World
from tests.services import free_port, tool
from tests.support.certificates import Authority
from tests.support.waiting import until
from tests.wrong.table import cases, right
from traceplane.reconcile.written import LAST_APPLIED

pytestmark = pytest.mark.apiserver

Object = dict[str, Any]


class Asked:
    """A controller that serves the webhook, the API server that asks it, and kubectl."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.folder = folder
        self.port = free_port()
        self.renew("first")

    def renew(self, name: str) -> bytes:
        """A certificate of a new authority; its certificate."""
        authority = Authority(name)
        signed = authority.server("127.0.0.1", 30)
        (self.folder / "tls.key").write_bytes(signed.key)
        (self.folder / "tls.crt").write_bytes(signed.certificate)
        self.authority = authority.certificate
        return authority.certificate

    def start(self, **settings: str) -> Controller:
        """A controller that leads."""
        admission = {"ADMISSION_PORT": str(self.port), "ADMISSION_CERTIFICATE": str(self.folder)}
        return self.world.led(**admission, **settings)

    def kubectl(
        self, *arguments: str, document: Object | None = None, text: str = ""
    ) -> subprocess.CompletedProcess[str]:
        return self.world.kubectl(*arguments, stdin=json.dumps(document) if document else text)

    def apply(self, document: Object, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.kubectl("apply", "--filename", "-", *arguments, document=document)

    def configuration(self) -> Object:
        """The chart's own, but that it leads to a process of the test."""
        argv = [tool("helm"), "template", "trace", str(ROOT / "charts" / "trace"), "--kube-version", "1.34.0"]
        argv += ["--namespace", self.world.namespace, "--set", "admission.enabled=true"]
        rendered = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout
        found: Object = next(
            each for each in yaml.safe_load_all(rendered) if each and each["kind"].startswith("Validating")
        )
        bundle = base64.b64encode(self.authority).decode()
        url = f"https://127.0.0.1:{self.port}/admission"
        found["webhooks"][0]["clientConfig"] = {"url": url, "caBundle": bundle}
        return found

    def configure(self) -> None:
        """Have the API server ask, and wait until it does."""
        done = self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", document=self.configuration())
        assert done.returncode == 0, done.stderr
        refused = {**wrong(), "metadata": {"name": "probe"}}

        def asks() -> bool:
            return "denied the request" in self.apply(refused, "--dry-run=server").stderr

        until(asks, "the API server asks the webhook", every=0.1)


def wrong() -> Object:
    """A DAG with two mistakes that only the graph can see."""
    dag: Object = right()["dag"]
    dag["spec"]["jobs"][1]["inputs"][0]["from"]["job"] = "folow"
    dag["spec"]["jobs"][2]["operator"] = "parquet_compakt"
    return dag


@pytest.fixture(scope="module")
def webhook(make_world: MakeWorld, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    """A controller that leads, and an API server that asks it."""
    with make_world(tmp_path_factory.mktemp("admission")) as world:
        made = Asked(world, tmp_path_factory.mktemp("tls"))
        made.start()
        made.configure()
        yield made
        name = made.configuration()["metadata"]["name"]
        client.AdmissionregistrationV1Api(world.api).delete_validating_webhook_configuration(name)


@pytest.fixture
def asked(webhook: Asked) -> Iterator[Asked]:
    """The module's, without any object of ours before and after."""
    yield webhook
    done = webhook.kubectl("delete", "dags,jobs.trace.dev,assets", "--all", "--timeout=60s")
    assert done.returncode == 0, done.stderr


def test_a_wrong_dag_is_refused_with_every_problem_and_nothing_is_stored(asked: Asked) -> None:
    done = asked.apply(wrong())
    assert done.returncode == 1
    assert 'admission webhook "admission.trace.dev" denied the request' in done.stderr
    assert "spec.jobs[1].inputs[0].from.job: no job 'folow' in this DAG; did you mean 'follow'?" in done.stderr
    assert "spec.jobs[2].operator" in done.stderr
    assert "trace.dev/jobs-follow" in done.stderr
    assert asked.world.names("dags") == []
    server_side = asked.apply(wrong(), "--server-side")
    assert (server_side.returncode, "denied the request" in server_side.stderr) == (1, True)
    assert asked.apply(right()["dag"]).returncode == 0


def test_what_lint_alone_refuses_is_refused_or_warned_of(asked: Asked) -> None:
    """Every row of the table that only the graph can see."""
    missed: list[str] = []
    assert asked.apply(right()["dag"]).returncode == 0
    asked.world.until(lambda: asked.world.get("jobs", "chain.follow"), "the controller knows the DAG")
    # The API server drops a null before anybody is asked, and then nothing is wrong.
    rows = [each for each in cases() if each.refused == "lint" and each.name not in ("a null", "a filter by null")]
    for case in [each for each in rows if each.document["kind"] != "Bundle"]:
        done = asked.apply(case.document, "--dry-run=server")
        refused = done.returncode == 1 or case.document["kind"] != "DAG"
        if case.message not in done.stderr or not refused:
            missed.append(f"{case}: {done.stderr}")
    assert not missed
    assert len(rows) > 10


def test_a_job_before_its_dag_is_warned_of_and_stored(asked: Asked) -> None:
    job = right()["job"]
    done = asked.apply(job)
    assert done.returncode == 0
    assert "Warning: spec.dag: there is no DAG chain yet; the Job waits for it" in done.stderr
    job["spec"]["config"]["rangeSize"] = 0
    job["metadata"]["name"] = "narrow-ranges"
    assert "config" in asked.apply(job).stderr, "what it says alone is refused all the same"
    assert asked.world.names("jobs") == ["wide-ranges"]


def test_a_dag_may_name_jobs_that_were_applied_a_moment_before_or_will_be(asked: Asked) -> None:
    dag, job = right()["dag"], right()["job"]
    dag["spec"]["publish"] = []
    dag["spec"]["jobs"][2]["inputs"][0]["from"]["job"] = "wide-ranges"
    assert asked.apply(dag, "--dry-run=server").returncode == 1
    assert asked.kubectl("apply", "-f", "-", text=yaml.safe_dump_all([job, dag])).returncode == 0
    dag["metadata"] = {"name": "other", "annotations": {"trace.dev/jobs-follow": "true"}}
    done = asked.apply(dag)
    assert (done.returncode, "Warning: DAG/other: spec.jobs[2].inputs[0].from.job" in done.stderr) == (0, True)


def test_a_misspelt_field_that_a_client_let_pass_is_refused(asked: Asked) -> None:
    dag = right()["dag"]
    dag["spec"]["jobs"][2]["timeoutSecond"] = 60
    done = asked.apply(dag, "--validate=false")
    assert done.returncode == 1
    assert "spec.jobs[2].timeoutSecond: unknown field; did you mean 'timeoutSeconds'?" in done.stderr
    strict = asked.apply(dag)
    assert 'unknown field "spec.jobs[2].timeoutSecond"' in strict.stderr, "kubectl's default"
    server_side = asked.apply(dag, "--server-side", "--validate=false")
    assert (server_side.returncode, "field not declared in schema" in server_side.stderr) == (1, True)
    # Without the annotation nothing of it is left anywhere: not for the webhook, and not for the conditions.
    assert asked.kubectl("create", "--validate=false", "-f", "-", document=dag).returncode == 0
    stored = asked.world.get("dags", "chain") or {}
    assert "timeoutSecond:" not in json.dumps(stored["metadata"]["managedFields"])
    assert LAST_APPLIED not in stored["metadata"].get("annotations", {})


def test_what_is_stored_may_be_labelled_paused_and_deleted_though_it_is_wrong(asked: Asked) -> None:
    world = asked.world
    name = asked.configuration()["metadata"]["name"]
    api = client.AdmissionregistrationV1Api(world.api)
    api.delete_validating_webhook_configuration(name)
    until(lambda: asked.apply(wrong()).returncode == 0, "it is stored unseen", every=0.1)
    asked.configure()
    assert asked.kubectl("label", "dag/chain", "team=data").returncode == 0
    world.until(lambda: world.holds("dags", "chain", "Valid", "False"), "the condition says it")
    assert (
        asked.kubectl(
            "patch", "dag/chain", "--type=merge", "-p", '{"spec":{"defaults":{"maxAttempts":5}}}'
        ).returncode
        == 1
    )
    assert asked.kubectl("delete", "dag/chain", "--timeout=60s").returncode == 0


def test_while_the_controller_is_away_changes_are_stored_unseen(asked: Asked) -> None:
    for controller in asked.world.controllers:
        controller.stop()
    assert asked.apply(wrong()).returncode == 0
    assert asked.kubectl("delete", "dag/chain", "--wait=false").returncode == 0
    asked.start()
    asked.world.until(lambda: not asked.world.names("dags"), "it is deleted as soon as the controller is back")


def test_other_namespaces_are_not_asked_about(asked: Asked) -> None:
    client.CoreV1Api(asked.world.api).create_namespace({"metadata": {"name": f"{asked.world.namespace}-beside"}})
    elsewhere = {**wrong(), "metadata": {"name": "chain", "namespace": f"{asked.world.namespace}-beside"}}
    done = asked.kubectl("apply", "-n", f"{asked.world.namespace}-beside", "-f", "-", document=elsewhere)
    assert done.returncode == 0, done.stderr


def test_a_renewed_certificate_is_taken_up_without_a_restart(asked: Asked) -> None:
    asked.renew("second")
    # With the new authority alone the API server takes no answer of the old certificate.
    asked.configure()
    assert asked.apply(wrong()).returncode == 1
    whole = (asked.folder / "tls.crt").read_text()
    (asked.folder / "tls.crt").write_text("half")
    assert asked.apply(wrong()).returncode == 1, "one that cannot be read changes nothing"
    (asked.folder / "tls.crt").write_text(whole)


def test_what_is_no_review_is_refused_and_a_flood_is_let_through(asked: Asked) -> None:
    import httpx

    url = f"https://127.0.0.1:{asked.port}/admission"
    for body in (b"", b"[]", b"{}", b'{"request": 5}', b'{"request": {"uid": "a", "namespace": "x", "object": 1}}'):
        answer = httpx.post(url, content=body, verify=False, timeout=30)
        assert answer.status_code in (200, 400), body
    assert httpx.post(url, content=b" " * 9_000_000, verify=False, timeout=30).status_code in (400, 413)


def test_without_the_webhook_a_condition_names_a_field_that_was_dropped(world: World, tmp_path: Path) -> None:
    asked = Asked(world, tmp_path)
    world.led()
    dag = right()["dag"]
    assert asked.apply(dag).returncode == 0
    world.until(lambda: world.holds("dags", "chain", "Valid", reason="Accepted"), "the DAG is valid")
    dag["spec"]["jobs"][2]["timeoutSecond"] = 60
    job = right()["job"]
    job["spec"]["scalling"] = {}
    asset = right()["asset"]
    asset["spec"]["readRole"] = ["finance"]
    for document in (dag, job, asset):
        assert asked.apply(document, "--validate=false").returncode == 0
    world.until(lambda: world.holds("dags", "chain", "Valid", reason="FieldsDropped"), "the DAG says so")
    said = world.condition("dags", "chain", "Valid")
    assert "spec.jobs[2].timeoutSecond: unknown field; did you mean 'timeoutSeconds'?" in said["message"]
    world.until(lambda: world.holds("jobs", "wide-ranges", "Valid", reason="FieldsDropped"), "the Job says so")
    world.until(
        lambda: "readRole" in world.condition("assets", "blocks", "Ready").get("message", ""), "the Asset, too"
    )
    world.until(lambda: "FieldsDropped" in world.events(), "an Event says so")
    dag["spec"]["jobs"][2].pop("timeoutSecond")
    assert asked.apply(dag).returncode == 0
    world.until(lambda: world.holds("dags", "chain", "Valid", reason="Accepted"), "it is mended")
