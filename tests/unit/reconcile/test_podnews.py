"""Why a pod does not begin: what its kubelet says in Events, in words that name what to make."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.unit.reconcile.builders import NOW, ago, facts, job, observed, observed_without_source, pod, waiting
from traceplane.reconcile import workers
from traceplane.reconcile.decide import decide
from traceplane.reconcile.podfacts import fact_of
from traceplane.reconcile.podnews import explained, is_stuck
from traceplane.reconcile.podreasons import Fault

CREATING = waiting("ContainerCreating")
MISSING = 'MountVolume.SetUp failed for volume "rpc-0" : secret "rpcpool-lokal" not found'
NO_KEY = 'MountVolume.SetUp failed for volume "worker" : references non-existent secret key: token'


def stuck(status: dict[str, Any] = CREATING, age: float = 20.0, **changes: Any) -> dict[str, Any]:
    """A pod that its kubelet has, and does not start."""
    found = pod(0, status, creationTimestamp=ago(age))
    found["spec"] = {**found["spec"], "nodeName": "node-1"} | changes
    return found


def warning(reason: str, message: str, age: float = 5.0, **times: Any) -> dict[str, Any]:
    return {"reason": reason, "message": message, "lastTimestamp": ago(age), **times}


def told(waits: dict[str, Any], *warnings: dict[str, Any]) -> tuple[str, str]:
    fact = explained(waits, fact_of(waits), warnings, NOW)
    return fact.reason, fact.message


def test_only_pods_that_wait_for_long_on_a_node_are_asked_about() -> None:
    def asked(found: dict[str, Any]) -> bool:
        return is_stuck(found, fact_of(found), NOW)

    assert asked(stuck())
    assert asked(stuck(waiting("ImagePullBackOff")))
    assert not asked(stuck(age=9))
    assert not asked(stuck(nodeName=None))
    assert not asked(stuck({"phase": "Running"}))
    assert not asked(stuck(waiting("CreateContainerConfigError"))), "its status says why"


def test_a_secret_that_is_missing_is_named_with_what_asks_for_it() -> None:
    built = workers.worker(observed_without_source(), job("follow"))
    assert built.rpc_pools == ("local",)
    follower = stuck(volumes=pod(0, of=job("follow"))["spec"]["volumes"])
    follower["spec"]["containers"] = pod(0, of=job("follow"))["spec"]["containers"]
    reason, message = told(follower, warning("FailedMount", MISSING))
    assert reason == "FailedMount"
    assert 'secret "rpcpool-lokal" not found; rpcPool local is Secret rpcpool-local with key urls' in message
    assert told(stuck(), warning("FailedMount", NO_KEY))[1].endswith(
        "the pod needs Secret trace-worker with key token"
    )
    other = 'MountVolume.SetUp failed for volume "vault" : configmap "vault-ca" not found'
    assert told(stuck(), warning("FailedMount", other)) == ("FailedMount", other)


def test_a_pull_secret_that_is_missing_is_named_where_the_image_is_not_pulled() -> None:
    lost = warning("FailedToRetrieveImagePullSecret", "Unable to retrieve some image pull secrets (registry);")
    reason, message = told(stuck(waiting("ImagePullBackOff")), lost)
    assert reason == "ImagePullBackOff"
    assert message.startswith("Unable to retrieve some image pull secrets (registry); because of ImagePullBackOff")
    assert told(stuck(), lost) == ("", ""), "the image may be on the node"


def test_the_newest_warning_counts_and_one_that_is_over_does_not() -> None:
    older, newer = warning("FailedMount", "old", 100), warning("FailedCreatePodSandBox", "new", 5)
    assert told(stuck(), newer, older) == ("FailedCreatePodSandBox", "new")
    assert told(stuck(), warning("FailedMount", "long ago", 901)) == ("", "")
    assert told(stuck(), warning("FailedMount", "told of seldom", 610)) == ("FailedMount", "told of seldom")
    repeated = warning("FailedMount", "again", 1800, lastTimestamp=None, eventTime=ago(1800))
    assert told(stuck(), repeated | {"series": {"lastObservedTime": ago(5)}}) == ("FailedMount", "again")
    assert told(stuck(), warning("Unhealthy", "probe")) == ("", "")


def test_what_was_mounted_in_the_end_is_no_reason() -> None:
    mounted = CREATING | {"conditions": [{"type": "PodReadyToStartContainers", "status": "True"}]}
    assert told(stuck(mounted), warning("FailedMount", MISSING)) == ("", "")


@pytest.mark.parametrize("age", [1.0, 20.0])
def test_a_pod_that_does_not_begin_is_looked_at_again_and_shown(age: float) -> None:
    waits = stuck(age=age)
    warnings = {waits["metadata"]["uid"]: [warning("FailedMount", NO_KEY)]}
    plan = decide(observed(facts=facts(job(queued=1)), pods=(waits,), warnings=warnings))
    assert plan.next_in == pytest.approx(10)
    (fact,) = plan.workers["compact"].trouble
    assert (fact.reason, fact.fault) == ("FailedMount", Fault.SETUP)
    later = NOW + timedelta(seconds=1000)
    assert decide(observed(now=later, pods=(waits,), warnings=warnings)).workers["compact"].trouble == ()


def test_a_pod_that_ended_after_a_mount_was_late_is_not_explained_by_it() -> None:
    unmounted = {"type": "PodReadyToStartContainers", "status": "False"}
    ended = stuck({"phase": "Succeeded", "conditions": [unmounted]})
    assert explained(ended, fact_of(ended), [warning("FailedMount", MISSING)], NOW) == fact_of(ended)
