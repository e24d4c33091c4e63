"""Inputs by asset: of one's own DAG an output by another name, of another DAG the version that its readers get."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.graph.doubles import OPERATORS, assembled, dag, derived, operator, problems, source
from traceplane import graph
from traceplane.graph import AssetRef, Assets, AssetVersion, Graph
from traceplane_sdk.columns import ColumnType
from traceplane_sdk.operator import Column, OutputSchema, Storage

READ = AssetRef("default", "prices")
VERSION = AssetVersion(
    namespace="default",
    asset="prices",
    dag="market",
    job="load",
    output="rows",
    dataset_id="d",
    version_id="v1",
    location="hot.d_1",
    schema=OutputSchema(Storage.POSTGRES, (Column("id", ColumnType.INT64),), ("id",), "id", ("id",)),
)


def reading(asset: str, name: str = "a", **more: Any) -> dict[str, Any]:
    return derived(name) | {"inputs": [{"from": {"asset": asset}, **more}]}


def outcome(*jobs: dict[str, Any], read: Assets, **spec: Any) -> Graph | list[graph.Problem]:
    return graph.assemble(dag(*jobs, **spec), [], [], OPERATORS, read=read)


def made(*jobs: dict[str, Any], version: AssetVersion = VERSION, **spec: Any) -> Graph:
    found = outcome(*jobs, read=Assets({READ: version}), **spec)
    assert isinstance(found, Graph), found
    return found


def test_an_asset_of_the_dag_itself_is_the_output_that_it_publishes() -> None:
    publish = [{"asset": "rows", "from": {"job": "s", "output": "out"}}]
    named = assembled(source("s"), reading("rows"), publish=publish)
    plain = assembled(source("s"), derived("a", "s"), publish=publish)
    assert (named.spec_hash, named.written_hash) == (plain.spec_hash, plain.spec_hash)
    assert named.job("a").inputs == plain.job("a").inputs


def test_one_of_another_dag_is_tied_to_its_version() -> None:
    first, same = made(reading("prices"), derived("b", "a")), made(reading("prices"), derived("b", "a"))
    later = made(reading("prices"), derived("b", "a"), version=replace(VERSION, version_id="v2"))
    assert first == same
    assert [job.name for job in later.jobs if job.config_hash != first.job(job.name).config_hash] == ["a", "b"]
    assert (first.spec_hash != later.spec_hash, first.written_hash) == (True, later.written_hash)
    assert first.job("a").definition["assets"] == {"0": ["prices", "v1"]}


def test_what_was_written_is_told_from_what_it_means_now() -> None:
    first = made(reading("prices"))
    other = made(reading("prices") | {"rebuildToken": "again"})
    assert first.written_hash not in (first.spec_hash, other.written_hash)


def test_the_name_alone_and_its_namespace_are_the_same() -> None:
    spelled = derived("a") | {"inputs": [{"from": {"asset": "prices", "namespace": "default"}}]}
    assert made(spelled).spec_hash == made(reading("prices")).spec_hash


def test_its_columns_are_what_filters_and_operators_see() -> None:
    operators = OPERATORS | {"derive": operator("derive", applies_where=True)}
    given = dag(reading("prices", where={"price": 1}))
    found = graph.assemble(given, [], [], operators, read=Assets({READ: VERSION}))
    assert isinstance(found, list)
    (problem,) = found
    assert (problem.path, problem.code) == ("spec.jobs[0].inputs[0].where.price", "UnknownColumn")
    assert "default/prices has no column 'price'" in problem.message


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (Assets({}), "no DAG publishes an asset 'prices' in namespace 'default'"),
        (Assets({READ: "it is closed"}), "it is closed"),
        (Assets({READ: "it is closed"}, complete=False), "it is closed"),
    ],
)
def test_one_that_may_not_be_read_is_a_problem_of_its_input(read: Assets, message: str) -> None:
    found = outcome(source("s"), reading("prices"), derived("b", "a"), read=read)
    assert isinstance(found, list)
    (problem,) = found
    assert (problem.path, problem.code) == ("spec.jobs[1].inputs[0].from.asset", "UnknownAsset")
    assert message in problem.message


def test_of_one_that_is_not_known_nothing_is_said() -> None:
    found = outcome(source("s"), reading("prices"), derived("b", "a"), read=Assets({}, complete=False))
    assert isinstance(found, Graph)
    assert [job.name for job in found.jobs] == ["s"], "what reads it is not assembled either"


def test_the_same_twice_is_refused_however_it_is_named() -> None:
    publish = [{"asset": "rows", "from": {"job": "s", "output": "out"}}]
    twice = derived("a", "s") | {"inputs": [{"from": {"job": "s", "output": "out"}}, {"from": {"asset": "rows"}}]}
    assert problems(source("s"), twice, publish=publish) == {"spec.jobs[1].inputs[1].from": "Duplicate"}
    again = derived("a") | {"inputs": [{"from": {"asset": "prices"}}] * 2}
    found = outcome(again, read=Assets({READ: VERSION}))
    assert isinstance(found, list)
    assert [problem.path for problem in found] == ["spec.jobs[0].inputs[1].from"]


def test_an_asset_that_is_published_from_nowhere_is_reported_there_alone() -> None:
    publish = [{"asset": "rows", "from": {"job": "s", "output": "none"}}]
    assert problems(source("s"), reading("rows"), publish=publish) == {
        "spec.publish[0].from.output": "UnknownOutput"
    }


def test_a_job_does_not_read_its_own_output_by_way_of_another_dag() -> None:
    version = replace(VERSION, made_from=frozenset({"b"}))
    found = outcome(source("s"), reading("prices"), derived("b", "a"), read=Assets({READ: version}))
    assert isinstance(found, list)
    assert [(problem.code, problem.path) for problem in found] == [("Cycle", "spec.jobs[1].inputs[0].from.asset")]
    # What is made from another part of the DAG is none.
    beside = replace(VERSION, made_from=frozenset({"s", "gone"}))
    assert isinstance(made(source("s"), reading("prices"), derived("b", "a"), version=beside), Graph)


def manifest(name: str, *jobs: dict[str, Any], **publish: tuple[str, str]) -> dict[str, Any]:
    entries = [{"asset": asset, "from": {"job": of[0], "output": of[1]}} for asset, of in publish.items()]
    spec = {"jobs": list(jobs), "publish": entries}
    return {"apiVersion": "trace.dev/v1alpha1", "kind": "DAG", "metadata": {"name": name}, "spec": spec}


def test_a_set_of_files_knows_the_assets_that_its_dags_publish_in_any_order() -> None:
    last = manifest("z", reading("middle"))
    middle = manifest("y", reading("first"), middle=("a", "out"))
    first = manifest("x", source("s"), first=("s", "out"))
    reviewed = graph.review([last, middle, first], OPERATORS)
    assert not reviewed.problems
    assert [found.dag for found in reviewed.graphs] == ["x", "y", "z"]
    assert {i.asset.dag for found in reviewed.graphs for job in found.jobs for i in job.inputs if i.asset} == {
        "x",
        "y",
    }


def test_the_dags_of_a_set_come_in_its_order_and_readers_after_what_they_read() -> None:
    dags = [manifest(f"d{number}", source("s")) for number in range(12)]
    dags[3] = manifest("d3", reading("last"))
    dags[11] = manifest("d11", source("s"), last=("s", "out"))
    found = [reviewed.dag for reviewed in graph.review(dags, OPERATORS).graphs]
    assert found == ["d0", "d1", "d2", *(f"d{number}" for number in range(4, 12)), "d3"]


def across(namespaces: list[str], **metadata: str) -> list[dict[str, Any]]:
    """A DAG of `research` that reads an asset of `chains`, the DAG that publishes it, and its Asset."""
    asset = {
        "apiVersion": "trace.dev/v1alpha1",
        "kind": "Asset",
        "metadata": {"name": "first", "namespace": "chains"},
        "spec": {"readNamespaces": namespaces},
    }
    publishes = manifest("x", source("s"), first=("s", "out"))
    reads = manifest("y", derived("a") | {"inputs": [{"from": {"asset": "first", "namespace": "chains"}}]})
    publishes["metadata"]["namespace"] = "chains"
    reads["metadata"] |= metadata
    return [publishes, asset, reads]


@pytest.mark.parametrize("namespaces", [["research"], ["other", "*"]])
def test_an_asset_of_the_set_lets_another_namespace_read_it(namespaces: list[str]) -> None:
    reviewed = graph.review(across(namespaces, namespace="research"), OPERATORS)
    assert (dict(reviewed.problems), len(reviewed.graphs)) == ({}, 2)
    # What the cluster says of the Asset as it is now does not hold once the set is applied.
    ref = AssetRef("chains", "first")
    planned = graph.review(
        across(namespaces, namespace="research"), OPERATORS, look_up=lambda dag, refs: {ref: "may not be read"}
    )
    assert (dict(planned.problems), len(planned.graphs)) == ({}, 2)


@pytest.mark.parametrize("known", [{}, {AssetRef("chains", "first"): VERSION}], ids=["new", "deployed"])
@pytest.mark.parametrize("namespaces", [[], ["other"]])
def test_an_asset_of_the_set_that_names_no_other_namespace_is_not_read_from_there(
    namespaces: list[str], known: Any
) -> None:
    look_up = (lambda dag, refs: known) if known else None
    reviewed = graph.review(across(namespaces, namespace="research"), OPERATORS, look_up=look_up)
    ((problem,),) = reviewed.problems.values()
    assert (problem.source, problem.path) == ("DAG/y", "spec.jobs[0].inputs[0].from.asset")
    assert "its Asset must list 'research' in spec.readNamespaces" in problem.message


def test_of_a_dag_that_names_no_namespace_nobody_knows_from_where_it_reads() -> None:
    assert not graph.review(across([]), OPERATORS).problems


def test_dags_of_a_set_that_read_each_other_are_left_to_the_cluster() -> None:
    one = manifest("x", reading("theirs"), mine=("a", "out"))
    other = manifest("y", reading("mine"), theirs=("a", "out"))
    reviewed = graph.review([one, other], OPERATORS)
    assert (dict(reviewed.problems), reviewed.graphs) == ({}, ())


def test_a_set_asks_for_what_it_does_not_publish_itself() -> None:
    asked: list[tuple[str, set[AssetRef]]] = []

    def look_up(of: Any, refs: Any) -> Any:
        asked.append((of.name, set(refs)))
        return {READ: VERSION}

    reviewed = graph.review([manifest("x", reading("prices"))], OPERATORS, look_up=look_up)
    assert asked == [("x", {READ})]
    assert reviewed.graphs[0].job("a").inputs[0].asset == replace(VERSION, namespace="")
