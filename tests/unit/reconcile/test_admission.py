"""What the webhook is concerned with, and what of a problem is refused or warned of."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.wrong.table import right
from traceplane import operator_registry
from traceplane.graph import trusting
from traceplane.reconcile import admission, written

OPERATORS = operator_registry.load()
Object = dict[str, Any]


def verdict(obj: Object, *beside: Object, old: Object | None = None, known: bool = True) -> admission.Verdict:
    return admission.verdict(obj, old, beside, OPERATORS, trusting, known=known)


def applied(obj: Object) -> Object:
    """As a client-side apply sends it."""
    return {**obj, "metadata": {**obj["metadata"], "annotations": {written.LAST_APPLIED: json.dumps(obj)}}}


def test_only_a_change_of_spec_or_manifest_concerns_it() -> None:
    dag = right()["dag"]
    owned = {**dag["metadata"], "ownerReferences": [{"kind": "DAG", "controller": True}]}
    assert admission.concerns(dag, None)
    assert not admission.concerns(dag, dag)
    assert not admission.concerns({**dag, "metadata": {**dag["metadata"], "labels": {"a": "b"}}}, dag)
    assert admission.concerns({**dag, "spec": {}}, dag)
    assert admission.concerns(applied(dag), dag)
    assert not admission.concerns({**dag, "metadata": {**dag["metadata"], "deletionTimestamp": "now"}}, None)
    assert not admission.concerns({**dag, "kind": "Job", "metadata": owned}, None), "our own projection"
    assert not admission.concerns(right()["bundle"], None), "nothing runs bundles, and their condition says so"


def test_right_manifests_pass_in_any_order() -> None:
    found = right()
    assert verdict(found["dag"]) == admission.Verdict()
    assert verdict(found["job"], found["dag"]) == admission.Verdict()
    assert verdict(found["asset"], found["dag"]) == admission.Verdict()
    assert verdict(found["job"]).problems == verdict(found["asset"]).problems == ()
    assert "spec.dag" in verdict(found["job"]).warnings[0]
    assert "spec.federation.hot" in verdict(found["asset"]).warnings[0]


def test_an_edge_of_a_dag_to_nowhere_is_refused_unless_it_says_that_jobs_follow() -> None:
    dag, job = right()["dag"], right()["job"]
    dag["spec"]["jobs"][2]["inputs"][0]["from"]["job"] = "wide-ranges"
    refused = verdict(dag)
    assert (refused.may_be_stale, len(refused.problems)) == (True, 2)
    assert "trace.dev/jobs-follow" in refused.problems[-1]
    assert verdict(dag, job).problems == ()
    dag["metadata"]["annotations"] = {admission.JOBS_FOLLOW: "true"}
    assert (verdict(dag).problems, len(verdict(dag).warnings)) == ((), 1)
    dag["spec"]["jobs"][2]["operator"] = "nothing"
    assert len(verdict(dag).problems) == 1, "what it says alone is refused all the same"


def test_before_anything_is_known_only_what_a_dag_says_alone_is_refused() -> None:
    dag = right()["dag"]
    dag["spec"]["jobs"][2]["inputs"][0]["from"]["job"] = "elsewhere"
    assert verdict(dag, known=False).problems == ()


def test_an_object_is_compared_with_others_and_not_with_what_it_was() -> None:
    dag = right()["dag"]
    assert verdict(dag, right()["dag"], old=dag) == admission.Verdict()


@pytest.mark.parametrize("kind", ["dag", "job", "asset"])
def test_a_field_that_was_dropped_is_refused_when_it_is_written(kind: str) -> None:
    stored = right()[kind]
    misspelt = {**stored, "spec": {**stored["spec"], "surprise": 1}}
    sent = {**stored, "metadata": applied(misspelt)["metadata"]}
    (problem,) = verdict(sent, right()["dag"]).problems[:1]
    assert "spec.surprise: unknown field" in problem
    assert not any("surprise" in line for line in verdict(sent, old=sent).problems), "not again at another change"


@pytest.mark.parametrize(
    "text", ["", "[", "[]", '{"kind": "Job"}', '{"kind": "DAG"}', '{"kind": "DAG", "spec": 5}']
)
def test_a_manifest_that_cannot_be_read_loses_nothing(text: str) -> None:
    dag = right()["dag"]
    dag["metadata"]["annotations"] = {written.LAST_APPLIED: text}
    assert written.lost_fields(dag) == ()
