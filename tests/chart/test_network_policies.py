"""Who may open a connection to what by the rendered network policies, and which pods none of them holds: the docs
tell people what they may count on, and what they may not."""

import pytest

from tests.chart.conftest import EXTERNAL


def test_every_pod_of_the_release_is_behind_a_policy(render):
    """But for the example chain, which anybody may call."""
    rendered = render(exampleChain={"enabled": True})
    selected = {
        policy["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/component"]
        for policy in rendered.kind("NetworkPolicy")
        if "matchLabels" in policy["spec"]["podSelector"]
    }
    pods = {
        item["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/component"]
        for kind in ("Deployment", "StatefulSet")
        for item in rendered.kind(kind)
    }
    assert selected == pods - {"example-chain"}
    assert not render(networkPolicies={"enabled": False}).kind("NetworkPolicy")


def _from(rendered, policy, port):
    """Components that a policy lets open a port; None for everybody."""
    found = set()
    for rule in rendered.one("NetworkPolicy", policy)["spec"]["ingress"]:
        if port in [allowed["port"] for allowed in rule["ports"]]:
            if "from" not in rule:
                return None
            for peer in rule["from"]:
                labels = peer["podSelector"].get("matchLabels", {"app.kubernetes.io/component": "worker"})
                found.add(labels["app.kubernetes.io/component"])
    return found


def _to(rendered, policy):
    """What a policy lets pods open: port to components, `outside` for addresses; None where it lets everything."""
    spec = rendered.one("NetworkPolicy", policy)["spec"]
    if "Egress" not in spec["policyTypes"]:
        return None
    found = {}
    for rule in spec["egress"]:
        for port in [allowed["port"] for allowed in rule.get("ports", [{"port": "any"}])]:
            for peer in rule.get("to", [{}]):
                labels = peer.get("podSelector", {}).get("matchLabels", {})
                to = labels.get("app.kubernetes.io/component", "outside" if "ipBlock" in peer else "everybody")
                found.setdefault(port, set()).add(to)
    return found


def test_what_runs_users_work_opens_what_it_needs_and_nothing_else(render):
    inside = {53: {"everybody"}, 8080: {"dispatcher"}, 5432: {"postgres"}, 9000: {"minio"}}
    alone = {"query": {"mode": "Deployment"}}
    rendered, external = render(**alone), render(**alone, **EXTERNAL)
    assert _to(rendered, "trace-workers") == inside | {8082: {"query"}}
    assert _to(rendered, "trace-query") == inside | {443: {"outside"}, 6443: {"outside"}}
    assert _to(rendered, "trace-rpc") == {port: {"outside"} for port in (80, 443, 8545, 8546)}
    assert _to(rendered, "trace-postgres") == _to(rendered, "trace-minio") == {}
    assert _to(rendered, "trace-dispatcher") is None
    needed = {53: {"everybody"}, 8080: {"dispatcher"}, 443: {"outside"}, 5432: {"outside"}}
    assert _to(external, "trace-workers") == needed | {8082: {"query"}}
    assert _to(external, "trace-query") == needed | {6443: {"outside"}}


def test_no_pod_is_let_to_an_instances_metadata(render):
    rendered = render(query={"mode": "Deployment"}, **EXTERNAL)
    blocks = [
        peer["ipBlock"]
        for policy in rendered.kind("NetworkPolicy")
        for rule in policy["spec"].get("egress", [])
        for peer in rule.get("to", [])
        if "ipBlock" in peer
    ]
    assert {block["cidr"] for block in blocks} == {"0.0.0.0/0", "::/0"}
    assert all(
        "169.254.0.0/16" in block["except"] or {"fe80::/10", "fd00:ec2::/32"} == set(block["except"])
        for block in blocks
    )


