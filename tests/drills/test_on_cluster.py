"""Failure drills on the whole cluster. Each ends with the proof: every row equals the chain, none lost or doubled.

The parts that fail are the real ones: pods are taken away without grace, processes are killed and stopped on the
node, the object store goes away while blocks keep coming. Where an alert speaks of a fault, it has to fire in a
real Prometheus, and to clear. What takes long to see is wrong from the first drill on, in DAGs of its own, until
the last ones.
"""

from __future__ import annotations

import copy
import os
import signal
from collections.abc import Iterator

import pytest

from hack.demo import chain
from tests.services.installation import BLOCK_SECONDS, DAG, Installation
from tests.support.alarms import Alarms
from tests.support.asking import LARGE, asking
from tests.support.wrong_dags import SOURCE, STATEMENT, Wrong, wrong_dags

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

FOLLOW = f"trace.dev/dag={DAG},trace.dev/job=follow"
COMPACT = f"trace.dev/dag={DAG},trace.dev/job=compact"
CONTROLLER = "app.kubernetes.io/component=controller"
DISPATCHER = "app.kubernetes.io/component=dispatcher"
POSTGRES = "app.kubernetes.io/component=postgres"


def one(trace: Installation, labels: str) -> dict:
    """A pod that runs now; seen once, since a worker that is idle may leave the moment after."""
    seen: list[dict] = []

    def look() -> bool:
        seen[:] = trace.running(labels)
        return bool(seen)

    trace.wait(f"a pod of {labels} runs", look)
    return seen[0]


def follower(trace: Installation) -> dict:
    return one(trace, FOLLOW)


def worker(trace: Installation) -> dict:
    """A compacting worker, which comes with the next final range."""
    return one(trace, COMPACT)


def signaled(trace: Installation, labels: str, number: signal.Signals) -> int:
    """Send a signal to the process of a pod that runs; its id.

    An idle worker leaves by itself, perhaps between the look at its pod and the one at its process: then another
    one is looked for.
    """
    sent: list[int] = []

    def look() -> bool:
        for pod in trace.running(labels):
            process = trace.process(pod)
            if process is None:
                continue
            try:
                os.kill(process, number)
            except ProcessLookupError:
                continue
            sent.append(process)
            return True
        return False

    trace.wait(f"a process of {labels} is sent {number.name}", look)
    return sent[0]


def attempts(trace: Installation, job: str) -> int:
    """Attempts of a job's tasks that ended, by the state database's own history."""
    return int(trace.psql("trace_state", f"""
        SELECT count(*) FROM task_attempts a JOIN tasks t ON t.id = a.task_id JOIN jobs j ON j.id = t.job_id
         WHERE j.dag = '{DAG}' AND j.name = '{job}' AND a.result <> 'Completed'"""))  # fmt: skip


def blocks_pass(trace: Installation, count: int) -> None:
    """Wait until the chain has grown: time, told by the chain."""
    until = trace.head() + count
    trace.wait(f"the chain reaches block {until}", lambda: trace.head() >= until)


def nothing_is_left_over(trace: Installation) -> None:
    """No task of the example is dead, and none is running without a lease that lives."""
    dead = f"SELECT count(*) FROM tasks t JOIN jobs j ON j.id = t.job_id WHERE j.dag = '{DAG}' AND " \
            "t.status = 'Failed' AND t.finished_at IS NOT NULL"  # fmt: skip
    assert trace.psql("trace_state", dead) == "0"
    stuck = "SELECT count(*) FROM tasks WHERE status = 'Running' AND lease_expires_at < now() - interval '1 minute'"
    assert trace.psql("trace_state", stuck) == "0"


def recovered(trace: Installation) -> None:
    trace.prove_new_ranges()
    nothing_is_left_over(trace)


@pytest.fixture(scope="module", autouse=True)
def wrong(trace: Installation, alarms: Alarms) -> Iterator[Wrong]:
    """What is wrong while the drills run, and seen by Prometheus."""
    with wrong_dags(trace) as applied:
        yield applied


def test_a_worker_pod_is_deleted(trace):
    trace.delete_pod(worker(trace))
    recovered(trace)


def test_a_worker_is_killed_in_its_pod(trace):
    signaled(trace, COMPACT, signal.SIGKILL)
    recovered(trace)


def test_the_follower_is_killed_in_its_pod(trace):
    before = attempts(trace, "follow")
    signaled(trace, FOLLOW, signal.SIGKILL)
    trace.wait("its attempt ended", lambda: attempts(trace, "follow") > before)
    recovered(trace)


def test_the_followers_pod_is_deleted(trace):
    trace.delete_pod(follower(trace))
    recovered(trace)


def test_the_dispatcher_is_restarted(trace):
    pod = trace.one(DISPATCHER)
    trace.delete_pod(pod)
    trace.wait("another dispatcher serves", lambda: bool(trace.running(DISPATCHER)))
    recovered(trace)


def test_the_controller_is_restarted_and_touches_no_pod(trace):
    source = follower(trace)["metadata"]["uid"]
    pod = trace.one(CONTROLLER)
    trace.delete_pod(pod)
    trace.wait("another controller leads", lambda: bool(trace.running(CONTROLLER)))
    recovered(trace)
    assert follower(trace)["metadata"]["uid"] == source


