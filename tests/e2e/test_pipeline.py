"""The example pipeline on a real cluster, as a user sees it."""

from __future__ import annotations

import copy
import json
import os
import subprocess

import pytest
import yaml

from hack.demo import pipeline
from hack.demo.ask import User
from hack.demo.kube import Kube
from hack.localcluster.layout import CHECKOUT, ClusterError
from tests.services.installation import DAG, Installation

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

FOLLOW = f"trace.dev/dag={DAG},trace.dev/job=follow"
COMPACT = f"trace.dev/dag={DAG},trace.dev/job=compact"


def test_the_answer_is_the_chain(trace):
    proof = trace.prove_new_ranges()
    assert proof.rows["blocks"] > 50
    assert proof.rows["transactions"] > 0
    assert proof.rows["logs"] > 0


def test_cold_and_hot_rows_are_both_part_of_it(trace):
    """Otherwise the proof would say nothing about the seam."""
    trace.prove_new_ranges()
    rows = trace.rows
    assert rows("SELECT count(*) FROM cold_blocks")[0][0] > 0
    assert rows("SELECT count(*) FROM hot_blocks")[0][0] > 0
    newest_cold = rows("SELECT max(block_number) FROM cold_blocks")[0][0]
    assert rows("SELECT max(block_number) FROM blocks")[0][0] > newest_cold


def test_hot_rows_of_compacted_ranges_are_deleted(trace):
    """Later than the longest query, short here. Only the table itself tells: the relation has every row."""
    trace.prove_new_ranges()
    newest = trace.rows("SELECT max(block_number) FROM cold_blocks")[0][0]
    trace.wait(
        "the hot rows of ranges that are cold are gone",
        lambda: trace.hot_blocks(f"min(block_number) > {newest}") == "t",
    )
    assert trace.rows("SELECT min(block_number) FROM blocks")[0][0] == 0
    trace.prove()


def test_worker_pods_come_for_work_and_leave_when_idle(trace):
    """Each by itself: before one is gone, the next range may have brought another, perhaps of the same name."""
    seen = set()

    def came():
        seen.update(pod["metadata"]["uid"] for pod in trace.pods(COMPACT))
        return bool(seen), f"{len(seen)} pods"

    def left():
        alive = {pod["metadata"]["uid"] for pod in trace.kube.items("pods", "--selector", COMPACT)}
        return not seen & alive, f"{len(seen & alive)} of {len(seen)} pods are there"

    trace.wait("a worker pod appears", came)
    trace.wait("the worker pods leave", left)


