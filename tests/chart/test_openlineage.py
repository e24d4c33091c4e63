"""OpenLineage: where the chart lets the dispatcher send run events, and with which key."""

from __future__ import annotations

import pytest

from tests.chart.conftest import Refused

FILE = "TRACE_OPENLINEAGE_API_KEY_FILE"


def _dispatcher(rendered):
    spec = rendered.one("Deployment", "trace-dispatcher")["spec"]["template"]["spec"]
    (container,) = [found for found in spec["containers"] if found["name"] == "dispatcher"]
    return spec, container


def test_no_events_are_sent_by_default(render):
    rendered = render()
    assert "TRACE_OPENLINEAGE_URL" not in rendered.one("ConfigMap", "trace-config")["data"]
    spec, container = _dispatcher(rendered)
    assert FILE not in {entry["name"] for entry in container["env"]}
    assert "openlineage" not in {volume["name"] for volume in spec["volumes"]}


def test_the_dispatcher_gets_the_address_and_the_key_as_a_file(render):
    rendered = render(openLineage={"url": "https://marquez.example.org", "secretName": "marquez"})
    assert (
        rendered.one("ConfigMap", "trace-config")["data"]["TRACE_OPENLINEAGE_URL"] == "https://marquez.example.org"
    )
    spec, container = _dispatcher(rendered)
    (mount,) = [found for found in container["volumeMounts"] if found["name"] == "openlineage"]
    given = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert given[FILE] == f"{mount['mountPath']}/api-key"
    (volume,) = [found for found in spec["volumes"] if found["name"] == "openlineage"]
    assert volume["secret"] == {"secretName": "marquez", "optional": True}


def test_nothing_keeps_the_dispatcher_from_a_receiver_anywhere(render):
    policies = [
        found for found in render().kind("NetworkPolicy") if found["metadata"]["name"] == "trace-dispatcher"
    ]
    assert [policy["spec"]["policyTypes"] for policy in policies] == [["Ingress"]]


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"url": "marquez:5000"}, "/openLineage/url"),
        ({"url": "https://user:password@marquez"}, "/openLineage/url"),
        ({"url": "https://marquez?api_key=x"}, "/openLineage/url"),
        ({"apiKey": "x"}, "apiKey"),
    ],
)
def test_what_is_no_address_or_would_show_a_key_is_refused(render, given, named):
    with pytest.raises(Refused, match=named):
        render(openLineage=given)
