"""Trace's objects by kubectl, as people use it, with a controller beside."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.apiserver.reconcile.conftest import MakeWorld
from tests.apiserver.reconcile.world import ROOT, World
from tests.services import tool
from tests.support.waiting import until

pytestmark = pytest.mark.apiserver

CHAIN = str(ROOT / "dags" / "chain.yaml")


@pytest.fixture(scope="module")
def running(make_world: MakeWorld, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The example, applied by kubectl and Ready. Tests change different things of it, and in any order."""
    with make_world(tmp_path_factory.mktemp("kubectl")) as world:
        world.led()
        did(world, "apply", "--filename", CHAIN)
        world.until(world.deployments, "the source has a Deployment")
        world.provision()
        world.source_up()
        world.until(lambda: world.holds("dags", "chain", "Ready"), "the DAG is ready")
        yield world


def did(world: World, *arguments: str, **options: str) -> str:
    """What kubectl prints; it must succeed."""
    done = world.kubectl(*arguments, **options)
    assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
    return done.stdout


def editor(folder: Path, before: str, after: str) -> str:
    """A program that changes a text in the file that it is given."""
    program = folder / "editor"
    program.write_text(
        f"#!{sys.executable}\nimport pathlib, sys\nfile = pathlib.Path(sys.argv[1])\n"
        f"file.write_text(file.read_text().replace({before!r}, {after!r}))\n"
    )
    program.chmod(0o755)
    return str(program)


def version(world: World) -> str:
    """The version that runs."""
    return str((world.get("dags", "chain") or {})["status"]["activeVersion"])


def looks(world: World) -> None:
    """Return when the controller has looked at everything once more."""
    (controller,) = world.controllers
    sample = 'trace_reconcile_total{kind="DAG",result="ok"}'
    before = controller.metric(sample)
    world.until(lambda: controller.metric(sample) > before + 4, "the controller looked again")


def observed(world: World) -> bool:
    """Whether the controller has seen the last change of the DAG, and it is ready as it is."""
    dag = world.get("dags", "chain") or {}
    return dag["status"]["observedGeneration"] == dag["metadata"]["generation"] and world.holds(
        "dags", "chain", "Ready"
    )


def test_every_field_is_explained_by_the_server(running: World) -> None:
    served = json.loads(did(running, "get", "--raw", "/openapi/v3/apis/trace.dev/v1alpha1"))
    kinds = {name.rpartition(".")[2]: schema for name, schema in served["components"]["schemas"].items()}

    def unexplained(schema: dict[str, Any], path: str) -> Iterator[str]:
        for name, field in schema.get("properties", {}).items():
            if not field.get("description"):
                yield f"{path}.{name}"
            yield from unexplained(field, f"{path}.{name}")
        for below in ("items", "additionalProperties"):
            if isinstance(schema.get(below), dict):
                yield from unexplained(schema[below], path)

    assert [path for kind in ("DAG", "Job", "Asset", "Bundle") for path in unexplained(kinds[kind], kind)] == []
    assert "Most worker pods at once" in did(running, "explain", "dag.spec.jobs.scaling.maxWorkers")
    assert "Why it does not get on" in did(running, "explain", "tjob.status.waiting")


def test_what_is_applied_has_no_difference_and_a_change_is_shown(running: World) -> None:
    dag = {**running.chain(), "metadata": {"name": "compared"}}
    dag["spec"]["publish"] = []
    did(running, "apply", "--filename", "-", stdin=yaml.safe_dump(dag))
    running.until(lambda: running.holds("dags", "compared", "Valid"), "the controller has seen it")
    assert did(running, "diff", "--filename", "-", stdin=yaml.safe_dump(dag)) == ""
    dag["spec"]["jobs"][2]["scaling"]["maxWorkers"] = 7
    done = running.kubectl("diff", "--filename", "-", stdin=yaml.safe_dump(dag))
    assert (done.returncode, "+      maxWorkers: 7" in done.stdout) == (1, True), done.stdout + done.stderr


def test_a_dry_run_of_the_server_says_what_is_wrong_and_changes_nothing(running: World) -> None:
    before = running.get("dags", "chain")
    patch = ["patch", "dag/chain", "--type=merge", "--dry-run=server", "--patch"]
    did(running, *patch, '{"spec":{"defaults":{"maxAttempts":9}}}')
    refused = running.kubectl(*patch, '{"spec":{"defaults":{"maxAttempts":0}}}')
    assert (refused.returncode, "spec.defaults.maxAttempts" in refused.stderr) == (1, True)
    assert (running.get("dags", "chain") or {})["spec"] == (before or {})["spec"]


def test_wait_knows_the_conditions(running: World) -> None:
    did(running, "wait", "dag/chain", "--for=condition=Ready", "--timeout=60s")
    did(running, "wait", "tjob/chain.compact", "--for=condition=Ready", "--timeout=60s")
    did(running, "wait", "asset/blocks", "--for=condition=Ready", "--timeout=60s")


def test_columns_are_those_of_each_kind_and_wide_ones_say_why(running: World) -> None:
    for kind, columns, wide in (
        ("dags", ["VALID", "READY", "REASON", "QUEUED", "DEAD"], ["MESSAGE", "PROBLEMS"]),
        ("tjob", ["DAG", "READY", "WAITING", "WORKERS", "LAG"], ["MESSAGE"]),
        ("assets", ["STORAGE", "CURSOR", "ROWS"], ["MESSAGE"]),
    ):
        head = did(running, "get", kind).splitlines()[0].split()
        assert set(columns) <= set(head), head
        assert not set(wide) & set(head)
        assert set(wide) <= set(did(running, "get", kind, "-o", "wide").splitlines()[0].split())
    assert "dag.trace.dev/chain" in did(running, "get", "trace", "-o", "name")


