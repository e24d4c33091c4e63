"""Who reaches whom in the namespace of an installation, with the policies enforced."""

from __future__ import annotations

import pytest

from tests.e2e.doors import reachable

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]


def test_a_stranger_reaches_only_what_users_reach(trace):
    assert reachable(trace, "stranger", {"app": "stranger"}) == {"users", "query", "nodes"}


def test_a_worker_reaches_tasks_data_and_queries_and_nothing_else(trace):
    reached = reachable(trace, "like-a-worker", {"trace.dev/job": "knock"})
    assert reached == {"postgres", "objects", "tasks", "query"}


def test_a_follower_reaches_the_nodes_of_its_pool_as_well_and_not_what_only_users_ask(trace):
    """The labels are the follower's own, but for the one by which its Deployment would adopt this pod."""
    follower = trace.one("trace.dev/job=follow")
    labels = {name: text for name, text in follower["metadata"]["labels"].items() if "hash" not in name}
    reached = reachable(trace, "like-a-follower", labels | {"trace.dev/generation": "knock"})
    assert reached == {"postgres", "objects", "tasks", "query", "nodes"}
