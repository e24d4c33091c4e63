"""Documents as the API server delivers them, and documents of any shape at all."""

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wrong.table import right
from traceplane import graph, operator_registry
from traceplane.kinds import KINDS

DELIVERED = {
    "uid": "0c9b",
    "resourceVersion": "12",
    "generation": 3,
    "creationTimestamp": "2026-01-01T00:00:00Z",
    "managedFields": [{"manager": "kubectl"}],
    "labels": {"a": "b"},
    "ownerReferences": [
        {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x", "uid": "1", "blockOwnerDeletion": True}
    ],
}


def test_a_delivered_object_keeps_what_trace_reads_of_its_metadata():
    document = right()["dag"]
    document["metadata"] |= DELIVERED | {"namespace": "research"}
    document["status"] = {"fieldOfAnOlderRelease": 1}
    dag = graph.parse("DAG", document)
    assert not isinstance(dag, list), dag
    assert (dag.name, dag.metadata.namespace, dag.metadata.uid, dag.metadata.generation) == (
        "chain",
        "research",
        "0c9b",
        3,
    )
    assert dag.source == "DAG/chain"


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"metadata": None, "spec": None},
        {"metadata": {"name": "x"}},
        {"metadata": {"name": "x"}, "spec": []},
        {"metadata": {"name": 5}, "spec": {"jobs": {}}},
        {"metadata": {"name": "x"}, "spec": {"jobs": [None, 1, "a", [], {"name": None}]}},
    ],
    ids=str,
)
def test_a_document_of_a_wrong_shape_is_told_so(document):
    outcome = graph.parse("DAG", document)
    assert isinstance(outcome, list)
    assert all(problem.message and problem.code for problem in outcome)


def test_a_problem_is_short_whatever_it_speaks_of():
    dag = right()["dag"]
    dag["spec"]["jobs"][0]["config"] = {"9" * 100_000: 1, "rpcPool": "x" * 100_000, "chainId": "1" * 100_000}
    dag["spec"]["jobs"][1]["y" * 100_000] = "\0" * 100_000
    dag["spec"]["jobs"][2]["operator"] = "z" * 100_000
    told = graph.review([dag], operator_registry.load()).problems[0]
    assert len(told) >= 3
    assert max(len(str(problem)) for problem in told) < 600


def test_another_version_of_the_group_is_refused():
    outcome = graph.parse("DAG", right()["dag"] | {"apiVersion": "trace.dev/v2"})
    assert [problem.path for problem in outcome] == ["apiVersion"]


def test_what_is_wrong_in_one_job_does_not_hide_what_is_wrong_in_others():
    dag = right()["dag"]
    dag["spec"]["jobs"][0]["runtime"] = "pod"
    dag["spec"]["jobs"][2]["inputs"][0]["from"]["job"] = "rangs"
    dag["spec"]["jobs"][1]["config"]["rangeSize"] = -1
    dag["spec"]["publish"][0]["from"] = "follow"
    dag["spec"]["publish"][4]["from"]["output"] = "block"
    told = {p.path for p in graph.review([dag], operator_registry.load()).problems[0]}
    assert told == {
        "spec.jobs[0].runtime",
        "spec.jobs[2].inputs[0].from.job",
        "spec.jobs[1].config.rangeSize",
        "spec.publish[0].from",
        "spec.publish[4].from.output",
    }


def test_what_is_wrong_outside_of_the_jobs_does_not_hide_what_is_wrong_in_them():
    dag = right()["dag"]
    dag["spec"]["rollout"] = {"cutover": "auto"}
    dag["spec"]["jobs"][1]["config"]["rangeSize"] = -1
    review = graph.review([dag], operator_registry.load())
    assert {p.path for p in review.problems[0]} == {"spec.rollout.cutover", "spec.jobs[1].config.rangeSize"}
    dag["spec"]["jobs"][1]["config"]["rangeSize"] = 500
    assert graph.review([dag], operator_registry.load()).graphs == ()


def test_a_job_object_that_cannot_be_read_hides_nothing_and_is_blamed_alone():
    dag, job, asset = right()["dag"], right()["job"], right()["asset"]
    job["spec"]["runtime"] = "pod"
    dag["spec"]["jobs"][1]["inputs"][0]["from"] = {"job": "wide-ranges", "output": "ranges"}
    asset["spec"]["federation"]["hot"] = "hot-block"
    told = graph.review([dag, job, asset], operator_registry.load()).problems
    assert {index: [p.path for p in problems] for index, problems in told.items()} == {1: ["spec.runtime"]}
    dag["spec"]["jobs"][1]["inputs"][0]["from"] = {"job": "follow", "output": "blocks"}
    told = graph.review([dag, job, asset], operator_registry.load()).problems
    assert [p.path for p in told[2]] == ["spec.federation.hot"]


def test_publications_that_cannot_be_read_are_not_taken_for_each_other():
    one, two = right()["dag"], right()["dag"]
    two["metadata"]["name"] = "chain-two"
    for dag in (one, two):
        dag["spec"]["publish"] = [{"asset": "blocks-of-" + dag["metadata"]["name"], "from": "follow"}]
    told = graph.review([one, two], operator_registry.load()).problems
    assert [[p.path for p in problems] for problems in told.values()] == [["spec.publish[0].from"]] * 2


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.dictionaries(
    st.sampled_from(
        ["apiVersion", "kind", "metadata", "spec", "name", "jobs", "inputs", "from", "config", "publish"]
    ),
    ANY,
    max_size=5,
)


@given(st.sampled_from([*KINDS, "Other"]), FIELDS, st.data())
@settings(deadline=None)
def test_no_document_crashes_the_parser(kind, fields, data):
    document = {"apiVersion": "trace.dev/v1alpha1", "kind": kind, **fields}
    outcome = graph.parse(kind, document)
    assert isinstance(outcome, list | KINDS.get(kind, list))
    graph.review([document], operator_registry.load())


@given(st.data())
@settings(deadline=None, max_examples=200)
def test_no_change_of_a_right_manifest_crashes_the_review(data):
    documents = copy.deepcopy(list(right().values()))
    for document in documents:
        places = list(_places(document))
        holder, key = data.draw(st.sampled_from(places))
        holder[key] = data.draw(ANY)
    graph.review(documents, operator_registry.load())


def _places(value):
    for key, item in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, key
        if isinstance(item, dict | list):
            yield from _places(item)
