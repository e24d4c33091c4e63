"""A second namespace of an installation: its workers reach what is theirs, and its rows are the chain's, too."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from hack.demo import install, pipeline
from hack.demo.kube import Kube
from tests.e2e.doors import reachable
from tests.services.installation import Installation

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

SECOND = "trace-second"


@pytest.fixture
def second(trace: Installation) -> Iterator[Installation]:
    """The installation seen from a second namespace that it serves for a while; it has the same pool of nodes."""
    kube = Kube(SECOND, trace.kube.layout)
    install.namespace(kube)
    pool = trace.kube.get("secret", "rpcpool-local")
    pool["metadata"] = {"name": "rpcpool-local"}
    kube.kubectl("apply", "--filename", "-", stdin=json.dumps(pool))
    trace.install({"watchNamespaces": [trace.kube.namespace, SECOND]})
    try:
        yield replace(trace, kube=kube)
    finally:
        kube.kubectl("delete", "dags", "--all", "--timeout=110s")
        trace.install()
        kube.kubectl("delete", "namespace", SECOND, "--wait=false")


def test_a_second_namespace_is_served_like_the_first(trace: Installation, second: Installation) -> None:
    dag = copy.deepcopy(trace.manifest[0])
    second.apply(dag)
    pipeline.wait_ready(second.kube)
    counted = "SELECT count(*) > 0 FROM trace_second.cold_blocks"
    second.wait("cold files are made of its rows", lambda: trace.admin.rows(counted) == [[True]])
    # Each follows the chain by itself, and both hold the same blocks.
    same = "SELECT count(*) FROM trace_second.cold_blocks a JOIN cold_blocks b USING (block_number) WHERE {}"
    compared = trace.rows(same.format("a.block_hash = b.block_hash"))
    assert compared == trace.rows(same.format("true"))
    labels = {"trace.dev/job": "follow", "trace.dev/rpc": "true"}
    assert reachable(second, "like-a-follower", labels) == {"postgres", "objects", "tasks", "query", "nodes"}
    assert trace.prove().holds
