"""NetworkPolicies as rules of nftables: what is isolated, what is let through, what is left out."""

from __future__ import annotations

from typing import Any

import pytest

from hack.localcluster.policyrules import Pod, World, pod_from, ruleset, selects

WEB = Pod("shop", "10.0.0.1", {"app": "web"}, {("http", "TCP"): 8080})
OLD_WEB = Pod("shop", "10.0.0.2", {"app": "web"}, {("http", "TCP"): 80})
CLIENT = Pod("shop", "10.0.0.3", {"app": "client"}, {})
STRANGER = Pod("other", "10.0.0.4", {"app": "client"}, {})
NAMESPACES = {"shop": {"team": "a"}, "other": {"team": "b"}}


def rules(*policies: dict[str, Any]) -> str:
    return ruleset(World(NAMESPACES, (WEB, OLD_WEB, CLIENT, STRANGER), policies))


def policy(selected: str, **spec: Any) -> dict[str, Any]:
    selector = {"matchLabels": {"app": selected}} if selected else {}
    return {"metadata": {"namespace": "shop", "name": f"p-{selected}"}, "spec": {"podSelector": selector, **spec}}


def test_without_policies_nothing_is_isolated() -> None:
    assert "jump" not in rules()


def test_a_selected_pod_is_isolated_only_in_the_direction_named() -> None:
    text = rules(policy("client", policyTypes=["Egress"]))
    assert "ip saddr { 10.0.0.3 } jump egress" in text
    assert "jump ingress" not in text


def test_a_policy_without_types_means_ingress_and_egress_only_with_rules() -> None:
    assert "jump egress" not in rules(policy("web"))
    assert "jump egress" in rules(policy("web", egress=[{}]))


def test_an_empty_rule_lets_everything_through_and_no_rule_nothing() -> None:
    assert "ip daddr { 10.0.0.1, 10.0.0.2 } return" in rules(policy("web", ingress=[{}]))
    assert "return" not in rules(policy("web", policyTypes=["Ingress"], ingress=[]))


def test_a_pod_selector_stays_in_the_namespace_of_its_policy() -> None:
    text = rules(policy("web", ingress=[{"from": [{"podSelector": {"matchLabels": {"app": "client"}}}]}]))
    assert "ip saddr { 10.0.0.3 } return" in text


def test_a_namespace_selector_with_a_pod_selector_asks_for_both() -> None:
    peer = {"namespaceSelector": {"matchLabels": {"team": "b"}}, "podSelector": {"matchLabels": {"app": "client"}}}
    assert "ip saddr { 10.0.0.4 } return" in rules(policy("web", ingress=[{"from": [peer]}]))


def test_a_peer_that_matches_no_pod_lets_nothing_through() -> None:
    text = rules(policy("web", ingress=[{"from": [{"podSelector": {"matchLabels": {"app": "nobody"}}}]}]))
    assert "return" not in text


def test_an_address_block_leaves_out_its_exceptions() -> None:
    block = {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}
    text = rules(policy("client", policyTypes=["Egress"], egress=[{"to": [block]}]))
    assert "ip daddr 10.0.0.0/8 ip daddr != { 10.1.0.0/16 } return" in text


def test_a_named_port_is_that_of_each_destination() -> None:
    text = rules(policy("web", ingress=[{"ports": [{"port": "http"}]}]))
    assert "ip daddr { 10.0.0.2 } tcp dport 80 return" in text
    assert "ip daddr { 10.0.0.1 } tcp dport 8080 return" in text


def test_ports_may_be_a_range_and_of_another_protocol() -> None:
    ports = [{"port": 53, "protocol": "UDP"}, {"port": 3000, "endPort": 3010}, {"protocol": "SCTP"}]
    text = rules(policy("client", policyTypes=["Egress"], egress=[{"ports": ports}]))
    assert "udp dport 53 return" in text
    assert "tcp dport 3000-3010 return" in text
    assert "meta l4proto sctp return" in text


@pytest.mark.parametrize(
    ("operator", "values", "labels", "expected"),
    [
        ("In", ["a"], {"k": "a"}, True),
        ("In", ["a"], {}, False),
        ("NotIn", ["a"], {}, True),
        ("NotIn", ["a"], {"k": "a"}, False),
        ("Exists", None, {"k": ""}, True),
        ("DoesNotExist", None, {"k": ""}, False),
        ("DoesNotExist", None, {}, True),
    ],
)
def test_label_expressions(operator: str, values: list[str] | None, labels: dict[str, str], expected: bool) -> None:
    expression = {"key": "k", "operator": operator, "values": values}
    assert selects({"matchExpressions": [expression]}, labels) is expected


@pytest.mark.parametrize(
    "document",
    [
        {"spec": {"hostNetwork": True, "containers": []}, "status": {"podIP": "10.0.0.9", "phase": "Running"}},
        {"spec": {"containers": []}, "status": {"phase": "Pending"}},
        {"spec": {"containers": []}, "status": {"podIP": "10.0.0.9", "phase": "Succeeded"}},
    ],
    ids=["on the node's network", "without an address yet", "finished, its address may be another's now"],
)
def test_pods_that_policies_do_not_apply_to(document: dict[str, Any]) -> None:
    assert pod_from({"metadata": {"namespace": "shop", "name": "x"}, **document}) is None
