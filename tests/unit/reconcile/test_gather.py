"""What is read of a DAG is kept while nothing of it changed, and not where it could not be found out."""

from __future__ import annotations

import threading
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from traceplane import operator_registry
from traceplane.errors import Unavailable
from traceplane.graph import AssetRef, AssetVersion, Fault, Found, JobStatement
from traceplane.reconcile.gather import Manifests
from traceplane.reconcile.mirror import Mirror
from traceplane_sdk.columns import ColumnType
from traceplane_sdk.operator import Column, OutputSchema, Storage

SQL = "SELECT block_number, gas_used AS gas FROM blocks"


def manifest(kind: str, name: str, spec: Any, generation: int = 1) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "n", "uid": f"{kind}-{name}", "generation": generation}
    return {"kind": kind, "metadata": {**metadata, "resourceVersion": str(generation)}, "spec": spec}


def reading(name: str, operator: str, strategy: str, output: str, config: Any, *reads: str) -> dict[str, Any]:
    inputs = [{"from": {"job": job, "output": of}} for job, _, of in (one.partition("/") for one in reads)]
    for one in inputs[1:]:
        one["trigger"] = False  # type: ignore[assignment]
    runtime = "Dispatcher" if operator == "range_aggregator" else "Pod"
    update = "Append" if operator == "range_aggregator" else "Replace"
    return {
        "name": name,
        "activation": "Reactive",
        "runtime": runtime,
        "operator": operator,
        "inputs": inputs,
        "executionStrategy": strategy,
        "config": config,
        "outputs": [output],
        "updateStrategy": update,
        **({"uniqueKey": ["dedupe_key"]} if update == "Append" else {}),
    }


FOLLOW = {
    "name": "follow",
    "activation": "Source",
    "runtime": "Pod",
    "operator": "block_follower",
    "source": {"kind": "AlwaysOn"},
    "config": {"chainId": 1, "rpcPool": "p"},
    "outputs": ["blocks"],
    "updateStrategy": "Replace",
}
SUM = {
    "sql": SQL,
    "columns": [{"name": "block_number", "type": "Int64"}, {"name": "gas", "type": "Int64"}],
    "scopeColumn": "block_number",
    "uniqueKey": ["block_number"],
}
RANGES = {"cursorColumn": "block_number", "rangeSize": 50}
DAG = {
    "jobs": [
        FOLLOW,
        reading("ranges", "range_aggregator", "PerUpdate", "ranges", RANGES, "follow/blocks"),
        reading("pack", "parquet_compact", "PerPartition", "blocks", {}, "ranges/ranges", "follow/blocks"),
        reading("sum", "query", "PerPartition", "gas", SUM, "ranges/ranges", "follow/blocks", "pack/blocks"),
    ],
    "publish": [
        {"asset": "hot-blocks", "from": {"job": "follow", "output": "blocks"}},
        {"asset": "cold-blocks", "from": {"job": "pack", "output": "blocks"}},
    ],
}
BOTH = {
    "storage": "Federated",
    "federation": {"hot": "hot-blocks", "cold": "cold-blocks", "column": "block_number"},
}


class Checker:
    """Remembers what it was asked, and on which thread."""

    def __init__(self) -> None:
        self.asked: list[JobStatement] = []
        self.threads: set[int] = set()
        self.away = False

    def __call__(self, job: JobStatement) -> Fault | None:
        self.asked.append(job)
        self.threads.add(threading.get_ident())
        if self.away:
            raise Unavailable("no process")
        return None


async def looked_up(_dag: str, refs: Collection[AssetRef]) -> Found:
    assert refs, "a DAG that reads no assets of others asks for none"
    return {}


async def test_a_statement_is_checked_once_and_not_on_the_event_loop() -> None:
    checker, mirror, dag = Checker(), Mirror(), manifest("DAG", "d", DAG)
    manifests = Manifests(mirror, operator_registry.load(), checker, looked_up)
    mirror.observe("DAG", dag)
    first = await manifests.read(dag)
    assert first.problems == ()
    assert await manifests.read(dag) is first
    assert len(checker.asked) == 1
    assert threading.get_ident() not in checker.threads