def test_a_watch_shows_changes(running: World) -> None:
    argv = [tool("kubectl"), "--kubeconfig", str(running.kubeconfig), "-n", running.namespace]
    watch = subprocess.Popen([*argv, "get", "dags", "--watch", "--show-labels"], stdout=subprocess.PIPE, text=True)
    try:
        assert watch.stdout is not None
        assert watch.stdout.readline().startswith("NAME")
        did(running, "label", "dag/chain", "watched=yes")
        lines = iter(watch.stdout.readline, "")
        assert any("watched=yes" in line for line in itertools.islice(lines, 200))
    finally:
        watch.kill()
        watch.communicate()


def test_labels_and_annotations_make_no_new_version_and_stay(running: World) -> None:
    before = version(running)
    did(running, "label", "dag/chain", "team=data")
    did(running, "annotate", "dag/chain", "example.org/note=kept")
    did(running, "label", "tjob/chain.compact", "team=data")
    looks(running)
    assert version(running) == before
    metadata = (running.get("dags", "chain") or {})["metadata"]
    assert (metadata["labels"]["team"], metadata["annotations"]["example.org/note"]) == ("data", "kept")
    assert ((running.get("jobs", "chain.compact") or {})["metadata"]["labels"])["team"] == "data"


def test_a_patch_is_brought_about(running: World) -> None:
    before = version(running)
    change = '{"spec":{"defaults":{"heartbeatTimeoutSeconds":77}}}'
    did(running, "patch", "dag/chain", "--type=merge", "--patch", change)
    running.until(lambda: observed(running), "the controller has seen it")
    assert version(running) != before


def test_an_editor_changes_a_dag(running: World, tmp_path: Path) -> None:
    did(running, "edit", "dag/chain", EDITOR=editor(tmp_path, "maxAttempts: 3", "maxAttempts: 4"))
    assert (running.get("dags", "chain") or {})["spec"]["defaults"]["maxAttempts"] == 4
    running.until(lambda: observed(running), "the controller has seen it")
    # kubectl opens it again with what was wrong, and gives up where nothing was changed then.
    done = running.kubectl("edit", "dag/chain", EDITOR=editor(tmp_path, "maxAttempts: 4\n", "maxAttempts: 400\n"))
    assert (done.returncode, "no valid changes were saved" in done.stdout + done.stderr) == (1, True), done


def test_a_second_manager_owns_its_fields_and_conflicts_are_said(running: World) -> None:
    def applied(manager: str, spec: Any) -> subprocess.CompletedProcess[str]:
        dag = {"apiVersion": "trace.dev/v1alpha1", "kind": "DAG", "metadata": {"name": "shared"}, "spec": spec}
        arguments = ("apply", "--server-side", f"--field-manager={manager}", "--filename", "-")
        return running.kubectl(*arguments, stdin=yaml.safe_dump(dag))

    def publish(asset: str) -> Any:
        return [{"asset": asset, "from": {"job": "follow", "output": "logs"}}]

    first = {**running.chain()["spec"], "publish": publish("of-team-a")}
    assert applied("team-a", first).returncode == 0
    assert applied("team-b", {"publish": publish("of-team-b")}).returncode == 0
    running.until(lambda: running.get("assets", "of-team-b"), "it is published beside the rest")
    assert running.get("assets", "of-team-a")
    done = applied("team-b", {"publish": publish("of-team-b"), "defaults": {"maxAttempts": 9}})
    assert (done.returncode, "conflict" in done.stderr) == (1, True), done.stderr
    assert applied("team-b", {}).returncode == 0
    running.until(lambda: running.get("assets", "of-team-b") is None, "what it no longer says is withdrawn")
    assert running.get("assets", "of-team-a")


def test_a_restarted_source_is_not_fought_over(running: World) -> None:
    def source() -> Any:
        return next(d for d in running.deployments() if d.metadata.labels["trace.dev/dag"] == "chain")

    did(running, "rollout", "restart", f"deployment/{source().metadata.name}")
    restarted = source()
    assert "kubectl.kubernetes.io/restartedAt" in restarted.spec.template.metadata.annotations
    looks(running)
    assert source().metadata.generation == restarted.metadata.generation, "the controller leaves it as it is"


def test_a_namespace_that_ends_takes_its_dags_along(world: World) -> None:
    """Nothing here plays the namespace controller but the test: it deletes what is in it, as that would."""
    world.led(drain_seconds="5")
    world.running_chain()
    did(world, "delete", "namespace", world.namespace, "--wait=false")
    did(world, "delete", "dags.trace.dev,jobs.trace.dev,assets.trace.dev", "--all", "--wait=false")
    world.until(lambda: not world.collect() and not world.names("dags"), "the DAG is drained and gone")
    assert world.names("jobs") == world.names("assets") == []


def test_a_dag_deleted_while_no_controller_runs_says_so_and_goes_later(world: World) -> None:
    first = world.led()
    world.running_chain()
    assert first.stop() == 0
    done = world.kubectl("delete", "dag/chain", "--timeout=1s")
    assert (done.returncode, "timed out" in done.stderr) == (1, True)
    world.led()
    until(lambda: world.collect() is not None and not world.names("dags"), "it goes", timeout=60)
