"""The configuration of the Prometheus beside a demo, and what its discovery says of pods."""

from __future__ import annotations

import yaml

from hack.demo import monitoring
from hack.monitoring.discovery import targets
from tests.services import ROOT


def pod(**changes):
    made = {
        "metadata": {"namespace": "trace", "name": "chain-follow-1", "labels": {"trace.dev/job": "follow"}},
        "spec": {
            "containers": [
                {"name": "worker", "ports": [{"name": "metrics", "containerPort": 9090}, {"containerPort": 1}]},
                {"name": "proxy"},
            ]
        },
        "status": {"podIP": "10.0.0.7", "phase": "Running"},
    }
    return made | changes


def test_each_port_of_a_pod_is_a_target_with_the_labels_of_kubernetes_discovery():
    named, unnamed = targets([pod()])
    assert named == {
        "targets": ["10.0.0.7:9090"],
        "labels": {
            "__meta_kubernetes_namespace": "trace",
            "__meta_kubernetes_pod_name": "chain-follow-1",
            "__meta_kubernetes_pod_phase": "Running",
            "__meta_kubernetes_pod_label_trace_dev_job": "follow",
            "__meta_kubernetes_pod_container_name": "worker",
            "__meta_kubernetes_pod_container_port_name": "metrics",
        },
    }
    assert unnamed["targets"] == ["10.0.0.7:1"]
    assert unnamed["labels"]["__meta_kubernetes_pod_container_port_name"] == ""


def test_a_pod_without_an_address_or_labels_is_no_reason_to_fail():
    bare = pod(metadata={"namespace": "trace", "name": "bare"})
    assert targets([pod(status={}), pod(status={"phase": "Pending"})]) == []
    assert len(targets([bare])) == 2


def test_every_label_that_the_configuration_reads_is_one_of_a_target():
    (scrape,) = monitoring.config("trace", 5)["scrape_configs"]
    read = {label for rule in scrape["relabel_configs"] for label in rule.get("source_labels", [])}
    made = pod(metadata={"namespace": "n", "name": "p", "labels": {"trace.dev/dag": "a", "trace.dev/job": "b"}})
    assert read <= targets([made])[0]["labels"].keys()


def test_the_configuration_is_the_one_of_the_docs_but_for_discovery_and_how_often():
    plain = yaml.safe_load((ROOT / "docs" / "examples" / "prometheus.yml").read_text())
    found = monitoring.config("trace", 5)
    assert found["global"] == {"scrape_interval": "5s", "evaluation_interval": "5s"}
    (scrape,), (documented,) = found["scrape_configs"], plain["scrape_configs"]
    assert scrape.pop("http_sd_configs")[0]["url"].endswith("?namespace=trace")
    assert documented.pop("kubernetes_sd_configs")
    assert scrape == documented
    assert found["rule_files"] == plain["rule_files"]


def test_another_configuration_or_other_rules_are_another_pod():
    def pod_template(configuration, rules):
        made = monitoring.manifests("trace", "image:1", configuration, rules)
        (deployment,) = [document for document in made if document["kind"] == "Deployment"]
        return deployment["spec"]["template"]

    before = pod_template({"a": 1}, {"b": 1})
    assert before == pod_template({"a": 1}, {"b": 1})
    assert before not in (pod_template({"a": 2}, {"b": 1}), pod_template({"a": 1}, {"b": 2}))


def test_the_configuration_and_the_rules_are_whole_in_the_config_map():
    loaded = {"groups": [{"name": "g", "rules": [{"alert": "A", "expr": 'x{a="b"} > 0'}]}]}
    made = monitoring.manifests("trace", "image:1", monitoring.config("trace", 5), loaded)
    (found,) = [document for document in made if document["kind"] == "ConfigMap"]
    assert yaml.safe_load(found["data"]["alerts.yaml"]) == loaded
    assert yaml.safe_load(found["data"]["prometheus.yml"]) == monitoring.config("trace", 5)


def test_it_may_list_the_pods_of_the_namespace_and_do_nothing_else():
    made = monitoring.manifests("trace", "image:1", {}, {})
    (role,) = [document for document in made if document["kind"] == "Role"]
    assert role["rules"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]
    assert role["metadata"]["namespace"] == "trace"
    assert not [document for document in made if document["kind"].startswith("Cluster")]
