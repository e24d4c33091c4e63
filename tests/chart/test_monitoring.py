"""What the chart gives to the Prometheus operator, where there is one."""

import json
import re

import yaml

from hack.generate import alert_rules, dashboards
from tests.chart.conftest import CHART, NAMESPACE, OPERATOR
from tests.support.scrape import promtool
from traceplane.reconcile import podspec
from traceplane.settings.parts import Controller

THRESHOLDS = yaml.safe_load((CHART / "values.yaml").read_text())["monitoring"]["thresholds"]


def rules(rendered):
    spec = rendered.one("PrometheusRule", "trace-alerts")["spec"]
    return {rule["alert"]: rule for group in spec["groups"] for rule in group["rules"]}


def test_there_is_nothing_where_the_cluster_lacks_the_kinds_or_nobody_wants_it(render):
    for rendered in (render(), render(kinds=OPERATOR, monitoring={"enabled": False})):
        assert not rendered.kind("PrometheusRule") + rendered.kind("PodMonitor")
    assert render(kinds=OPERATOR[:1]).kind("PrometheusRule")
    assert not render(kinds=OPERATOR[:1]).kind("PodMonitor")


def test_the_rules_are_those_of_the_plain_file_for_this_namespace(render, tmp_path):
    found = rules(render(kinds=OPERATOR))
    plain = {rule["alert"]: rule for rule in alert_rules.rules()}
    assert list(found) == list(plain)
    for name, rule in found.items():
        assert rule["labels"] == plain[name]["labels"] | {"namespace": NAMESPACE}, name
        assert rule["annotations"] == plain[name]["annotations"], name
        scoped = rule["expr"].replace(f'namespace="{NAMESPACE}"', "")
        assert scoped == plain[name]["expr"], name
        selectors = re.findall(r"trace_\w+(\{[^}]*\})?", rule["expr"])
        assert all(f'namespace="{NAMESPACE}"' in selector for selector in selectors), name
    file = tmp_path / "rules.yaml"
    file.write_text(json.dumps({"groups": [{"name": "all", "rules": list(found.values())}]}))
    assert promtool("check", "rules", str(file))[0] == 0


def test_every_threshold_is_a_value_and_changes_a_rule(render):
    before = rules(render(kinds=OPERATOR))
    named = set(re.findall(r"\$\((\w+)\)", alert_rules.SOURCE.read_text())) - {
        "scope",
        "runbooks",
        "watchStaleSeconds",
    }
    assert named == set(THRESHOLDS)
    for name, value in THRESHOLDS.items():
        changed = rules(render(kinds=OPERATOR, monitoring={"thresholds": {name: value + 0.5}}))
        assert [alert for alert in before if before[alert] != changed[alert]], name


def test_a_silent_watch_alerts_before_the_controller_is_restarted_for_it(render):
    expr = rules(render(kinds=OPERATOR))["TraceWatchSilent"]["expr"]
    assert expr.endswith(f"> {Controller.model_fields['watch_stale_seconds'].default}")
    expr = rules(render(kinds=OPERATOR, config={"watch_stale_seconds": 60}))["TraceWatchSilent"]["expr"]
    assert expr.endswith("> 60")


def test_a_large_threshold_is_written_without_an_exponent(render):
    changed = rules(render(kinds=OPERATOR, monitoring={"thresholds": {"queueAgeSeconds": 123456789}}))
    assert changed["TraceQueueOld"]["expr"].endswith("> 123456789")
    changed = rules(render(kinds=OPERATOR, monitoring={"thresholds": {"certificateDays": 0.25}}))
    assert changed["TraceCertificateEnds"]["expr"].endswith("< 0.25")


def test_runbooks_are_read_where_the_values_say(render):
    found = rules(render(kinds=OPERATOR, monitoring={"runbooks": "https://wiki.example.org/x"}))
    url = found["TraceTasksDead"]["annotations"]["runbook_url"]
    assert url == "https://wiki.example.org/x/tasks-not-done.md#dead"


def test_objects_carry_the_labels_by_which_a_prometheus_finds_them(render):
    rendered = render(kinds=OPERATOR, monitoring={"labels": {"release": "mine"}, "interval": "10s"})
    objects = rendered.kind("PrometheusRule") + rendered.kind("PodMonitor")
    assert len(objects) == 3
    for item in objects:
        assert item["metadata"]["labels"]["release"] == "mine"
        assert item["metadata"]["labels"]["app.kubernetes.io/instance"] == "release1"
    ends = [end for item in rendered.kind("PodMonitor") for end in item["spec"]["podMetricsEndpoints"]]
    assert {end["interval"] for end in ends} == {"10s"}


