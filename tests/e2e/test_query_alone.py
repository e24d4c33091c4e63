"""`query.mode: Deployment`: the query service in pods of its own, behind policies of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from hack.demo import install
from tests.e2e.test_network import DOORS, reachable
from tests.services.installation import CONFIG, Installation

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

QUERY = "app.kubernetes.io/component=query"
LABELS = {
    "app.kubernetes.io/name": "trace",
    "app.kubernetes.io/instance": "trace",
    "app.kubernetes.io/component": "query",
}


@pytest.fixture
def alone(trace: Installation) -> Iterator[Installation]:
    """The installation with its query service moved out of the dispatcher's pod, and back afterwards."""

    def lead(component: str) -> None:
        """Point the tests' way in at the pods that answer now."""
        selector = {"spec": {"selector": {"app.kubernetes.io/component": component}}}
        trace.kube.kubectl("patch", "service", "test-query", "--patch", json.dumps(selector))

    install.chart(trace.kube, trace.images, {"config": CONFIG, "query": {"mode": "Deployment"}})
    lead("query")
    try:
        yield trace
    finally:
        lead("dispatcher")
        trace.install()
        trace.wait("it answers beside the dispatcher again", lambda: trace.admin.rows("SELECT 1") == [[1]])


def test_it_answers_from_its_own_pods_and_reaches_only_what_it_needs(alone: Installation) -> None:
    assert len(alone.running(QUERY)) == 1
    (dispatcher,) = alone.running("app.kubernetes.io/component=dispatcher")
    assert [container["name"] for container in dispatcher["spec"]["containers"]] == ["dispatcher"]
    alone.wait("the query service answers", lambda: alone.admin.rows("SELECT count(*) > 0 FROM blocks") == [[True]])
    # The pod that knocks carries the labels of the Service, too, but is never ready: nothing is led to it.
    assert reachable(alone, "like-a-query", LABELS) == set(DOORS)
    assert reachable(alone, "a-stranger", {"app": "stranger"}) == {"users", "query"}