def test_the_follower_is_one_pod_of_its_own_deployment(trace):
    pod = trace.one(FOLLOW)
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert pod["metadata"]["labels"]["app.kubernetes.io/part-of"] == "trace"
    (deployment,) = trace.kube.items("deployments", "--selector", FOLLOW)
    (owner,) = deployment["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["controller"]) == ("DAG", DAG, True)


def test_a_dag_reads_what_another_one_publishes(trace):
    (dag,) = yaml.safe_load_all((CHECKOUT / "dags" / "activity.yaml").read_text())
    trace.apply(dag)
    try:
        trace.wait("two ranges are counted", lambda: trace.count("activity") >= 2, 180)
        counted = trace.rows("SELECT first_block, blocks, gas_used::VARCHAR FROM activity ORDER BY 1")
        for first, blocks, gas in counted:
            whole = f"block_number BETWEEN {first} AND {first + blocks - 1}"
            truth = trace.rows(f"SELECT count(*), sum(gas_used)::VARCHAR FROM blocks WHERE {whole}")
            assert truth == [[blocks, gas]]
        gaps = trace.rows("SELECT count(*) FROM activity a JOIN activity b ON b.first_block = a.first_block + 1")
        assert gaps == [[0]]
    finally:
        trace.kube.kubectl("delete", "dag", "activity", "--timeout=120s")


def test_kubectl_shows_what_matters(trace):
    trace.prove()
    pipeline.wait_ready(trace.kube)
    dags, jobs, assets = (trace.kube.kubectl("get", kind) for kind in ("dags", "tjob", "assets"))
    for column in ("VALID", "READY", "JOBS", "QUEUED", "RUNNING", "AGE"):
        assert column in dags.splitlines()[0]
    (line,) = [line for line in dags.splitlines() if line.startswith(f"{DAG} ")]
    assert line.split()[1:3] == ["True", "True"]
    shown = {line.split()[0]: line for line in jobs.splitlines()[1:]}
    assert {f"{DAG}.follow", f"{DAG}.ranges", f"{DAG}.compact"} <= set(shown)
    assert "block_follower" in shown[f"{DAG}.follow"]
    assert any(line.split()[:2] == ["blocks", "Federated"] for line in assets.splitlines())
    assert f"dag.trace.dev/{DAG}" in trace.kube.kubectl("get", "trace", "--output", "name")


def test_a_wrong_change_is_refused_and_the_running_version_goes_on(trace):
    wrong = copy.deepcopy(trace.manifest[0])
    wrong["spec"]["jobs"][1]["operator"] = "range_agregator"
    active = trace.kube.get("dag", DAG)["status"]["activeVersion"]
    good = trace.kube.get("dag", DAG)["spec"]

    def refused() -> bool:  # not while its controller is being replaced, as another test may have it
        try:
            return not trace.kube.kubectl("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(wrong))
        except ClusterError as error:
            return "denied the request" in str(error) and "spec.jobs[1].operator" in str(error)

    trace.wait("the webhook refuses it", refused)
    # What is stored unseen, as while the controller is away: the webhook lets its account pass.
    unseen = ("--as", f"system:serviceaccount:{trace.kube.namespace}:trace-controller")
    trace.kube.kubectl("patch", "dag", DAG, "--type=merge", "--patch", json.dumps({"spec": wrong["spec"]}), *unseen)
    try:
        trace.wait("Valid is False", lambda: trace.kube.condition("dag", DAG, "Valid")[0] == "False")
        assert "spec.jobs[1].operator" in trace.kube.condition("dag", DAG, "Valid")[1]
        assert trace.kube.get("dag", DAG)["status"]["activeVersion"] == active
        trace.prove()
    finally:
        trace.apply({**trace.manifest[0], "spec": good})
    trace.wait("Valid is True", lambda: trace.kube.condition("dag", DAG, "Valid")[0] == "True")


def test_what_the_api_server_can_see_it_refuses_at_apply(trace):
    wrong = copy.deepcopy(trace.manifest[0])
    wrong["spec"]["jobs"][0]["activation"] = "Sometimes"
    with pytest.raises(ClusterError, match="Unsupported value"):
        trace.apply(wrong)


def test_drift_is_put_right(trace):
    (deployment,) = trace.kube.items("deployments", "--selector", FOLLOW)
    name = deployment["metadata"]["name"]
    trace.kube.kubectl("delete", "deployment", name)
    trace.kube.kubectl("delete", "tjob", f"{DAG}.ranges")
    trace.wait("the Deployment is back", lambda: bool(trace.kube.items("deployments", "--selector", FOLLOW)))
    trace.wait("the follower runs again", lambda: len(trace.running(FOLLOW)) == 1)
    names = lambda: [job["metadata"]["name"] for job in trace.kube.items("tjob")]  # noqa: E731
    trace.wait("the Job object is back", lambda: f"{DAG}.ranges" in names())
    trace.prove_new_ranges()


def test_tracectl_refuses_a_bad_token_with_exit_code_1(trace):
    stranger = User(trace.admin.url, "not-a-token", trace.kube.namespace)
    with pytest.raises(ClusterError, match="tracectl query"):
        stranger.rows("SELECT 1")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM pg_catalog.pg_shadow",
        "DROP TABLE blocks",
        "SELECT 1; SELECT 2",
        "ATTACH '/tmp/x.db'",
        "SELECT * FROM no_such_asset",
    ],
)
def test_what_is_no_select_over_published_assets_is_refused(trace, sql):
    with pytest.raises(ClusterError):
        trace.admin.rows(sql)


def second(trace: Installation, name: str) -> dict:
    """The example under another name, publishing nothing."""
    dag = copy.deepcopy(trace.manifest[0])
    dag["metadata"]["name"] = name
    del dag["spec"]["publish"]
    return dag


def test_a_deleted_dag_drains_and_leaves_nothing_behind(trace):
    name = "short"
    trace.apply(second(trace, name))
    trace.wait("it runs", lambda: trace.kube.condition("dag", name, "Ready")[0] == "True")
    labels = f"trace.dev/dag={name}"
    trace.wait("its follower runs", lambda: bool(trace.running(f"{labels},trace.dev/job=follow")))
    trace.kube.kubectl("delete", "dag", name, "--timeout=90s")
    kinds = "pods,deployments,tjob,assets"
    trace.wait("all it owned is gone", lambda: not trace.kube.items(kinds, "--selector", labels))
    trace.prove()


def test_the_installation_is_used_from_outside_by_address_and_token_alone(trace):
    """`tracectl query` needs no kubeconfig."""
    environment = {"PATH": os.environ["PATH"], "TRACE_QUERY_URL": trace.admin.url, "TRACE_TOKEN": trace.admin.token}
    done = subprocess.run(
        [".venv/bin/tracectl", "query", "-n", Kube("trace").namespace, "-o", "csv", "SELECT 6 * 7 AS answer"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["answer", "42"], done.stderr
