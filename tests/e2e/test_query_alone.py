"""`query.mode: Deployment`: the query service in pods of its own, behind policies of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.doors import reachable
from tests.services.installation import Installation

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
    trace.install({"query": {"mode": "Deployment"}})
    try:
        yield trace
    finally:
        trace.install()


def test_it_answers_from_its_own_pods_and_reaches_only_what_it_needs(alone: Installation) -> None:
    alone.one(QUERY)
    dispatcher = alone.one("app.kubernetes.io/component=dispatcher")
    assert [container["name"] for container in dispatcher["spec"]["containers"]] == ["dispatcher"]
    assert alone.rows("SELECT count(*) > 0 FROM blocks") == [[True]]
    # The pod that knocks carries the labels of the Service, too, but is never ready: nothing is led to it.
    assert reachable(alone, "like-a-query", LABELS) == {"postgres", "objects", "tasks"}
    assert reachable(alone, "a-stranger", {"app": "stranger"}) == {"users", "query", "nodes"}
