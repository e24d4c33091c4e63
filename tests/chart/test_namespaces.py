"""The namespaces that a release serves: rights, walls and Secrets in exactly these."""

import pytest
import yaml

from tests.chart.conftest import CHART, EXTERNAL, NAMESPACE, Refused

EVERYTHING = {"pods", "deployments", "dags", "jobs", "assets", "bundles", "events", "leases"}


def rights(rendered):
    """By namespace: the resources that the controller may do something with."""
    bound = {item["metadata"]["namespace"] for item in rendered.kind("RoleBinding")}
    roles = {item["metadata"]["namespace"]: item["rules"] for item in rendered.kind("Role")}
    assert bound == roles.keys()
    return {
        namespace: {resource.partition("/")[0] for rule in rules for resource in rule["resources"]}
        for namespace, rules in roles.items()
    }


def test_without_a_list_the_controller_has_rights_in_its_own_namespace_alone(render):
    assert rights(render()) == {NAMESPACE: EVERYTHING}


def test_it_has_rights_in_each_listed_namespace_and_in_its_own_for_its_lease_only(render):
    rendered = render(watchNamespaces=["a", "b"])
    assert rights(rendered) == {"a": EVERYTHING, "b": EVERYTHING, NAMESPACE: {"leases"}}
    (cluster,) = rendered.kind("ClusterRoleBinding")
    assert cluster["roleRef"]["name"] == "system:service-account-issuer-discovery"
    assert not rendered.kind("ClusterRole")
    for binding in rendered.kind("RoleBinding"):
        assert binding["subjects"] == [
            {"kind": "ServiceAccount", "name": "trace-controller", "namespace": NAMESPACE}
        ]


def test_its_own_namespace_is_served_where_it_is_listed(render):
    assert rights(render(watchNamespaces=[NAMESPACE, "b"])) == {NAMESPACE: EVERYTHING, "b": EVERYTHING}


@pytest.mark.parametrize("listed", [[], ["a", "b"], [NAMESPACE, "b"]])
def test_the_controller_is_told_what_it_has_rights_for(render, listed):
    rendered = render(watchNamespaces=listed)
    told = rendered.one("ConfigMap", "trace-config")["data"]["TRACE_WATCH_NAMESPACES"].split()
    assert told == [name for name, may in rights(rendered).items() if may == EVERYTHING] == (listed or [NAMESPACE])


def test_workers_of_every_namespace_get_the_token_that_the_dispatcher_knows(render):
    rendered = render(watchNamespaces=["a", "b"])
    found = [item for item in rendered.kind("Secret") if item["metadata"]["name"] == "trace-worker"]
    assert {item["metadata"]["namespace"] for item in found} == {NAMESPACE, "a", "b"}
    assert len({(item["stringData"]["token"], item["stringData"]["dsn"]) for item in found}) == 1
    assert f"@trace-postgres.{NAMESPACE}.svc:5432/" in found[0]["stringData"]["dsn"]


def test_secrets_of_other_namespaces_go_with_the_release(render):
    rendered = render(watchNamespaces=["a"])
    kept = {
        item["metadata"].get("namespace", NAMESPACE)
        for item in rendered.kind("Secret")
        if item["metadata"].get("annotations", {}).get("helm.sh/resource-policy") == "keep"
    }
    assert kept == {NAMESPACE}


def test_with_a_secret_of_your_own_the_chart_puts_none_anywhere(render):
    rendered = render(**EXTERNAL, watchNamespaces=["a"])
    assert not rendered.kind("Secret")


def test_every_namespace_has_the_walls_of_workers_and_the_doors_open_to_them(render):
    rendered = render(watchNamespaces=["a", "b"])
    walls = [
        (item["metadata"].get("namespace"), item["metadata"]["name"]) for item in rendered.kind("NetworkPolicy")
    ]
    for namespace in ("a", "b"):
        assert (namespace, "trace-workers") in walls
        assert (namespace, "trace-rpc") in walls
    assert (NAMESPACE, "trace-workers") not in walls
    for name in ("trace-postgres", "trace-minio", "trace-dispatcher"):
        peers = rendered.one("NetworkPolicy", name)["spec"]["ingress"][0]["from"]
        (workers,) = [peer for peer in peers if "matchExpressions" in peer["podSelector"]]
        assert workers["namespaceSelector"]["matchExpressions"] == [
            {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["a", "b"]}
        ]
    (wall, _) = [item for item in rendered.kind("NetworkPolicy") if item["metadata"]["name"] == "trace-workers"]
    to = [peer for rule in wall["spec"]["egress"] for peer in rule.get("to", []) if "podSelector" in peer]
    assert len(to) == 4, "dispatcher, database, object store, queries"
    for peer in to:
        assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": NAMESPACE}


def test_the_example_chain_is_a_pool_in_every_namespace(render):
    rendered = render(watchNamespaces=["a", "b"], exampleChain={"enabled": True})
    found = [item for item in rendered.kind("Secret") if item["metadata"]["name"] == "rpcpool-local"]
    assert {(item["metadata"]["namespace"], item["stringData"]["urls"]) for item in found} == {
        (name, f"http://trace-chain.{NAMESPACE}.svc:8545") for name in ("a", "b")
    }


def test_metrics_and_alerts_cover_every_namespace(render):
    kinds = ("monitoring.coreos.com/v1/PrometheusRule", "monitoring.coreos.com/v1/PodMonitor")
    rendered = render(kinds, watchNamespaces=["a", "b"])
    (rule,) = rendered.kind("PrometheusRule")
    for group in rule["spec"]["groups"]:
        for one in group["rules"]:
            assert f'namespace=~"{NAMESPACE}|a|b"' in one["expr"], one["alert"]
    monitor = rendered.one("PodMonitor", "trace-workers")
    assert monitor["spec"]["namespaceSelector"] == {"matchNames": ["a", "b"]}


def test_notes_name_the_namespaces(notes):
    said = notes(watchNamespaces=["a", "b"])
    assert "namespaces that are served: a, b" in said
    assert "kubectl -n a apply" in said


@pytest.mark.parametrize("listed", [["a", "a"], ["A"], ["a.b"], [""], "a"])
def test_what_is_no_list_of_namespaces_is_refused(render, listed):
    with pytest.raises(Refused, match="watchNamespaces"):
        render(watchNamespaces=listed)


def test_two_releases_in_two_namespaces_have_no_object_in_common_but_the_definitions(helm):
    def objects(namespace):
        code, said = helm(
            *("template", "trace", str(CHART), "--namespace", namespace, "--kube-version", "1.34.0"),
            *("--set", "query.mode=Deployment", "--set", "exampleChain.enabled=true"),
        )
        assert code == 0, said
        documents = [one for one in yaml.load_all(said, Loader=yaml.CSafeLoader) if one]
        everywhere = {"CustomResourceDefinition", "ClusterRoleBinding"}
        return {
            (one["kind"], "" if one["kind"] in everywhere else namespace, one["metadata"]["name"])
            for one in documents
            if one["metadata"].get("namespace", namespace) == namespace
        }

    common = objects("one") & objects("two")
    assert {kind for kind, _, _ in common} == {"CustomResourceDefinition"}
    assert any(kind == "ClusterRoleBinding" for kind, _, _ in objects("one"))
