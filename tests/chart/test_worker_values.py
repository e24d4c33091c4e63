"""What the chart gives to worker pods, which the controller makes: one setting, which the controller reads."""

from __future__ import annotations

import json

import pytest

from tests.chart.conftest import Refused
from traceplane.settings.workerpods import WorkerPods


def given(render, **values):
    """The setting as the controller reads it."""
    data = render(**values).one("ConfigMap", "trace-config")["data"]
    return WorkerPods.model_validate(json.loads(data["TRACE_WORKER_PODS"]))


def test_the_defaults_of_the_chart_are_those_of_the_controller(render):
    assert given(render) == WorkerPods()


def test_workers_pull_their_image_with_the_secrets_of_the_release(render):
    assert given(render, images={"pullSecrets": ["mine", "other"]}).image_pull_secrets == ["mine", "other"]


def test_every_value_of_workers_reaches_the_controller(render):
    workers = {
        "serviceAccountName": "workers",
        "jobServiceAccounts": ["reader"],
        "jobPriorityClasses": ["high"],
        "jobKeys": ["example.org", "prometheus.io/scrape"],
        "labels": {"team": "data"},
        "annotations": {"sidecar.istio.io/inject": "true"},
        "priorityClassName": "low",
        "runtimeClassName": "gvisor",
        "nodeSelector": {"pool": "workers"},
        "tolerations": [{"key": "pool", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}],
        "securityContext": {"runAsUser": 2000, "runAsGroup": 2000, "fsGroup": 2000, "supplementalGroups": [3000]},
        "scratchSize": "20Gi",
    }
    read = given(render, workers=workers).model_dump(by_alias=True, exclude_none=True, exclude_unset=True)
    assert read == workers | {"imagePullSecrets": []}


def test_ids_that_the_namespace_assigns_are_left_out(render):
    ids = {"runAsUser": None, "runAsGroup": None, "fsGroup": None}
    assert "runAsUser" not in given(render, workers={"securityContext": ids}).security_context.manifest()


@pytest.mark.parametrize(
    ("workers", "named"),
    [
        ({"securityContext": {"runAsUser": 0}}, "runAsUser"),
        ({"securityContext": {"runAsNonRoot": False}}, "runAsNonRoot"),
        ({"securityContext": {"seccompProfile": {"type": "Unconfined"}}}, "seccompProfile"),
        ({"labels": {"trace.dev/rpc": "true"}}, "trace.dev/rpc"),
        ({"labels": {"app.kubernetes.io/component": "dispatcher"}}, "app.kubernetes.io/component"),
        ({"annotations": {"container.apparmor.security.beta.kubernetes.io/worker": "unconfined"}}, "apparmor"),
        ({"jobKeys": ["no key"]}, "jobKeys"),
        ({"hostNetwork": True}, "hostNetwork"),
        ({"scratchSize": "much"}, "scratchSize"),
    ],
)
def test_a_value_that_would_open_a_wall_is_refused(render, workers, named):
    with pytest.raises(Refused, match=named):
        render(workers=workers)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"images": {"pullSecrets": [""]}}, "pullSecrets"),
        ({"workers": {"jobServiceAccounts": [""]}}, "jobServiceAccounts"),
        ({"workers": {"labels": {"a b": "x"}}}, "a b"),
        ({"workers": {"annotations": {"a b": "x"}}}, "a b"),
        ({"workers": {"labels": {"team": "R&D team"}}}, "team"),
        ({"workers": {"labels": {"team": "x" * 64}}}, "team"),
        ({"workers": {"nodeSelector": {"a b": "c"}}}, "a b"),
        ({"workers": {"nodeSelector": {"pool": "c d"}}}, "pool"),
        ({"workers": {"securityContext": {"seccompProfile": {"type": "Localhost"}}}}, "localhostProfile"),
    ],
)
def test_a_value_of_which_no_pod_could_be_made_is_refused_by_its_name(render, values, named):
    with pytest.raises(Refused, match=named):
        render(**values)


def test_well_formed_labels_and_profiles_are_taken(render):
    profile = {"type": "Localhost", "localhostProfile": "profiles/trace.json"}
    labels = {"team": "data", "example.org/cost-center": "4711", "empty": ""}
    read = given(render, workers={"labels": labels, "securityContext": {"seccompProfile": profile}})
    assert (read.labels, read.security_context.seccomp_profile.manifest()) == (labels, profile)
