"""Which pods no network policy holds: the docs tell people what they may count on, and what they may not."""

import pytest


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