async def test_a_federated_asset_that_comes_or_goes_is_reason_to_read_again() -> None:
    checker, mirror, dag = Checker(), Mirror(), manifest("DAG", "d", DAG)
    manifests = Manifests(mirror, operator_registry.load(), checker, looked_up)
    both = manifest("Asset", "blocks", BOTH)
    await manifests.read(dag)
    mirror.observe("Asset", both)
    await manifests.read(dag)
    mirror.forget("Asset", both)
    await manifests.read(dag)
    federation = {"blocks": (("follow", "blocks"), ("pack", "blocks"))}
    assert [one.federated for one in checker.asked] == [{}, federation, {}]


async def test_what_could_not_be_checked_says_so_and_is_not_kept() -> None:
    checker, dag = Checker(), manifest("DAG", "d", DAG)
    manifests = Manifests(Mirror(), operator_registry.load(), checker, looked_up)
    checker.away = True
    told = await manifests.read(dag)
    assert (told.graph, told.unchecked) == (None, True)
    assert "could not be checked: no process" in told.problems[0]
    checker.away = False
    found = await manifests.read(dag)
    assert (found.graph is not None, found.unchecked) == (True, False)


async def test_another_version_of_an_asset_that_is_read_makes_another_graph_of_the_same_manifest() -> None:
    gas = reading("gas", "query", "PerPartition", "gas", SUM) | {"inputs": [{"from": {"asset": "blocks"}}]}
    dag = manifest("DAG", "d", {"jobs": [gas], "publish": []})
    asked: list[tuple[str, set[AssetRef]]] = []
    known: dict[AssetRef, AssetVersion | str] = {}

    async def look_up(name: str, refs: Collection[AssetRef]) -> Found:
        asked.append((name, set(refs)))
        return dict(known)

    manifests = Manifests(Mirror(), operator_registry.load(), Checker(), look_up)
    waits = await manifests.read(dag)
    assert (waits.graph, waits.unchecked) == (None, True), "nobody says when it is published for the first time"
    assert "no DAG publishes an asset 'blocks'" in waits.problems[0]
    columns = (Column("block_number", ColumnType.INT64), Column("gas_used", ColumnType.INT64))
    schema = OutputSchema(Storage.S3, columns, ("block_number",), "block_number", ("block_number",))
    version = AssetVersion("n", "blocks", "chain", "pack", "blocks", "d", "v1", "s3://b/x/", schema)
    known[AssetRef("n", "blocks")] = version
    first = await manifests.read(dag)
    assert (first.graph is not None, first.unchecked) == (True, False)
    assert await manifests.read(dag) is first
    known[AssetRef("n", "blocks")] = replace(version, version_id="v2")
    second = await manifests.read(dag)
    assert first.graph is not None
    assert second.graph is not None
    assert first.graph.spec_hash != second.graph.spec_hash
    assert asked == [("d", {AssetRef("n", "blocks")})] * 4


async def test_what_a_dag_waits_for_names_the_dag_that_is_to_publish_it() -> None:
    def reads(name: str, asset: str, publishes: str) -> dict[str, Any]:
        job = reading("gas", "query", "PerPartition", "gas", SUM) | {"inputs": [{"from": {"asset": asset}}]}
        publish = [{"asset": publishes, "from": {"job": "gas", "output": "gas"}}]
        return manifest("DAG", name, {"jobs": [job], "publish": publish})

    mirror, one = Mirror(), reads("one", "theirs", "ours")
    manifests = Manifests(mirror, operator_registry.load(), Checker(), looked_up)
    mirror.observe("DAG", one)
    waits = "no DAG publishes an asset 'theirs' in namespace 'n'; this one waits for it"
    assert (
        f"{waits} (an external asset: for its first refresh) [UnknownAsset]"
        in (await manifests.read(one)).problems[0]
    )
    mirror.observe("DAG", reads("two", "else", "theirs"))
    until = "DAG two is to publish it, once a version that does so is active"
    assert f"{waits}: {until} [UnknownAsset]" in (await manifests.read(one)).problems[0]
    mirror.observe("DAG", reads("three", "ours", "mine"))
    assert f"{waits}: {until} [UnknownAsset]" in (await manifests.read(one)).problems[0]
    two = reads("two", "ours", "theirs")
    mirror.observe("DAG", {**two, "metadata": {**two["metadata"], "generation": 2, "resourceVersion": "2"}})
    until = "DAG two is to publish it, and reads asset 'ours' of this one; apply one of the two without that input"
    assert f"{waits}: {until} first [UnknownAsset]" in (await manifests.read(one)).problems[0]