def test_a_second_postgres_would_wait_for_the_first(trace):
    """A pod deleted by force may serve on while its successor starts: two servers would ruin the data."""
    pod = trace.one(POSTGRES)
    locked = "flock --nonblock /var/lib/postgresql/data/server.lock true && echo free || echo locked"
    said = trace.kube.kubectl("exec", pod["metadata"]["name"], "--container", "postgres", "--", "sh", "-c", locked)
    assert said.strip() == "locked"


def test_postgres_is_away(trace, alarms):
    pod = trace.one(POSTGRES)
    trace.kube.kubectl("scale", "statefulset", "trace-postgres", "--replicas=0")
    try:
        trace.delete_pod(pod)
        alarms.fires("TraceStoreAway", store="state")
        alarms.fires("TraceStoreAway", store="data")
    finally:
        trace.kube.kubectl("scale", "statefulset", "trace-postgres", "--replicas=1")
    trace.wait(
        "another Postgres serves",
        lambda: (
            [found["metadata"]["uid"] for found in trace.running(POSTGRES)] not in ([], [pod["metadata"]["uid"]])
        ),
    )
    recovered(trace)
    alarms.clears("TraceStoreAway")


def test_the_object_store_is_away_for_thirty_seconds(trace, alarms):
    """Queries with large answers fail meanwhile, by no fault of who asks."""
    trace.kube.kubectl("scale", "statefulset", "trace-minio", "--replicas=0")
    try:
        blocks_pass(trace, int(30 / BLOCK_SECONDS))
        head = trace.head()
        trace.wait(
            "the follower goes on without the object store",
            lambda: int(trace.hot_blocks("max(block_number)")) >= head,
        )
        alarms.fires("TraceStoreAway", store="objects")
        with asking(trace, LARGE):
            alarms.fires("TraceQueryErrors")
    finally:
        trace.kube.kubectl("scale", "statefulset", "trace-minio", "--replicas=1")
    recovered(trace)
    alarms.clears("TraceStoreAway", store="objects")
    alarms.clears("TraceQueryErrors")


def test_two_followers_at_once(trace):
    """The first is stopped past its lease, a second takes over, and then the first wakes up and writes on."""
    first = follower(trace)
    before = attempts(trace, "follow")
    twin = {
        "apiVersion": "v1",
        "kind": "Pod",
        # A worker to the network policies, and to nobody else: no Deployment shall take it for its own.
        "metadata": {"name": "second-follower", "labels": {"trace.dev/job": "second", "trace.dev/rpc": "true"}},
        "spec": copy.deepcopy(first["spec"]),
    }
    del twin["spec"]["nodeName"]
    process = signaled(trace, FOLLOW, signal.SIGSTOP)
    try:
        trace.apply(twin)
        trace.wait("the first lost its lease", lambda: attempts(trace, "follow") > before)
        holder = "SELECT worker_id FROM tasks t JOIN jobs j ON j.id = t.job_id WHERE j.name = 'follow' AND " \
                 f"j.dag = '{DAG}' AND t.status = 'Running'"  # fmt: skip
        trace.wait("the second follows", lambda: trace.psql("trace_state", holder).startswith("second-follower"))
        blocks_pass(trace, 10)
    finally:
        os.kill(process, signal.SIGCONT)
    blocks_pass(trace, 10)
    trace.prove()
    trace.kube.kubectl("delete", "pod", "second-follower", "--wait=false")
    recovered(trace)


def test_a_statement_that_always_fails_leaves_dead_tasks_until_it_is_given_up(alarms, wrong):
    alarms.fires("TraceAttemptsFail", **STATEMENT)
    alarms.fires("TraceTasksDead", **STATEMENT)
    wrong.give_up_statement()
    alarms.clears("TraceAttemptsFail", **STATEMENT)
    alarms.clears("TraceTasksDead", **STATEMENT)


def test_the_chain_of_a_source_is_away_and_comes_back(alarms, wrong):
    alarms.fires("TraceSourceStalled", **SOURCE)
    wrong.bring_chain()
    alarms.clears("TraceSourceStalled", **SOURCE)


def test_a_reorg_of_depth_5_while_the_follower_is_down(trace, alarms):
    """The controller is away too, since it would start another follower at once."""
    trace.kube.kubectl("scale", "deployment", "trace-controller", "--replicas=0")
    try:
        trace.wait("the controller is away", lambda: not trace.kube.items("pods", "--selector", CONTROLLER))
        (deployment,) = trace.kube.items("deployments", "--selector", FOLLOW)
        trace.kube.kubectl("scale", "deployment", deployment["metadata"]["name"], "--replicas=0")
        trace.wait("the follower is away", lambda: not trace.kube.items("pods", "--selector", FOLLOW))
        stored = int(trace.hot_blocks("max(block_number)"))
        old = chain.blocks(trace.rpc, [stored])[0]["hash"]

        def replaced() -> bool:
            # Blocks that came since the look at the head count as replaced ones: then it was not deep enough.
            chain.replace(trace.rpc, trace.head() - stored + 5)
            return bool(chain.blocks(trace.rpc, [stored])[0]["hash"] != old)

        trace.wait("the newest stored block is replaced", replaced)
        alarms.fires("TraceControllerAbsent")
    finally:
        trace.kube.kubectl("scale", "deployment", "trace-controller", "--replicas=1")
    trace.wait("the follower is back", lambda: bool(trace.running(FOLLOW)))
    recovered(trace)
    assert trace.rows(f"SELECT block_hash FROM blocks WHERE block_number = {stored}")[0][0] != old
    alarms.clears("TraceControllerAbsent")
