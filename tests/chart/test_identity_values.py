"""Whose tokens an installation takes, and who is its first admin: what the chart makes of these values."""

import re

import pytest

from tests.chart.conftest import NAMESPACE, Refused
from traceplane.cli import connection

OWN = "https://kubernetes.default.svc.cluster.local"
LOGIN = "https://login.example.org"
ELSEWHERE = {"issuer": LOGIN, "cluster": False}
NOT_THE_ACCOUNT = {
    "another issuer": {"oidc": ELSEWHERE},
    "another issuer and its user": {"oidc": ELSEWHERE, "firstAdmin": {"identity": f"{LOGIN}|alice"}},
    "another user of the cluster": {"firstAdmin": {"identity": f"{OWN}|system:serviceaccount:people:ann"}},
    "nobody": {"firstAdmin": {"create": False}},
}


def _first_admins(rendered):
    return {
        variable["value"]
        for _, container in rendered.containers()
        for variable in container.get("env", [])
        if variable["name"] == "TRACE_FIRST_ADMIN"
    }


def test_the_first_admins_account_is_made_and_asks_in_helm_test(render):
    rendered = render()
    assert rendered.one("ServiceAccount", "trace-admin")
    assert {pod["spec"]["serviceAccountName"] for pod in rendered.kind("Pod")} == {
        "trace-admin", "trace-test-stranger",
    }  # fmt: skip


@pytest.mark.parametrize("values", NOT_THE_ACCOUNT.values(), ids=NOT_THE_ACCOUNT)
def test_no_token_of_the_cluster_is_shown_where_no_account_is_the_first_admin(render, values):
    rendered = render(**values)
    assert not rendered.kind("Pod")
    accounts = {item["metadata"]["name"] for item in rendered.kind("ServiceAccount")}
    assert accounts == {"trace-controller", "trace-dispatcher"}
    identity = values.get("firstAdmin", {}).get("identity")
    assert _first_admins(rendered) == ({identity} if identity else set())


def test_notes_tell_how_to_ask_as_the_first_admins_account(notes):
    said = notes(fullnameOverride="etl", oidc={"audience": "etl"})
    assert f"helm -n {NAMESPACE} test release1" in said
    assert f"kubectl -n {NAMESPACE} create token etl-admin --audience etl" in said


@pytest.mark.parametrize("values", NOT_THE_ACCOUNT.values(), ids=NOT_THE_ACCOUNT)
def test_notes_send_nobody_for_a_token_of_an_account_that_is_not_there(notes, values):
    said = notes(**values)
    assert "create token" not in said
    assert f"helm -n {NAMESPACE} test" not in said
    identity = values.get("firstAdmin", {}).get("identity")
    issuer = values.get("oidc", {}).get("issuer", OWN)
    make = f"tracectl admin user add SUBJECT --issuer {issuer} --role admin"
    assert (f"the first admin is {identity}" if identity else make) in said


KEYS = "https://kubernetes.default.svc/openid/v1/jwks"
OF_THE_CLUSTER = [
    ({}, OWN, KEYS),
    ({"cluster": True}, OWN, KEYS),
    ({"issuer": "https://kubernetes.default.svc"}, "https://kubernetes.default.svc", KEYS),
    ({"issuer": "https://kubernetes.default.svc.example.org"}, "https://kubernetes.default.svc.example.org", KEYS),
    ({"issuer": "https://cloud.example.org/id/1", "cluster": True}, "https://cloud.example.org/id/1", KEYS),
    ({"jwksUrl": "https://10.0.0.1:6443/openid/v1/jwks"}, OWN, "https://10.0.0.1:6443/openid/v1/jwks"),
]
CONTRADICTIONS = [
    ({"oidc": {"issuer": LOGIN}}, "oidc.cluster: oidc.issuer was changed"),
    ({"oidc": {"issuer": "https://kubernetes.default.svcs"}}, "oidc.cluster: oidc.issuer was changed"),
    ({"oidc": {"jwksUrl": f"{LOGIN}/keys"}}, "oidc.jwksUrl: keys of the cluster"),
    ({"oidc": {"cluster": True, "issuer": LOGIN, "jwksUrl": f"{LOGIN}/keys"}}, "oidc.jwksUrl: keys of the cluster"),
    ({"oidc": {"jwksUrl": "http://10.0.0.1/openid/v1/jwks"}}, "oidc.jwksUrl: keys of the cluster"),
    ({"oidc": {"cluster": False}}, "oidc.issuer: oidc.cluster is false"),
    ({"firstAdmin": {"identity": f"{LOGIN}|alice"}}, "firstAdmin.identity: no token of its issuer"),
    ({"oidc": ELSEWHERE, "firstAdmin": {"identity": f"{LOGIN}/|alice"}}, "firstAdmin.identity: no token of its"),
]


