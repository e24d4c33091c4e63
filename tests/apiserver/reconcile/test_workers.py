"""Worker pods of a job, on a real API server: when they come and go, and whose doing their ends were."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kubernetes import client

from tests.apiserver.reconcile.world import World

pytestmark = pytest.mark.apiserver


def busy_worker(world: World) -> Any:
    """The pod of the one worker of the running example, which holds a task."""
    world.led()
    world.running_chain()
    world.enqueue(1)
    pod = world.until(lambda: world.pods().get("w0"), "a worker")
    world.claim(f"{pod.metadata.name}.{pod.metadata.uid}")
    return pod


def test_a_queue_gets_workers_and_their_end_is_seen(world: World) -> None:
    world.led()
    world.running_chain()
    world.enqueue(5)
    world.until(lambda: set(world.pods()) == {"w0", "w1"}, "two workers, the maximum")
    world.until(
        lambda: (
            (job := world.get("jobs", "chain.compact"))
            and [job["status"].get(count) for count in ("queued", "workers", "desiredWorkers")] == [5, 2, 2]
        ),
        "the queue and its workers show",
    )
    world.sql(
        "UPDATE tasks SET status = 'Completed', finished_at = now() WHERE status = 'Queued' AND cause = 'Event'"
    )
    for slot in ("w0", "w1"):
        world.set_pod(slot, {"phase": "Succeeded"})
    world.until(lambda: not world.pods(), "finished workers are gone, and none is started without work")


def container(name: str, state: dict[str, Any]) -> dict[str, Any]:
    """A container as the kubelet tells of it."""
    return {"name": name, "image": "x", "imageID": "", "ready": False, "restartCount": 0, "state": state}


def made_at(pod: Any) -> str:
    """When a pod was made, by the API server's clock."""
    return str(pod.metadata.creation_timestamp.strftime("%Y-%m-%dT%H:%M:%SZ"))


def test_workers_that_ended_beside_a_running_sidecar_make_room_for_others(world: World) -> None:
    world.led()
    world.running_chain()
    world.enqueue(9)
    world.until(lambda: set(world.pods()) == {"w0", "w1"}, "two workers, the maximum")
    former = {pod.metadata.uid for pod in world.pods().values()}
    proxy = container("istio-proxy", {"running": {"startedAt": "2026-01-01T00:00:00Z"}})
    done = {"exitCode": 0, "reason": "Completed", "finishedAt": "2026-01-01T00:00:00Z"}
    for slot in ("w0", "w1"):
        statuses = [proxy, container("worker", {"terminated": done})]
        world.set_pod(slot, {"phase": "Running", "containerStatuses": statuses})
    world.until(
        lambda: (
            set(pods := world.pods()) == {"w0", "w1"} and not former & {pod.metadata.uid for pod in pods.values()}
        ),
        "both slots have new workers",
    )


def test_a_task_that_overfills_its_scratch_spends_attempts_and_says_so(world: World) -> None:
    pod = busy_worker(world)
    message = 'Usage of EmptyDir volume "scratch" exceeds the limit "4Gi". '
    world.set_pod("w0", {"phase": "Failed", "reason": "Evicted", "message": message, "startTime": made_at(pod)})
    world.until(lambda: world.holds("jobs", "chain.compact", "Degraded", "True", "ScratchFull"), "the Job says so")
    assert "workers.scratchSize" in world.condition("jobs", "chain.compact", "Degraded")["message"]
    (attempt,) = world.sql("SELECT result, error ->> 'code' AS code FROM task_attempts")
    assert attempt == {"result": "Failed", "code": "ScratchFull"}
    assert world.sql("SELECT status, attempt FROM tasks WHERE cause = 'Event'") == [
        {"status": "Failed", "attempt": 1}
    ]
    assert world.pods()["w0"].metadata.uid == pod.metadata.uid, "the next worker waits"


def test_an_out_of_memory_kill_ends_the_attempt_and_shows_on_the_job(world: World) -> None:
    pod = busy_worker(world)
    # The kubelet's clock says "now": the pod is kept for its backoff, so that its reason can be read.
    over = {"exitCode": 137, "reason": "OOMKilled", "finishedAt": made_at(pod)}
    world.set_pod("w0", {"phase": "Failed", "containerStatuses": [container("worker", {"terminated": over})]})
    attempt = world.until(lambda: world.sql("SELECT * FROM task_attempts"), "the attempt ended")[0]
    assert attempt["error"]["code"] == "OOMKilled"
    assert world.sql("SELECT status FROM tasks WHERE cause = 'Event'") == [{"status": "Failed"}]
    world.until(lambda: "WorkerFailed" in world.events(), "the Event is posted")


