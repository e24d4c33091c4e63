"""An upgrade to values that change every process, and back, with work in flight in a second namespace.

The query service goes to pods of its own, behind policies of its own. Spans go to a collector in the cluster. Tasks
open the object store with keys that stay: nobody answers at the address of the STS.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest

from tests.e2e import collecting
from tests.e2e.doors import reachable
from tests.services.collector import Received, tree
from tests.services.installation import DAG, TEAM, VALUES, Installation

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

QUERY = "app.kubernetes.io/component=query"
LABELS = {
    "app.kubernetes.io/name": "trace",
    "app.kubernetes.io/instance": "trace",
    "app.kubernetes.io/component": "query",
}
OTHER = {
    "query": {"mode": "Deployment"},
    "tracing": {"enabled": True, "endpoint": collecting.ENDPOINT},
    "networkPolicies": VALUES["networkPolicies"] | {"tracesTo": [collecting.PEER]},
    "s3": {"credentials": "Static", "stsEndpoint": "http://127.0.0.1:9", "tasks": {"existingSecret": "trace-s3"}},
}
RANGE = 10
ATTEMPT = ("task", "attempt/1")
SPANS = {
    ("task",): "trace-dispatcher",
    ATTEMPT: "trace-dispatcher",
    (*ATTEMPT, "run"): "trace-worker",
    (*ATTEMPT, "complete"): "trace-worker",
    (*ATTEMPT, "complete", "POST /v1/task/complete"): "trace-dispatcher",
    (*ATTEMPT, "complete", "POST /v1/task/complete", "commit"): "trace-dispatcher",
}
"""Of a task, by their names from the root down: the process that recorded each."""


@pytest.fixture(scope="module")
def first(trace: Installation) -> int:
    """Where the second namespace begins to follow: its first ranges are final."""
    return max(0, trace.head() // RANGE * RANGE - 3 * RANGE)


@pytest.fixture(scope="module")
def team(trace: Installation, first: int) -> Iterator[Installation]:
    """Who follows the chain in the second namespace, from a late block on, while the installation is upgraded."""
    team = trace.within(TEAM)
    dag, *assets = copy.deepcopy(trace.manifest)
    dag["spec"]["defaults"]["heartbeatTimeoutSeconds"] = 10
    follow, ranges, compact = dag["spec"]["jobs"]
    follow["config"]["startBlock"] = first
    ranges["config"]["rangeSize"] = RANGE
    compact["idleTimeout"] = "3s"
    team.apply(dag, *assets)
    try:
        team.wait("a worker of the second namespace has compacted a range", lambda: team.count("cold_blocks") > 0)
        trace.install(OTHER)
        yield team
    finally:
        team.kube.kubectl("delete", "dag", DAG, "--wait=false")
        team.kube.kubectl("delete", "assets", "blocks", "transactions", "logs")
        trace.install()
        team.kube.kubectl("delete", "dag", DAG, "--ignore-not-found", "--timeout=90s")


def test_the_query_service_answers_from_its_own_pods_and_reaches_only_what_it_needs(
    trace: Installation, team: Installation
) -> None:
    trace.one(QUERY)
    dispatcher = trace.one("app.kubernetes.io/component=dispatcher")
    assert [container["name"] for container in dispatcher["spec"]["containers"]] == ["dispatcher"]
    assert trace.rows("SELECT count(*) > 0 FROM blocks") == [[True]]
    # The pod that knocks carries the labels of the Service, too, but is never ready: nothing is led to it.
    assert reachable(trace, "like-a-query", LABELS) == {"postgres", "objects", "tasks"}
    assert reachable(trace, "a-stranger", {"app": "stranger"}) == {"users", "query", "nodes"}


def test_work_in_a_second_namespace_goes_on_through_the_upgrade(
    trace: Installation, team: Installation, first: int
) -> None:
    team.prove_new_ranges(first=first)
    dead = f"SELECT count(*) FROM tasks t JOIN jobs j ON j.id = t.job_id WHERE j.namespace = '{TEAM}' AND " \
            "t.status = 'Failed'"  # fmt: skip
    assert trace.psql("trace_state", dead) == "0"


def test_a_task_is_one_trace_from_dispatcher_to_worker_pod_and_needs_no_collector(
    trace: Installation, team: Installation, first: int
) -> None:
    with collecting.collecting(trace) as collector:

        def look() -> tuple[bool, str]:
            trace.admin.rows("SELECT 1")  # a trace of the query service, which has a wall of its own
            traces = [tree(spans) for spans in collector.traces().values()]
            seen = {span.service for spans in traces for span in spans.values()}
            return any(map(whole, traces)) and "trace-query" in seen, f"{len(traces)} traces of {seen}"

        trace.wait("a task of a worker pod is a whole trace, and a query another", look)
    team.prove_new_ranges(first=first)
    dispatcher = ("deploy/trace-dispatcher", "--container", "dispatcher")
    trace.wait("spans are given up", lambda: "spans were not exported" in trace.kube.kubectl("logs", *dispatcher))


def whole(spans: dict[tuple[str, ...], Received]) -> bool:
    """Whether these are a task of a worker pod in the second namespace, from its cause to its commit."""
    services = {path: span.service for path, span in spans.items()}
    return SPANS.items() <= services.items() and spans["task",].attributes["trace.namespace"] == TEAM