@pytest.mark.parametrize(("oidc", "issuer", "keys"), OF_THE_CLUSTER)
def test_the_clusters_own_issuer_may_have_any_name(render, oidc, issuer, keys):
    rendered = render(oidc=oidc)
    settings = rendered.one("ConfigMap", "trace-config")["data"]
    assert (settings["TRACE_OIDC_ISSUER"], settings["TRACE_OIDC_JWKS_URL"]) == (issuer, keys)
    assert settings["TRACE_OIDC_BEARER_FILE"] == "/var/run/secrets/trace/token"
    assert rendered.kind("ClusterRoleBinding")
    assert _first_admins(rendered) == {f"{issuer}|system:serviceaccount:{NAMESPACE}:trace-admin"}
    volumes = rendered.one("Deployment", "trace-dispatcher")["spec"]["template"]["spec"]["volumes"]
    assert "identity" in {volume["name"] for volume in volumes}


def test_keys_of_another_issuer_are_asked_for_without_a_token_of_the_cluster(render):
    for oidc in (ELSEWHERE | {"jwksUrl": f"{LOGIN}/keys"}, {"cluster": False, "jwksUrl": f"{LOGIN}/keys"}):
        rendered = render(oidc=oidc)
        settings = rendered.one("ConfigMap", "trace-config")["data"]
        assert settings["TRACE_OIDC_JWKS_URL"] == f"{LOGIN}/keys"
        assert not settings.keys() & {"TRACE_OIDC_CA_FILE", "TRACE_OIDC_BEARER_FILE"}
        assert not rendered.kind("ClusterRoleBinding")


def test_the_first_admin_may_be_of_any_issuer_whose_tokens_are_taken(render):
    identity = f"{LOGIN}|alice"
    named = {"firstAdmin": {"identity": identity}}
    assert _first_admins(render(oidc=ELSEWHERE, **named)) == {identity}
    others = {"oidc_other_issuers": f"https://other.example.org  {LOGIN}"}
    assert _first_admins(render(config=others, **named)) == {identity}


@pytest.mark.parametrize(("values", "said"), CONTRADICTIONS)
def test_values_that_would_refuse_every_token_are_refused_with_the_remedy(render, values, said):
    with pytest.raises(Refused, match=re.escape(said)):
        render(**values)


@pytest.mark.parametrize(
    ("kind", "component"),
    [
        ("Service", connection.USER_API.component),
        ("Service", connection.QUERY_SERVICE.component),
        ("ServiceAccount", "admin"),
    ],
)
@pytest.mark.parametrize("mode", ["Sidecar", "Deployment"])
def test_tracectl_finds_one_of_what_it_looks_for_whatever_it_is_called(render, mode, kind, component):
    wanted = dict(pair.split("=") for pair in connection.LABELS.format(component=component).split(","))
    found = [
        item["metadata"]["name"]
        for item in render(fullnameOverride="etl", query={"mode": mode}).kind(kind)
        if wanted.items() <= item["metadata"]["labels"].items()
    ]
    assert found == [f"etl-{component}"]
