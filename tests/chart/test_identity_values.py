"""Whose tokens an installation takes, and who is its first admin: what the chart makes of these values."""

import shutil

import pytest
import yaml

from tests.chart.conftest import CHART, NAMESPACE

LOGIN = "https://login.example.org"
ELSEWHERE = {"issuer": LOGIN, "cluster": False}
NOT_THE_ACCOUNT = {
    "another issuer": {"oidc": ELSEWHERE},
    "another issuer and its user": {"oidc": ELSEWHERE, "firstAdmin": {"identity": f"{LOGIN}|alice"}},
    "another user of the cluster": {
        "firstAdmin": {"identity": "https://kubernetes.default.svc.cluster.local|system:serviceaccount:people:ann"}
    },
    "nobody": {"firstAdmin": {"create": False}},
}


def _first_admins(rendered):
    return {
        variable["value"]
        for _, container in rendered.containers()
        for variable in container.get("env", [])
        if variable["name"] == "TRACE_FIRST_ADMIN"
    }


@pytest.fixture(scope="module")
def notes(helm, tmp_path_factory):
    """Renders NOTES.txt, which `helm template` leaves out: a copy of the chart has it in a ConfigMap as well."""
    folder = tmp_path_factory.mktemp("notes")
    copy = folder / "trace"
    shutil.copytree(CHART, copy)
    text = (CHART / "templates" / "NOTES.txt").read_text()
    (copy / "templates" / "notes.yaml").write_text(
        f'{{{{- define "test.notes" -}}}}\n{text}{{{{- end -}}}}\n'
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: notes}\n"
        'data: {notes: {{ include "test.notes" . | quote }}}\n'
    )

    def run(**values):
        file = folder / "values.yaml"
        file.write_text(yaml.safe_dump(values))
        code, said = helm(
            *("template", "release1", str(copy), "--namespace", NAMESPACE, "--values", str(file)),
            *("--kube-version", "1.34.0", "--show-only", "templates/notes.yaml"),
        )
        assert code == 0, said
        return yaml.safe_load(said)["data"]["notes"]

    return run


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
    issuer = values.get("oidc", {}).get("issuer", "https://kubernetes.default.svc.cluster.local")
    make = f"tracectl admin user add SUBJECT --issuer {issuer} --role admin"
    assert (f"the first admin is {identity}" if identity else make) in said
