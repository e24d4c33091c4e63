"""One controller, from an applied DAG to pods and statuses, and back when somebody interferes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from kubernetes import client

from tests.apiserver.reconcile.world import PROJECTED_ASSETS, PROJECTED_JOBS, World
from tests.support import scrape

pytestmark = pytest.mark.apiserver


def test_an_applied_dag_comes_about(world: World) -> None:
    world.led()
    dag = world.running_chain()
    assert dag["metadata"]["finalizers"] == ["trace.dev/drain"]
    assert dag["status"]["observedGeneration"] == dag["metadata"]["generation"]
    (named,) = world.sql("SELECT number, left(spec_hash, 8) AS hash FROM dag_versions")
    assert dag["status"]["activeVersion"] == f"v{named['number']}-{named['hash']}"
    assert world.names("jobs") == PROJECTED_JOBS
    assert world.names("assets") == PROJECTED_ASSETS
    (deployment,) = world.deployments()
    owner = deployment.metadata.owner_references[0]
    assert (owner.kind, owner.uid, owner.controller) == ("DAG", dag["metadata"]["uid"], True)
    assert deployment.metadata.managed_fields[0].manager == "trace-controller"
    pod = deployment.spec.template.spec
    assert pod.automount_service_account_token is False
    assert [v.secret.secret_name for v in pod.volumes if v.secret] == ["trace-worker", "rpcpool-local"]
    (projected,) = [v.projected for v in pod.volumes if v.projected]
    assert [(s.secret.name, s.secret.items[0].key, s.secret.optional) for s in projected.sources] == [
        ("trace-worker", "dsn", None),
        ("trace-worker", "ca.crt", True),
    ]
    assert world.holds("jobs", "chain.follow", "Ready")
    world.until(lambda: world.holds("assets", "hot-blocks", "Ready"), "the asset is ready")
    expected = {"Deployed", "SourceStarted", "Ready"}
    world.until(lambda: expected <= set(world.events()), "the Events are posted")


def small(dag: str, job: str) -> dict[str, Any]:
    """A DAG with a source alone."""
    follow = {
        "activation": "Source",
        "runtime": "Pod",
        "operator": "block_follower",
        "source": {"kind": "AlwaysOn"},
    }
    follow |= {"name": job, "outputs": ["blocks", "transactions", "logs"], "updateStrategy": "Replace"}
    follow |= {"config": {"chainId": 31337, "rpcPool": "local", "startBlock": 0, "finalityDepthBlocks": 6}}
    return {
        "apiVersion": "trace.dev/v1alpha1",
        "kind": "DAG",
        "metadata": {"name": dag},
        "spec": {"jobs": [follow]},
    }


def test_two_jobs_whose_names_read_the_same_run_side_by_side(world: World) -> None:
    world.led()
    world.apply(small("a", "b-follow"))
    world.apply(small("a-b", "follow"))
    world.until(lambda: len(world.deployments()) == 2, "two Deployments")
    world.provision()
    world.source_up()
    for dag, job in (("a", "a.b-follow"), ("a-b", "a-b.follow")):
        world.until(lambda dag=dag: world.holds("dags", dag, "Ready"), f"{dag} is ready")  # type: ignore[misc]
        assert world.holds("jobs", job, "Ready")
    assert "NameTaken" not in world.events()


def test_a_source_that_an_older_release_named_is_replaced_and_never_doubled(world: World) -> None:
    controller = world.led()
    world.running_chain()
    controller.stop()
    (made,) = world.deployments()
    older = {"metadata": {"name": "chain-follow-00000000", "labels": made.metadata.labels}, "spec": made.spec}
    older["metadata"]["owner_references"] = made.metadata.owner_references
    world.apps.delete_namespaced_deployment(made.metadata.name, world.namespace)
    world.apps.create_namespaced_deployment(
        world.namespace, client.V1Deployment(**older | {"metadata": client.V1ObjectMeta(**older["metadata"])})
    )
    world.led(lease_name="next")
    # Nothing collects garbage here: the Deployment stays, as it does elsewhere while its pods end.
    leaving = world.until(
        lambda: (d := world.deployments()[0]).metadata.deletion_timestamp and d, "the older one is being deleted"
    )
    assert leaving.metadata.finalizers == ["foregroundDeletion"]
    world.until(lambda: world.holds("jobs", "chain.follow", "Ready", "False", "SourceStarting"), "it waits")
    assert [d.metadata.name for d in world.deployments()] == ["chain-follow-00000000"]
    world.apps.patch_namespaced_deployment(
        "chain-follow-00000000", world.namespace, {"metadata": {"finalizers": None}}
    )
    world.until(lambda: [d.metadata.name for d in world.deployments()] == [made.metadata.name], "its successor")


def test_what_a_source_reports_makes_the_dag_unready_and_ready_again(world: World) -> None:
    world.led(RECONCILE_SECONDS="600")  # only a notification makes it look
    world.running_chain()
    world.claim("source", job="follow")

    world.report("follow", healthy=False, message="provider 0: HTTP 401: not authorised")
    world.until(lambda: world.holds("dags", "chain", "Ready", "False", "SourceStalled"), "the source is stalled")
    said = world.condition("dags", "chain", "Ready")["message"]
    assert said == "follow: provider 0: HTTP 401: not authorised"
    assert world.holds("jobs", "chain.follow", "Ready", "False", "SourceStalled")
    assert world.holds("dags", "chain", "Degraded", "False")

    world.report("follow", healthy=True, message="following")
    world.until(lambda: world.holds("dags", "chain", "Ready"), "it is ready by itself")

    world.report("follow", healthy=False, message="no answer")
    world.until(lambda: world.holds("dags", "chain", "Ready", "False", "SourceStalled"), "the source is stalled")
    world.sql("UPDATE tasks SET lease_expires_at = now() WHERE status = 'Running'")
    world.sql("SELECT pg_notify('trace_wake', id::text) FROM jobs WHERE name = 'follow'")
    world.until(lambda: world.holds("dags", "chain", "Ready"), "the report ended with its lease")


def test_an_invalid_update_leaves_the_running_version_at_work(world: World) -> None:
    world.led()
    before = world.running_chain()["status"]
    world.apply(world.federated())
    world.until(lambda: world.holds("assets", "blocks", "Ready"), "the federated asset is ready")
    spec = world.chain()["spec"]
    spec["jobs"][1]["inputs"][0]["from"]["job"] = "nobody"
    spec["jobs"][2]["operator"] = "unheard_of"
    world.patch("dags", "chain", {"spec": spec})
    world.until(lambda: world.holds("dags", "chain", "Valid", "False", "Invalid"), "the problems show")
    message = world.condition("dags", "chain", "Valid")["message"]
    assert "spec.jobs[1].inputs[0].from.job" in message
    assert "spec.jobs[2].operator" in message
    after = (world.get("dags", "chain") or {})["status"]
    assert (after["activeVersion"], after["specHash"]) == (before["activeVersion"], before["specHash"])
    assert world.holds("dags", "chain", "Ready", "False", "Invalid")
    tightened = world.patch("assets", "blocks", {"spec": {"readRoles": ["finance"]}})["metadata"]["generation"]
    asset = world.until(
        lambda: (a := world.get("assets", "blocks")) and a["status"]["observedGeneration"] == tightened and a,
        "the asset's change is seen",
    )
    assert world.holds("assets", "blocks", "Ready"), asset["status"]
    assert world.sql("SELECT read_roles FROM assets WHERE name = 'blocks'") == [{"read_roles": ["finance"]}]
    assert world.names("jobs") == PROJECTED_JOBS
    world.enqueue(1)
    world.until(lambda: "w0" in world.pods(), "the running version still gets workers")
    world.patch("dags", "chain", {"spec": world.chain()["spec"]})
    world.until(lambda: world.holds("dags", "chain", "Ready"), "the corrected spec is ready")
    assert len(world.sql("SELECT 1 AS n FROM dag_versions")) == 1


def test_a_wrong_statement_is_told_with_its_place_and_nothing_is_deployed(world: World) -> None:
    world.led()
    dag = world.chain()
    jobs = dag["spec"]["jobs"]
    dag["spec"]["jobs"] = [*jobs, summing("SELECT block_number, gas\n  FROM blocks; -- all")]
    world.apply(dag)
    world.until(lambda: world.holds("dags", "chain", "Valid", "False", "Invalid"), "the problem shows")
    said = world.condition("dags", "chain", "Valid")["message"]
    assert "spec.jobs[3].config.sql: line 2, column 8: no input of the job is called 'blocks'" in said
    assert (world.names("jobs"), world.sql("SELECT id FROM dag_versions")) == ([], [])

    world.apply(world.federated())  # now `blocks` is a relation, over two of the job's inputs
    told = '"gas" not found'
    world.until(lambda: told in world.condition("dags", "chain", "Valid")["message"], "it is read again")
    sql = "SELECT block_number, gas_used AS gas\n  FROM blocks; -- all"
    world.patch("dags", "chain", {"spec": {"jobs": [*jobs, summing(sql)]}})
    world.until(lambda: world.holds("dags", "chain", "Valid"), "a right one is taken")
    world.until(lambda: world.sql("SELECT 1 AS n FROM jobs WHERE name = 'sum'"), "and deployed")


def summing(sql: str) -> dict[str, Any]:
    """A job of operator `query` over the blocks of the example, hot and cold."""
    return {
        "name": "sum",
        "activation": "Reactive",
        "runtime": "Pod",
        "operator": "query",
        "inputs": [
            {"from": {"job": "ranges", "output": "ranges"}},
            {"from": {"job": "follow", "output": "blocks"}, "trigger": False},
            {"from": {"job": "compact", "output": "blocks"}, "trigger": False},
        ],
        "executionStrategy": "PerPartition",
        "config": {
            "sql": sql,
            "columns": [{"name": "block_number", "type": "Int64"}, {"name": "gas", "type": "UInt256"}],
            "scopeColumn": "block_number",
            "uniqueKey": ["block_number"],
        },
        "outputs": ["gas"],
        "updateStrategy": "Replace",
    }


def test_scaling_is_changed_without_a_new_generation(world: World) -> None:
    world.led()
    world.running_chain()
    world.enqueue(9)
    world.until(lambda: len(world.pods()) == 2, "two workers")
    spec = world.chain()["spec"]
    spec["jobs"][2]["scaling"]["maxWorkers"] = 4
    world.patch("dags", "chain", {"spec": spec})
    world.until(lambda: len(world.pods()) == 4, "four workers")
    assert len(world.sql("SELECT 1 AS n FROM jobs")) == 3
    assert len(world.sql("SELECT 1 AS n FROM dag_versions")) == 2


def test_drift_of_every_owned_object_is_put_right_and_counted(world: World) -> None:
    controller = world.led()
    world.running_chain()
    (deployment,) = world.deployments()
    name = deployment.metadata.name
    world.apps.patch_namespaced_deployment(name, world.namespace, {"spec": {"replicas": 3, "paused": True}})
    world.until(
        lambda: (d := world.deployments()[0]).spec.replicas == 1 and not d.spec.paused and d,
        "the Deployment is right",
    )
    world.patch("jobs", "chain.compact", {"spec": {"nodeSelector": {"disk": "ssd"}, "rebuildToken": "x"}})
    world.until(
        lambda: (j := world.get("jobs", "chain.compact")) and "nodeSelector" not in j["spec"], "the Job is right"
    )
    world.delete("jobs", "chain.ranges")
    world.until(lambda: world.get("jobs", "chain.ranges"), "the deleted projection is back")
    world.delete("assets", "hot-logs")
    world.until(lambda: world.holds("assets", "hot-logs", "Ready"), "the deleted Asset is back")
    world.apps.delete_namespaced_deployment(name, world.namespace)
    world.until(world.deployments, "the deleted Deployment is back")
    scrape.check(controller.get("/metrics").text, "controller")
    assert controller.metric('trace_reconcile_drift_corrections_total{kind="Deployment"}') >= 1
    assert controller.metric('trace_reconcile_drift_corrections_total{kind="Job"}') >= 1


def test_nothing_is_written_when_nothing_changes(world: World) -> None:
    controller = world.led()
    world.running_chain()
    world.until(lambda: world.holds("assets", "cold-logs", "Ready"), "the last asset is ready")

    def versions() -> dict[str, str]:
        found = {d.metadata.name: d.metadata.resource_version for d in world.deployments()}
        for plural in ("dags", "jobs", "assets"):
            for name in world.names(plural):
                found[f"{plural}/{name}"] = (world.get(plural, name) or {})["metadata"]["resourceVersion"]
        # A write that changes nothing still locks its row, which shows in xmax.
        rows = world.sql("SELECT name, concat_ws('/', ctid, xmin, xmax) AS version FROM assets")
        return found | {f"state/{row['name']}": row["version"] for row in rows}

    def quiet_for(runs: int) -> bool:
        """Whether the versions stayed the same over that many further reconciles."""
        before = versions()
        total = 'trace_reconcile_total{kind="DAG",result="ok"}'
        goal = controller.metric(total) + runs
        world.until(lambda: controller.metric(total) >= goal, "further reconciles")
        # The source task waits in this world, so its age is the one thing that may change.
        after = versions()
        ages = {"jobs/chain.follow"}
        return {k: v for k, v in before.items() if k not in ages} == {
            k: v for k, v in after.items() if k not in ages
        }

    world.until(lambda: quiet_for(4), "four reconciles without a write")


def test_a_hand_written_job_joins_its_dag(world: World) -> None:
    world.led()
    job = {
        "apiVersion": "trace.dev/v1alpha1",
        "kind": "Job",
        "metadata": {"name": "more-ranges"},
        "spec": {k: v for k, v in world.chain()["spec"]["jobs"][1].items() if k != "name"} | {"dag": "chain"},
    }
    world.apply(job)
    world.until(
        lambda: world.holds("jobs", "more-ranges", "Valid", "False", "DagNotFound"), "a Job without its DAG says so"
    )
    world.running_chain()
    world.until(lambda: world.holds("jobs", "more-ranges", "Ready"), "it runs")
    assert world.sql("SELECT count(*) AS n FROM jobs") == [{"n": 4}]
    assert "ownerReferences" not in (world.get("jobs", "more-ranges") or {})["metadata"]
    world.patch("jobs", "more-ranges", {"spec": {"paused": True}})
    world.until(lambda: world.sql("SELECT 1 AS n FROM jobs WHERE name = 'more-ranges' AND paused"), "it is paused")
    world.patch("jobs", "more-ranges", {"spec": {"operator": "unheard_of"}})
    world.until(lambda: world.holds("jobs", "more-ranges", "Valid", "False"), "its own problem shows on it")
    assert "spec.operator" in world.condition("jobs", "more-ranges", "Valid")["message"]
    world.until(lambda: world.holds("dags", "chain", "Valid", "False"), "and on the DAG")


def test_conditions_of_another_writer_survive(world: World) -> None:
    world.led()
    world.running_chain()
    theirs = {
        "type": "Reviewed",
        "status": "True",
        "reason": "ByHand",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    conditions = (world.get("dags", "chain") or {})["status"]["conditions"]
    world.objects.patch_namespaced_custom_object_status(
        "trace.dev", "v1alpha1", world.namespace, "dags", "chain", {"status": {"conditions": [*conditions, theirs]}}
    )
    spec = world.chain()["spec"]
    spec["jobs"][2]["operator"] = "unheard_of"
    world.patch("dags", "chain", {"spec": spec})
    world.until(lambda: world.holds("dags", "chain", "Valid", "False"), "our condition changes")
    assert world.holds("dags", "chain", "Reviewed", "True", "ByHand")


def test_a_bundle_says_that_it_is_not_supported(world: World) -> None:
    world.led()
    spec = {"language": "Python", "uri": "s3://bundles/code.zip", "sha256": "a" * 64}
    world.apply({"apiVersion": "trace.dev/v1alpha1", "kind": "Bundle", "metadata": {"name": "code"}, "spec": spec})
    world.until(lambda: world.holds("bundles", "code", "Valid", "False", "NotSupported"), "the Bundle says so")


def warn(world: World, pod: Any, reason: str, message: str) -> None:
    """Play the kubelet: an Event about a pod, which is all that it says of a mount."""
    about = {"kind": "Pod", "apiVersion": "v1", "namespace": world.namespace, "name": pod.metadata.name}
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    event = {"metadata": {"generateName": "kubelet-"}, "type": "Warning", "reason": reason, "message": message}
    event |= {"involvedObject": about | {"uid": pod.metadata.uid}, "firstTimestamp": now, "lastTimestamp": now}
    world.core.create_namespaced_event(world.namespace, event)


def test_a_misspelt_rpc_pool_is_named_by_the_source_and_the_dag(world: World) -> None:
    world.led()
    world.apply(world.chain())
    (deployment,) = world.until(world.deployments, "the source has a Deployment")
    world.provision()
    template = deployment.spec.template
    template.spec.node_name = "node-1"
    metadata = client.V1ObjectMeta(name="follower", labels=template.metadata.labels)
    follower = world.core.create_namespaced_pod(
        world.namespace, client.V1Pod(metadata=metadata, spec=template.spec)
    )
    warn(
        world,
        follower,
        "FailedMount",
        'MountVolume.SetUp failed for volume "rpc-0" : secret "rpcpool-local" not found',
    )
    world.until(lambda: world.holds("jobs", "chain.follow", "Ready", "False", "FailedMount"), "the source says why")
    world.until(lambda: world.holds("dags", "chain", "Degraded", "True", "FailedMount"), "and then its DAG does")
    said = world.condition("dags", "chain", "Ready")["message"]
    assert "rpcPool local is Secret rpcpool-local with key urls: make it" in said
    ready = {"type": "PodReadyToStartContainers", "status": "True"}
    world.core.patch_namespaced_pod_status(
        "follower", world.namespace, {"status": {"phase": "Running", "conditions": [ready]}}
    )
    world.until(lambda: world.holds("dags", "chain", "Degraded", "False"), "the Secret was made")
