"""Graphs for tests, assembled from real manifests with the real operators."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from traceplane import graph, operator_registry
from traceplane.graph import Assets, Graph
from traceplane.graph.assemble import NO_ASSETS
from traceplane_sdk.operator import Operator

CHAIN: dict[str, Any] = {
    "apiVersion": "trace.dev/v1alpha1",
    "kind": "DAG",
    "metadata": {"name": "chain", "namespace": "demo", "uid": "uid-1"},
    "spec": {
        "jobs": [
            {
                "name": "follow",
                "activation": "Source",
                "runtime": "Pod",
                "operator": "block_follower",
                "source": {"kind": "AlwaysOn"},
                "config": {"chainId": 31337, "rpcPool": "local", "startBlock": 0, "finalityDepthBlocks": 10},
                "outputs": ["blocks", "transactions", "logs"],
                "updateStrategy": "Replace",
            },
            {
                "name": "ranges",
                "activation": "Reactive",
                "runtime": "Dispatcher",
                "operator": "range_aggregator",
                "inputs": [{"from": {"job": "follow", "output": "blocks"}}],
                "executionStrategy": "PerUpdate",
                "config": {"cursorColumn": "block_number", "rangeSize": 20},
                "outputs": ["ranges"],
                "updateStrategy": "Append",
                "uniqueKey": ["dedupe_key"],
            },
            {
                "name": "compact",
                "activation": "Reactive",
                "runtime": "Pod",
                "operator": "parquet_compact",
                "inputs": [
                    {"from": {"job": "ranges", "output": "ranges"}},
                    {"from": {"job": "follow", "output": "blocks"}, "trigger": False},
                ],
                "executionStrategy": "PerPartition",
                "config": {"deleteAfterCompact": True},
                "outputs": ["blocks"],
                "updateStrategy": "Replace",
            },
        ],
        "publish": [
            {"asset": "hot-blocks", "from": {"job": "follow", "output": "blocks"}},
            {"asset": "cold-blocks", "from": {"job": "compact", "output": "blocks"}},
        ],
    },
}
"""Follower, ranges, compaction; hot and cold blocks published."""


def chain(name: str = "chain") -> dict[str, Any]:
    """The chain DAG's manifest, to be changed at will."""
    manifest = copy.deepcopy(CHAIN)
    manifest["metadata"]["name"] = name
    return manifest


def job(manifest: dict[str, Any], name: str) -> dict[str, Any]:
    """One inline job of a manifest."""
    found: dict[str, Any] = next(job for job in manifest["spec"]["jobs"] if job["name"] == name)
    return found


def without(manifest: dict[str, Any], name: str) -> dict[str, Any]:
    """The manifest without a job and what it publishes."""
    spec = manifest["spec"]
    spec["jobs"] = [job for job in spec["jobs"] if job["name"] != name]
    spec["publish"] = [item for item in spec["publish"] if item["from"]["job"] != name]
    return manifest


def assembled(
    manifest: dict[str, Any], operators: Mapping[str, Operator] | None = None, read: Assets = NO_ASSETS
) -> Graph:
    """The manifest's graph, with the real operators or others; an AssertionError shows its problems."""
    dag = graph.parse("DAG", manifest)
    assert not isinstance(dag, list), [str(problem) for problem in dag]
    made = graph.assemble(dag, [], [], operators or operator_registry.load(), read=read)
    assert isinstance(made, Graph), [str(problem) for problem in made]
    return made
