"""The CRDs on a real API server: installed, applying defaults, and of one mind with the models."""

import copy

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kubernetes import client

from tests.apiserver.kinds.examples import examples
from tests.apiserver.kinds.server import dry_run
from tests.wrong.table import Case, cases, right
from traceplane import graph, operator_registry
from traceplane.kinds import KINDS

pytestmark = [pytest.mark.apiserver, pytest.mark.usefixtures("crds")]


@pytest.mark.parametrize("case", [c for c in cases() if c.refused == "apiserver"], ids=str)
def test_the_server_refuses_in_the_same_words(kubernetes_api: client.ApiClient, case: Case):
    answer = dry_run(kubernetes_api, case.document)
    assert answer.status in (400, 422), answer
    assert (case.server or case.message) in answer.message


@pytest.mark.parametrize("case", [c for c in cases() if c.refused == "lint"], ids=str)
def test_the_server_accepts_what_only_the_graph_can_refuse(kubernetes_api: client.ApiClient, case: Case):
    assert dry_run(kubernetes_api, case.document).status == 201


@pytest.mark.parametrize("example", examples(), ids=str)
def test_every_example_is_accepted(kubernetes_api: client.ApiClient, example):
    answer = dry_run(kubernetes_api, example.document)
    assert answer.status == 201, answer.message


def test_defaults_are_applied_and_mean_the_same_to_us(kubernetes_api: client.ApiClient):
    written = right()["dag"]
    stored = dry_run(kubernetes_api, written).stored
    assert stored["spec"]["defaults"]["maxAttempts"] == 3
    assert stored["spec"]["rollout"] == {"cutover": "Auto"}
    assert stored["spec"]["jobs"][0]["paused"] is False
    assert stored["spec"]["jobs"][1]["inputs"][0]["trigger"] is True
    ours, theirs = graph.parse("DAG", written), graph.parse("DAG", stored)
    operators = operator_registry.load()
    mine, yours = graph.assemble(ours, [], [], operators), graph.assemble(theirs, [], [], operators)
    assert mine.spec_hash == yours.spec_hash


def test_a_graph_of_five_thousand_jobs_is_accepted(kubernetes_api: client.ApiClient):
    dag = right()["dag"]
    ranges = dag["spec"]["jobs"][1]
    many = [copy.deepcopy(ranges) | {"name": f"ranges-{n}"} for n in range(4999)]
    dag["spec"] = {"jobs": [dag["spec"]["jobs"][0], *many]}
    answer = dry_run(kubernetes_api, dag)
    assert answer.status == 201, answer.message
    dag["spec"]["jobs"].append(copy.deepcopy(ranges) | {"name": "one-more"})
    assert "must have at most 5000 items" in dry_run(kubernetes_api, dag).message


def test_a_manifest_too_large_for_the_server_is_refused_by_it(kubernetes_api: client.ApiClient):
    dag = right()["dag"]
    dag["spec"]["jobs"][0]["config"]["note"] = "x" * 300_000
    assert dry_run(kubernetes_api, dag).status == 201
    dag["spec"]["jobs"][0]["config"]["note"] = "x" * 1_600_000
    with pytest.raises(client.ApiException) as refused:
        client.CustomObjectsApi(kubernetes_api).create_namespaced_custom_object(
            "trace.dev", "v1alpha1", "default", "dags", dag
        )
    assert "request is too large" in refused.value.body
    dag["spec"]["jobs"][0]["config"]["note"] = "x" * 4_000_000
    assert dry_run(kubernetes_api, dag).status == 413


def test_a_bundle_never_changes(kubernetes_api: client.ApiClient):
    objects = client.CustomObjectsApi(kubernetes_api)
    bundle = right()["bundle"]
    where = ("trace.dev", "v1alpha1", "default", "bundles")
    objects.create_namespaced_custom_object(*where, bundle)
    try:
        with pytest.raises(client.ApiException) as refused:
            objects.patch_namespaced_custom_object(*where, "code", {"spec": {"sha256": "b" * 64}})
        assert refused.value.status == 422
        assert "a Bundle never changes" in refused.value.body
    finally:
        objects.delete_namespaced_custom_object(*where, "code")


