"""The validating webhook of the chart: its scope, its certificate, and who may reach it."""

import base64

import pytest
from cryptography import x509

from tests.chart.conftest import NAMESPACE, Refused


def test_nothing_of_it_is_there_by_default(render):
    rendered = render()
    assert not rendered.kind("ValidatingWebhookConfiguration")
    assert "TRACE_ADMISSION_PORT" not in str(rendered)
    assert rendered.one("NetworkPolicy", "trace-controller")["spec"]["ingress"] == []


def served(*names):
    """The namespaces that the API server asks about."""
    return {"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "In", "values": list(names)}]}


def test_the_api_server_asks_about_the_namespaces_that_are_served(render):
    rendered = render(admission={"enabled": True}, watchNamespaces=["a", "b"])
    (webhook,) = rendered.kind("ValidatingWebhookConfiguration")[0]["webhooks"]
    assert webhook["namespaceSelector"] == served("a", "b")


def test_the_api_server_asks_about_the_own_namespace_and_waits_for_nobody(render):
    rendered = render(admission={"enabled": True})
    (webhook,) = rendered.kind("ValidatingWebhookConfiguration")[0]["webhooks"]
    assert webhook["namespaceSelector"] == served(NAMESPACE)
    assert (webhook["failurePolicy"], webhook["timeoutSeconds"], webhook["sideEffects"]) == ("Ignore", 5, "None")
    assert webhook["rules"][0]["resources"] == ["dags", "jobs", "assets"]
    assert f"system:serviceaccount:{NAMESPACE}:trace-controller" in webhook["matchConditions"][0]["expression"]
    (container,) = rendered.one("Deployment", "trace-controller")["spec"]["template"]["spec"]["containers"]
    assert {"name": "TRACE_ADMISSION_PORT", "value": "9443"} in container["env"]
    assert rendered.one("Service", "trace-admission")["spec"]["ports"][0]["targetPort"] == "admission"


def test_its_certificate_is_of_the_service_and_signed_by_the_bundle(render):
    rendered = render(admission={"enabled": True})
    (webhook,) = rendered.kind("ValidatingWebhookConfiguration")[0]["webhooks"]
    secret = rendered.one("Secret", "trace-admission")
    authority = x509.load_pem_x509_certificate(base64.b64decode(webhook["clientConfig"]["caBundle"]))
    served = x509.load_pem_x509_certificate(base64.b64decode(secret["data"]["tls.crt"]))
    served.verify_directly_issued_by(authority)
    names = served.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert f"trace-admission.{NAMESPACE}.svc" in names.get_values_for_type(x509.DNSName)
    renewed = int(secret["metadata"]["annotations"]["trace.dev/renew-after"])
    left = served.not_valid_after_utc.timestamp() - renewed
    assert 300 * 86400 < left < 400 * 86400, "it is made anew in its last year"


def test_it_is_reached_by_the_api_server_and_metrics_by_their_scraper(render):
    peer = {"ipBlock": {"cidr": "192.0.2.0/24"}}
    monitoring = {"namespaceSelector": {}}
    rendered = render(admission={"enabled": True, "from": [peer]}, networkPolicies={"metricsFrom": [monitoring]})
    metrics, admission = rendered.one("NetworkPolicy", "trace-controller")["spec"]["ingress"]
    assert metrics == {"ports": [{"protocol": "TCP", "port": 9090}], "from": [monitoring]}
    assert admission == {"ports": [{"protocol": "TCP", "port": 9443}], "from": [peer]}


def test_cert_manager_or_a_secret_of_ones_own_takes_the_place_of_the_charts(render):
    issuer = {"name": "internal", "kind": "ClusterIssuer"}
    managed = render(admission={"enabled": True, "certManager": {"enabled": True, "issuerRef": issuer}})
    assert managed.one("Certificate", "trace-admission")["spec"]["issuerRef"] == issuer
    configuration = managed.kind("ValidatingWebhookConfiguration")[0]
    assert (
        configuration["metadata"]["annotations"]["cert-manager.io/inject-ca-from"] == f"{NAMESPACE}/trace-admission"
    )
    own = render(admission={"enabled": True, "existingSecret": "mine", "caBundle": "QUJD"})
    assert own.kind("ValidatingWebhookConfiguration")[0]["webhooks"][0]["clientConfig"]["caBundle"] == "QUJD"
    for rendered in (managed, own):
        assert not [each for each in rendered.kind("Secret") if each["metadata"]["name"] == "trace-admission"]


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"certManager": {"enabled": True}}, r"admission\.certManager\.issuerRef"),
        ({"existingSecret": "mine"}, r"admission\.existingSecret"),
        ({"failurePolicy": "Sometimes"}, "failurePolicy"),
        ({"timeoutSeconds": 31}, "timeoutSeconds"),
    ],
)
def test_what_contradicts_itself_is_refused(render, values, named):
    with pytest.raises(Refused, match=named):
        render(admission={"enabled": True, **values})