def test_the_dashboards_are_in_a_config_map_that_grafanas_sidecar_finds(render):
    made = render(monitoring={"dashboards": {"annotations": {"grafana_folder": "Trace"}}})
    found = made.one("ConfigMap", "trace-dashboards")
    assert found["data"] == {path.name: path.read_text() for path in dashboards.TARGET.iterdir()}
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert found["metadata"]["annotations"] == {"grafana_folder": "Trace"}
    labelled = render(monitoring={"dashboards": {"labels": {"dashboards": "mine"}}})
    assert labelled.one("ConfigMap", "trace-dashboards")["metadata"]["labels"]["dashboards"] == "mine"
    for values in ({"enabled": False}, {"dashboards": {"enabled": False}}):
        names = [item["metadata"]["name"] for item in render(monitoring=values).kind("ConfigMap")]
        assert "trace-dashboards" not in names


def selected(monitor, labels):
    """Whether a PodMonitor's selector takes a pod."""
    selector = monitor["spec"]["selector"]
    for rule in selector.get("matchExpressions", []):
        value = labels.get(rule["key"])
        if value is None or (rule["operator"] == "In" and value not in rule["values"]):
            return False
    return selector.get("matchLabels", {}).items() <= labels.items()


def scraped(rendered):
    """Container to the port at which a PodMonitor scrapes it, of the Deployments and StatefulSets."""
    found = {}
    for workload in rendered.kind("Deployment") + rendered.kind("StatefulSet"):
        template = workload["spec"]["template"]
        for monitor in rendered.kind("PodMonitor"):
            if not selected(monitor, template["metadata"]["labels"]):
                continue
            ports = {end["port"] for end in monitor["spec"]["podMetricsEndpoints"]}
            for container in template["spec"]["containers"]:
                for port in container.get("ports", []):
                    if port["name"] in ports:
                        found.setdefault(container["name"], []).append(port["containerPort"])
    return found


def test_each_process_is_scraped_once_at_its_port(render):
    wanted = {"controller": [9090], "dispatcher": [8080], "query": [8082]}
    assert scraped(render(kinds=OPERATOR, exampleChain={"enabled": True})) == wanted
    assert scraped(render(kinds=OPERATOR, query={"mode": "Deployment"})) == wanted


def test_workers_are_scraped_and_their_measures_named(render):
    workers = render(kinds=OPERATOR).one("PodMonitor", "trace-workers")
    labels = {"trace.dev/dag": "chain", "trace.dev/job": "follow"}
    assert selected(workers, labels)
    assert not selected(workers, {"app.kubernetes.io/name": "trace"})
    (end,) = workers["spec"]["podMetricsEndpoints"]
    assert end["port"] == "metrics", "as podspec names it"
    assert podspec.METRICS_PORT == 9090
    named = {rule["targetLabel"]: rule["sourceLabels"] for rule in end["relabelings"]}
    assert named == {
        "dag": ["__meta_kubernetes_pod_label_trace_dev_dag"],
        "job_name": ["__meta_kubernetes_pod_label_trace_dev_job"],
    }


def test_who_may_scrape_reaches_every_port(render):
    peer = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    rendered = render(kinds=OPERATOR, networkPolicies={"metricsFrom": [peer]}, query={"mode": "Deployment"})
    reached = set()
    for policy in rendered.kind("NetworkPolicy"):
        for rule in policy["spec"].get("ingress") or []:
            if peer in rule.get("from", [peer]):
                reached |= {port["port"] for port in rule["ports"]}
    assert {9090, 8080, 8082} <= reached


def test_notes_tell_where_nothing_is_watched_and_where_nobody_may_scrape(notes):
    assert "No PrometheusRule was made: the cluster has no such kind." in notes()
    assert "No PrometheusRule was made: monitoring.enabled is false." in notes(
        kinds=OPERATOR, monitoring={"enabled": False}
    )
    assert "networkPolicies.metricsFrom" in notes(kinds=OPERATOR)
    peer = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    quiet = notes(kinds=OPERATOR, networkPolicies={"metricsFrom": [peer]})
    assert "metricsFrom" not in quiet
    assert "PrometheusRule" not in quiet