def test_values_open_more_to_workers(render):
    rule = {"ports": [{"protocol": "TCP", "port": 25}]}
    rendered = render(networkPolicies={"workersTo": [rule], "storePorts": [8443]}, **EXTERNAL)
    assert _to(rendered, "trace-workers")[25] == {"everybody"}
    assert _to(rendered, "trace-workers")[8443] == {"outside"}
    store = EXTERNAL["s3"] | {"endpoint": "https://s3.example.org:9443"}
    assert 9443 in _to(render(**EXTERNAL | {"s3": store}), "trace-workers"), "the store's own port is let through"


def test_nodes_of_an_rpc_pool_are_at_the_ports_that_values_name_or_at_any(render):
    assert set(_to(render(networkPolicies={"rpcPorts": [9650]}), "trace-rpc")) == {9650}
    assert _to(render(networkPolicies={"rpcPorts": []}), "trace-rpc") == {"any": {"outside"}}


def test_token_keys_are_at_the_ports_that_values_name(render):
    alone = {"query": {"mode": "Deployment"}}
    named = _to(render(**alone, networkPolicies={"issuerPorts": [8443]}), "trace-query")
    assert [port for port, to in named.items() if "outside" in to] == [8443]


def test_no_worker_is_let_to_what_only_users_ask(render):
    """Not even who uses a pool. The user API's own policy keeps nobody away: users may come from anywhere."""
    rendered = render()
    for policy in ("trace-workers", "trace-rpc"):
        assert not _to(rendered, policy).keys() & {"any", 8081}, policy


def test_a_query_service_of_its_own_has_policies_of_its_own(render):
    beside, alone = render(), render(query={"mode": "Deployment"})
    assert not [item for item in beside.kind("Deployment") if item["metadata"]["name"] == "trace-query"]
    assert _from(beside, "trace-dispatcher", 8082) is None
    assert _from(alone, "trace-dispatcher", 8082) == set()
    assert _from(alone, "trace-query", 8082) is None
    assert _from(beside, "trace-dispatcher", 8080) == {"worker"}
    assert _from(alone, "trace-dispatcher", 8080) == {"worker", "query"}
    assert _from(alone, "trace-postgres", 5432) == {"controller", "dispatcher", "query", "worker"}
    assert _from(alone, "trace-minio", 9000) == {"dispatcher", "query", "worker"}
    assert _from(beside, "trace-minio", 9000) == {"dispatcher", "worker"}


def _labels(rendered):
    """Labels of each pod, by name of what makes it."""
    found = {pod["metadata"]["name"]: pod["metadata"]["labels"] for pod in rendered.kind("Pod")}
    for kind in ("Deployment", "StatefulSet"):
        for item in rendered.kind(kind):
            found[item["metadata"]["name"]] = item["spec"]["template"]["metadata"]["labels"]
    return found


def _open(rendered, direction):
    """Pods whose connections in a direction no policy limits."""
    limits = [
        policy["spec"]["podSelector"]["matchLabels"].items()
        for policy in rendered.kind("NetworkPolicy")
        if direction in policy["spec"]["policyTypes"] and "matchLabels" in policy["spec"]["podSelector"]
    ]
    return {
        name for name, labels in _labels(rendered).items() if not any(limit <= labels.items() for limit in limits)
    }


@pytest.mark.parametrize("mode", ["Sidecar", "Deployment"])
def test_no_policy_holds_the_trusted_and_what_anybody_may_call(render, mode):
    rendered = render(query={"mode": mode}, exampleChain={"enabled": True})
    unguarded = {"trace-chain", "trace-test-admin", "trace-test-stranger"}
    assert _open(rendered, "Ingress") == unguarded
    assert _open(rendered, "Egress") == unguarded | {"trace-controller", "trace-dispatcher"}


def test_untrusted_sql_is_behind_a_policy_only_in_pods_of_its_own(render):
    def asked(rendered):
        return {name.split("/")[0] for name, _ in rendered.containers() if name.endswith("/query")} - {
            "trace-test-admin", "trace-test-stranger",
        }  # fmt: skip

    beside, alone = render(), render(query={"mode": "Deployment"})
    assert asked(beside) <= _open(beside, "Egress")
    assert asked(alone) == {"trace-query"}
    assert not asked(alone) & _open(alone, "Egress")