def test_an_eviction_hands_the_task_back_unspent(world: World) -> None:
    pod = busy_worker(world)
    world.set_pod("w0", {"phase": "Failed", "reason": "Evicted", "message": "low on memory"})
    world.until(
        lambda: world.sql("SELECT 1 AS n FROM tasks WHERE cause = 'Event' AND status = 'Queued'"),
        "the task waits again",
    )
    world.until(lambda: (p := world.pods().get("w0")) and p.metadata.uid != pod.metadata.uid, "a new worker")


def refused(world: World) -> bool:
    """Whether the server would refuse a pod."""
    pod = {"metadata": {"name": "tried"}, "spec": {"containers": [{"name": "tried", "image": "none"}]}}
    try:
        world.core.create_namespaced_pod(world.namespace, pod, dry_run="All")
    except client.ApiException as error:
        return error.status == 403 and "exceeded quota" in error.body
    return False


def test_a_quota_is_told_and_not_hammered(world: World) -> None:
    controller = world.led()
    world.running_chain()
    world.core.create_namespaced_resource_quota(
        world.namespace, {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    )
    # No controller manager here: the quota counts from the status that it would set.
    world.core.patch_namespaced_resource_quota_status(
        "none", world.namespace, {"status": {"hard": {"pods": "0"}, "used": {"pods": "0"}}}
    )
    world.until(lambda: refused(world), "the server has heard of its quota")
    world.enqueue(3)
    world.until(
        lambda: world.holds("jobs", "chain.compact", "Degraded", "True", "PodsRefused"),
        "the quota shows on the Job",
    )
    assert "exceeded quota" in world.condition("jobs", "chain.compact", "Degraded")["message"]
    assert world.pods() == {}
    errors = 'trace_kubernetes_api_errors_total{resource="pods",status="403",verb="create"}'
    assert controller.metric(errors) <= 10


def test_what_an_installation_and_a_job_add_to_pods_is_admitted_by_the_restricted_standard(world: World) -> None:
    enforce = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    client.CoreV1Api(world.api).patch_namespace(world.namespace, enforce)
    account = {"metadata": {"name": "reader"}, "automountServiceAccountToken": True}
    world.core.create_namespaced_service_account(world.namespace, account)
    shared = {
        "imagePullSecrets": ["registry"],
        "jobServiceAccounts": ["reader"],
        "annotations": {"sidecar.istio.io/inject": "true"},
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}],
        "securityContext": {"fsGroup": 2000, "seLinuxOptions": {"level": "s0:c1,c2"}},
    }
    world.led(WORKER_PODS=json.dumps(shared))
    dag = world.chain()
    dag["spec"]["jobs"][2] |= {"serviceAccountName": "reader", "pod": {"labels": {"team": "x"}, "runAsUser": 3000}}
    dag["spec"]["jobs"][0] |= {"serviceAccountName": "stranger"}
    world.apply(dag)
    world.until(lambda: world.sql("SELECT 1 AS n FROM jobs"), "it is deployed")
    world.provision()
    world.enqueue(1)
    pod = world.until(lambda: world.pods().get("w0"), "a worker is admitted")
    assert [secret.name for secret in pod.spec.image_pull_secrets] == ["registry"]
    assert (pod.spec.service_account_name, pod.metadata.labels["team"]) == ("reader", "x")
    sources = [one for volume in pod.spec.volumes if volume.projected for one in volume.projected.sources]
    assert not [one for one in sources if one.service_account_token], "no token is mounted"
    world.until(
        lambda: world.holds("jobs", "chain.follow", "Degraded", "True", "NotAllowed"),
        "an account that is not for jobs is refused",
    )
    assert "stranger" in world.condition("jobs", "chain.follow", "Degraded")["message"]
    assert world.deployments() == []


def test_pods_pass_the_restricted_standard(world: World) -> None:
    enforce = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    client.CoreV1Api(world.api).patch_namespace(world.namespace, enforce)
    world.led()
    world.running_chain()
    world.enqueue(1)
    world.until(lambda: "w0" in world.pods(), "a worker is admitted")
    template = world.deployments()[0].spec.template
    bare = client.V1Pod(metadata=client.V1ObjectMeta(name="as-source"), spec=template.spec)
    world.core.create_namespaced_pod(world.namespace, bare, dry_run="All")