def test_status_is_a_subresource_and_kept_as_the_models_have_it(kubernetes_api: client.ApiClient):
    objects = client.CustomObjectsApi(kubernetes_api)
    where = ("trace.dev", "v1alpha1", "default", "dags")
    dag = right()["dag"] | {"metadata": {"name": "with-status"}, "status": {"jobs": 9}}
    created = objects.create_namespaced_custom_object(*where, dag)
    try:
        assert created["status"] == {"observedGeneration": 0}, "what a user wrote there is not kept"
        assert created["metadata"]["generation"] == 1
        status = {
            "observedGeneration": 1,
            "conditions": [
                {
                    "type": "Ready",
                    "status": "True",
                    "reason": "Running",
                    "message": "3 jobs are ready",
                    "observedGeneration": 1,
                    "lastTransitionTime": "2026-01-01T00:00:00Z",
                }
            ],
            "jobs": 3,
            "tasks": {"queued": 1, "running": 2, "dead": 0},
            "failures": [
                {
                    "job": "a",
                    "task": "t",
                    "attempt": 1,
                    "code": "Boom",
                    "message": "m",
                    "time": "2026-01-01",
                }
            ],
            "specHash": "0" * 64,
        }
        patched = objects.patch_namespaced_custom_object_status(*where, "with-status", {"status": status})
        assert status.items() <= {**patched["status"], "tasks": status["tasks"]}.items()
        assert status["tasks"].items() <= patched["status"]["tasks"].items()
        assert patched["metadata"]["generation"] == 1
    finally:
        objects.delete_namespaced_custom_object(*where, "with-status")


@pytest.mark.parametrize(("kind", "model"), KINDS.items())
def test_kinds_are_found_by_category_and_short_name(kubernetes_api: client.ApiClient, kind, model):
    listed = client.CustomObjectsApi(kubernetes_api).get_api_resources("trace.dev", "v1alpha1").resources
    resource = next(r for r in listed if r.name == model.plural)
    assert (resource.kind, resource.namespaced, resource.categories) == (kind, True, ["trace"])
    assert tuple(resource.short_names or ()) == model.short_names


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8) | st.sampled_from(["Pod", "5m"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["job", "output", "a"]), inner),
    max_leaves=5,
)


@st.composite
def mutated(draw):
    """A right manifest of any kind with a few fields replaced, removed or added."""
    document = copy.deepcopy(right()[draw(st.sampled_from(["dag", "job", "asset", "bundle"]))])
    for _ in range(draw(st.integers(1, 3))):
        holder, key = draw(st.sampled_from(list(_places(document["spec"]))))
        if draw(st.booleans()) and isinstance(holder, dict):
            holder.pop(key, None)
        else:
            holder[key] = draw(JSON)
    return document


def _places(value):
    if isinstance(value, dict | list):
        for key, item in list(value.items() if isinstance(value, dict) else enumerate(value)):
            yield value, key
            yield from _places(item)
    if isinstance(value, dict):
        yield value, "surprise"


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(document=mutated())
def test_lint_never_crashes_and_refuses_whatever_the_server_refuses(kubernetes_api: client.ApiClient, document):
    reviewed = graph.review(
        [document, *([] if document["kind"] == "DAG" else [right()["dag"]])], operator_registry.load()
    )
    answer = dry_run(kubernetes_api, document)
    assert answer.status in (201, 400, 422), answer
    if answer.status != 201:
        assert reviewed.problems.get(0), answer.message
    else:
        outcome = graph.parse(document["kind"], answer.stored)
        assert not isinstance(outcome, list) or reviewed.problems.get(0)
