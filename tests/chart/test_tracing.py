"""Traces: what the chart gives to the processes and to workers, and what lets them through to the collector."""

from __future__ import annotations

import json

import pytest

from tests.chart.conftest import Refused
from traceplane.settings.workerpods import WorkerPods

ON = {"enabled": True, "endpoint": "http://collector.observability.svc:4318", "sampleRatio": 0.25}
HEADERS = "OTEL_EXPORTER_OTLP_HEADERS"


def test_traces_are_off_by_default(render):
    rendered = render()
    data = rendered.one("ConfigMap", "trace-config")["data"]
    assert not [name for name in data if "TRACING" in name or name.startswith("OTEL_")]
    assert "tracing" not in json.loads(data["TRACE_WORKER_PODS"])


def test_every_process_and_every_worker_exports_to_the_collector(render):
    rendered = render(tracing=ON | {"headersSecret": "otlp"})
    data = rendered.one("ConfigMap", "trace-config")["data"]
    assert data["TRACE_TRACING"] == "true"
    assert data["TRACE_TRACING_SAMPLE_RATIO"] == "0.25"
    assert data["OTEL_EXPORTER_OTLP_ENDPOINT"] == ON["endpoint"]
    traced = WorkerPods.model_validate_json(data["TRACE_WORKER_PODS"]).tracing
    assert (traced.endpoint, traced.sample_ratio, traced.headers_secret) == (ON["endpoint"], 0.25, "otlp")
    secret = {"secretKeyRef": {"name": "otlp", "key": "headers", "optional": True}}
    for name, container in rendered.containers():
        if container.get("command", [])[-1:] in (["dispatcher"], ["query"], ["controller"]):
            given = {entry["name"]: entry.get("valueFrom") for entry in container["env"]}
            assert given[HEADERS] == secret, name


def _rules(rendered, policy, port):
    egress = rendered.one("NetworkPolicy", policy)["spec"]["egress"]
    return [rule["to"] for rule in egress if port in [allowed["port"] for allowed in rule["ports"]]]


def test_what_may_open_little_may_open_the_collector(render):
    alone = {"query": {"mode": "Deployment"}}
    peer = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "observability"}}}
    for policy in ("trace-workers", "trace-query"):
        assert _rules(render(**alone), policy, 4318) == []
        ((anywhere, _),) = _rules(render(tracing=ON, **alone), policy, 4318)
        assert anywhere == {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}}
        narrowed = render(tracing=ON, networkPolicies={"tracesTo": [peer]}, **alone)
        assert _rules(narrowed, policy, 4318) == [[peer]]
    for endpoint, port in (("https://otlp.example.org", 443), ("http://otlp.example.org/otlp", 80)):
        rendered = render(tracing=ON | {"endpoint": endpoint}, networkPolicies={"tracesTo": [peer]})
        assert [peer] in _rules(rendered, "trace-workers", port)


@pytest.mark.parametrize(
    ("tracing", "named"),
    [
        ({"enabled": True}, r"tracing\.endpoint: tracing\.enabled is true"),
        (ON | {"endpoint": "collector:4317"}, "/tracing/endpoint"),
        (ON | {"endpoint": "http://user:password@collector:4318"}, "/tracing/endpoint"),
        (ON | {"sampleRatio": 2}, "/tracing/sampleRatio"),
        (ON | {"headers": "authorization=x"}, "headers"),
    ],
)
def test_what_would_export_nothing_or_show_a_secret_is_refused(render, tracing, named):
    with pytest.raises(Refused, match=named):
        render(tracing=tracing)
