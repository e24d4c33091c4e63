"""What the chart renders."""

import json

import pytest
import yaml

from tests.chart.conftest import CHART, EXTERNAL, NAMESPACE, Refused

PROFILES = {
    "embedded": {},
    "with chain": {"exampleChain": {"enabled": True}},
    "external": EXTERNAL,
    "replicas": {"dispatcher": {"replicas": 3}},
    "query alone": {"query": {"mode": "Deployment", "replicas": 2}},
    "with ingress": {"ingress": {"enabled": True, "host": "trace.example.org", "tlsSecret": "trace-tls"}},
}


@pytest.fixture(params=PROFILES.values(), ids=PROFILES)
def profile(request, render):
    return render(**request.param)


def test_lint_is_clean(helm):
    code, said = helm("lint", "--strict", str(CHART), "--kube-version", "1.34.0")
    assert code == 0, said


def test_every_pod_meets_the_restricted_standard(profile):
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted"""
    for name, spec in profile.pods():
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not spec.keys() & {"hostNetwork", "hostPID", "hostIPC"}, name
        for volume in spec.get("volumes", []):
            kinds = volume.keys() - {"name"}
            assert kinds <= {"configMap", "emptyDir", "projected", "secret", "persistentVolumeClaim"}, name
    for name, container in profile.containers():
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False, name
        assert context["capabilities"] == {"drop": ["ALL"]}, name
        assert context["readOnlyRootFilesystem"] is True, name


def test_every_container_has_requests_and_limits(profile):
    for name, container in profile.containers():
        for bound in ("requests", "limits"):
            assert container["resources"][bound].keys() >= {"cpu", "memory"}, (name, bound)


def test_only_the_controller_gets_a_service_account_token(profile):
    mounted = {name for name, spec in profile.pods() if spec.get("automountServiceAccountToken") is not False}
    assert mounted == {"trace-controller"}


def test_service_links_would_shadow_settings_and_are_off(profile):
    """A Service `trace-query` puts TRACE_QUERY_PORT=tcp://... into every pod that has them on."""
    assert all(spec["enableServiceLinks"] is False for _, spec in profile.pods())


def test_secrets_reach_processes_as_files_only(profile):
    for name, container in profile.containers():
        for variable in container.get("env", []):
            assert "secretKeyRef" not in variable.get("valueFrom", {}), (name, variable["name"])
        assert all("secretRef" not in source for source in container.get("envFrom", [])), name


def test_no_config_map_holds_a_secret(render):
    rendered = render()
    secrets = {
        value
        for item in rendered.kind("Secret")
        for key, value in item["stringData"].items()
        if key != "access-key-id"  # a name
    }
    text = json.dumps(rendered.kind("ConfigMap"))
    assert len(secrets) >= 8
    assert not [secret for secret in secrets if secret in text]


def test_every_image_is_a_value(profile):
    wanted = {f"trace.local/{name}:dev" for name in ("trace", "postgres", "minio", "chain")}
    assert {container["image"] for _, container in profile.containers()} <= wanted


def test_everything_carries_the_standard_labels(profile):
    for document in profile:
        if document["kind"] == "CustomResourceDefinition":
            continue
        labels = document["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == "trace", document["metadata"]["name"]
        assert labels["app.kubernetes.io/instance"] == "release1"
        assert labels["app.kubernetes.io/part-of"] == "trace"


def test_services_find_the_pods_they_are_for(profile):
    labels = [item["spec"]["template"]["metadata"]["labels"] for kind in ("Deployment", "StatefulSet")
              for item in profile.kind(kind)]  # fmt: skip
    for service in profile.kind("Service"):
        selector = service["spec"]["selector"].items()
        assert sum(selector <= found.items() for found in labels) == 1, service["metadata"]["name"]


def test_the_controller_may_touch_what_it_owns_and_nothing_else(render):
    rules = render().one("Role", "trace-controller")["rules"]
    allowed = {(group, resource) for rule in rules for group in rule["apiGroups"] for resource in rule["resources"]}
    kinds = ("dags", "jobs", "assets", "bundles")
    own = {("trace.dev", f"{kind}{part}") for kind in kinds for part in ("", "/status", "/finalizers")}
    assert allowed == own | {
        ("", "pods"),
        ("apps", "deployments"),
        ("", "events"),
        ("events.k8s.io", "events"),
        ("coordination.k8s.io", "leases"),
    }
    assert "*" not in {verb for rule in rules for verb in rule["verbs"]}


def test_the_dispatcher_may_read_token_keys_and_nothing_else(render):
    rendered = render()
    assert not [item for item in rendered.kind("RoleBinding") if "dispatcher" in json.dumps(item["subjects"])]
    (binding,) = rendered.kind("ClusterRoleBinding")
    assert binding["roleRef"]["name"] == "system:service-account-issuer-discovery"
    assert [subject["name"] for subject in binding["subjects"]] == ["trace-dispatcher"]


def test_another_issuer_needs_no_right_in_the_cluster(render):
    rendered = render(oidc={"issuer": "https://login.example.org", "cluster": False})
    assert not rendered.kind("ClusterRoleBinding")
    settings = rendered.one("ConfigMap", "trace-config")["data"]
    assert settings["TRACE_OIDC_ISSUER"] == "https://login.example.org"
    assert not settings.keys() & {"TRACE_OIDC_JWKS_URL", "TRACE_OIDC_CA_FILE", "TRACE_OIDC_BEARER_FILE"}


def test_one_controller_replaced_and_never_doubled(render):
    spec = render().one("Deployment", "trace-controller")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


def test_migration_comes_before_whatever_reads_the_databases(render):
    for name in ("trace-controller", "trace-dispatcher"):
        spec = render().one("Deployment", name)["spec"]["template"]["spec"]
        assert spec["initContainers"][0]["command"][-1] == "migrate", name


def test_an_upgrade_of_trace_leaves_databases_and_objects_running(render):
    """Their pods name no image and no setting of Trace, so that a new release does not restart them."""
    old, new = render(), render(images={"trace": "trace.local/trace:other"}, config={"lease_seconds": 9})
    for name in ("trace-postgres", "trace-minio"):
        assert old.one("StatefulSet", name)["spec"] == new.one("StatefulSet", name)["spec"]


def test_query_reads_through_roles_of_its_own(render):
    spec = render().one("Deployment", "trace-dispatcher")["spec"]["template"]["spec"]
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    (query,) = [container for container in spec["containers"] if container["name"] == "query"]
    keys = {item["key"] for mount in query["volumeMounts"] for item in _dsn_items(volumes[mount["name"]])}
    assert keys == {"query-dsn", "ca.crt"}


def _dsn_items(volume):
    sources = volume.get("projected", {}).get("sources", [])
    return [item for source in sources for item in source.get("secret", {}).get("items", [])]


def test_every_process_has_the_ca_of_its_database_beside_the_dsn_where_there_is_one(render):
    for mode in ("Sidecar", "Deployment"):
        rendered = render(query={"mode": mode}, **EXTERNAL)
        seen = set()
        for _, spec in rendered.pods():
            volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
            for container in [*spec.get("initContainers", []), *spec["containers"]]:
                for mount in container.get("volumeMounts", []):
                    if (folder := mount["mountPath"]) not in ("/etc/trace/state", "/etc/trace/data"):
                        continue
                    dsn, ca = volumes[mount["name"]]["projected"]["sources"]
                    assert dsn["secret"]["name"] == ca["secret"]["name"] == f"my-{folder.rpartition('/')[2]}"
                    assert [item["path"] for item in dsn["secret"]["items"]] == ["dsn"]
                    assert not dsn["secret"].get("optional")
                    assert ca["secret"]["items"] == [{"key": "ca.crt", "path": "ca.crt"}]
                    assert ca["secret"]["optional"] is True
                    seen.add((container["name"], folder))
        assert seen >= {
            (name, f"/etc/trace/{database}")
            for name in ("migrate", "dispatcher", "query")
            for database in ("state", "data")
        }
        assert ("controller", "/etc/trace/state") in seen


def _s3_secrets(rendered):
    """Name of the Secret behind /etc/trace/s3, by container."""
    found = {}
    for name, spec in rendered.pods():
        volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            for mount in container["volumeMounts"]:
                if mount["mountPath"] == "/etc/trace/s3":
                    found[f"{name}/{container['name']}"] = volumes[mount["name"]]["secret"]["secretName"]
    return found


@pytest.mark.parametrize(("mode", "pod"), [("Sidecar", "trace-dispatcher"), ("Deployment", "trace-query")])
def test_query_opens_the_store_with_keys_of_its_own(render, mode, pod):
    whole, query = "trace-dispatcher/dispatcher", f"{pod}/query"

    def keys(query_s3, **values):
        found = _s3_secrets(render(query={"mode": mode, "s3": {"existingSecret": query_s3}}, **values))
        return found[whole], found[query]

    assert keys("") == ("trace-s3", "trace-query-s3")
    assert keys("my-query") == ("trace-s3", "my-query")
    assert keys("", **EXTERNAL) == ("my-s3", "my-s3"), "of an external store, whatever its owner gives"
    assert keys("my-query", **EXTERNAL) == ("my-s3", "my-query")


def test_keys_of_tasks_reach_the_dispatcher_and_nobody_else(render):
    static = {"credentials": "Static", "tasks": {"existingSecret": "my-tasks"}}
    values = EXTERNAL | {"s3": EXTERNAL["s3"] | static, "query": {"mode": "Deployment"}}
    rendered = render(**values)
    having = {
        name
        for name, spec in rendered.pods()
        for volume in spec.get("volumes", [])
        if volume.get("secret", {}).get("secretName") == "my-tasks"
    }
    assert having == {"trace-dispatcher"}
    (pod,) = [spec for name, spec in rendered.pods() if name == "trace-dispatcher"]
    (container,) = pod["containers"]
    (mount,) = [mount for mount in container["volumeMounts"] if mount["name"] == "s3-tasks"]
    assert {"name": "TRACE_S3_TASK_KEYS_DIR", "value": mount["mountPath"]} in container["env"]
    assert rendered.one("ConfigMap", "trace-config")["data"]["TRACE_S3_CREDENTIALS"] == "Static"
    aws = EXTERNAL["s3"] | static | {"endpoint": ""}
    assert render(**EXTERNAL | {"s3": aws}), "a role that nobody assumes need not be named"


@pytest.mark.parametrize("mode", ["Sidecar", "Deployment"])
def test_the_embedded_store_is_told_of_the_keys_that_query_has(render, mode):
    for given, name in (("", "trace-query-s3"), ("my-query", "my-query")):
        rendered = render(query={"mode": mode, "s3": {"existingSecret": given}})
        spec = rendered.one("Deployment", "trace-dispatcher")["spec"]["template"]["spec"]
        (objects,) = [container for container in spec["initContainers"] if container["name"] == "objects"]
        (volume,) = [volume for volume in spec["volumes"] if volume["name"] == "query-s3"]
        assert volume["secret"]["secretName"] == name
        mount = {"name": "query-s3", "mountPath": objects["command"][-1], "readOnly": True}
        assert mount in objects["volumeMounts"]
        made = [item["metadata"]["name"] for item in rendered.kind("Secret")]
        assert ("trace-query-s3" in made) is (given == "")


def test_passwords_of_a_role_are_one(render):
    rendered = render()
    secrets = {item["metadata"]["name"]: item["stringData"] for item in rendered.kind("Secret")}
    roles = secrets["trace-postgres"]
    assert len(set(roles.values())) == len(roles)
    for secret, key, role in (
        ("trace-state", "dsn", "state"),
        ("trace-data", "dsn", "data"),
        ("trace-worker", "dsn", "worker"),
        ("trace-state", "query-dsn", "reader"),
        ("trace-data", "query-dsn", "reader"),
    ):
        assert f":{roles[role]}@trace-postgres.{NAMESPACE}.svc:5432/" in secrets[secret][key]


def test_secrets_volumes_and_definitions_outlive_the_release(render):
    kept = [*render().kind("Secret"), *render().kind("CustomResourceDefinition")]
    assert len(kept) == 7 + 4
    assert all(item["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep" for item in kept)


def test_capability_key_signs_es256(render):
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    pem = render().one("Secret", "trace-capability")["stringData"]["key.pem"]
    key = load_pem_private_key(pem.encode(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert isinstance(key.curve, ec.SECP256R1)


def test_crds_can_be_left_to_somebody_else(render):
    assert len(render().kind("CustomResourceDefinition")) == 4
    assert not render(crds={"install": False}).kind("CustomResourceDefinition")


def test_external_parts_bring_nothing_of_their_own(render):
    rendered = render(**EXTERNAL)
    assert not rendered.kind("Secret")
    assert not rendered.kind("StatefulSet")
    volumes = [volume for _, spec in rendered.pods() for volume in spec.get("volumes", [])]
    named = {volume["secret"]["secretName"] for volume in volumes if "secret" in volume}
    named |= {
        source["secret"]["name"]
        for volume in volumes
        for source in volume.get("projected", {}).get("sources", [])
        if "secret" in source
    }
    assert named == {"my-state", "my-data", "my-worker", "my-capability", "my-s3"}
    assert rendered.one("ConfigMap", "trace-config")["data"]["TRACE_S3_ENDPOINT_URL"] == "https://s3.example.org"


def test_aws_is_an_empty_endpoint(render):
    rendered = render(
        **EXTERNAL | {"s3": {"existingSecret": "my-s3", "roleArn": "arn:aws:iam::123456789012:role/trace-task"}}
    )
    assert "TRACE_S3_ENDPOINT_URL" not in rendered.one("ConfigMap", "trace-config")["data"]


def test_settings_become_environment_and_restart_the_pods(render):
    plain, changed = render(), render(config={"lease_seconds": 7.5, "query_max_bytes": 10485760})
    data = changed.one("ConfigMap", "trace-config")["data"]
    assert (data["TRACE_LEASE_SECONDS"], data["TRACE_QUERY_MAX_BYTES"]) == ("7.5", "10485760")
    checksums = [
        rendered.one("Deployment", "trace-controller")["spec"]["template"]["metadata"]["annotations"]
        for rendered in (plain, changed)
    ]
    assert checksums[0] != checksums[1]


def test_first_admin_is_a_service_account_or_nobody(render):
    def admin(rendered):
        return {
            variable["value"]
            for _, container in rendered.containers()
            for variable in container.get("env", [])
            if variable["name"] == "TRACE_FIRST_ADMIN"
        }

    issuer = yaml.safe_load((CHART / "values.yaml").read_text())["oidc"]["issuer"]
    assert admin(render()) == {f"{issuer}|system:serviceaccount:{NAMESPACE}:trace-admin"}
    named = render(firstAdmin={"identity": "https://x|me"}, config={"oidc_other_issuers": "https://y https://x"})
    assert admin(named) == {"https://x|me"}
    assert admin(render(firstAdmin={"create": False})) == set()


def test_several_dispatchers_leave_one_at_a_time(render):
    assert not render().kind("PodDisruptionBudget")
    (budget,) = render(dispatcher={"replicas": 3}).kind("PodDisruptionBudget")
    assert budget["spec"]["maxUnavailable"] == 1


def test_what_answers_requests_answers_until_nothing_is_led_to_it(profile):
    """The controller is asked by nobody but who scrapes its figures, and has nothing to wait for."""
    stops = {
        container["name"]: container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command")
        for _, container in profile.containers()
        if container["name"] in ("controller", "dispatcher", "query")
    }
    assert stops == {"controller": None, "dispatcher": ["sleep", "6"], "query": ["sleep", "6"]}


def test_a_query_service_of_its_own_holds_no_credential_that_writes_state(render):
    rendered = render(query={"mode": "Deployment"})
    pod = rendered.one("Deployment", "trace-query")["spec"]["template"]["spec"]
    assert pod.get("initContainers", []) == []
    keys = {
        (source["secret"]["name"], item["key"])
        for volume in pod["volumes"]
        for source in volume.get("projected", {}).get("sources", [])
        for item in source.get("secret", {}).get("items", [])
    }
    assert keys == {(name, key) for name in ("trace-state", "trace-data") for key in ("query-dsn", "ca.crt")}
    secrets = {volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume}
    assert secrets == {"trace-query-s3"}
    subjects = rendered.kind("ClusterRoleBinding")[0]["subjects"]
    assert [subject["name"] for subject in subjects] == ["trace-dispatcher", "trace-query"]


def test_the_ingress_routes_what_users_may_ask_for_and_nothing_else(render):
    from traceplane.query.api.routes import ROUTES as QUERY
    from traceplane.taskapi.routes import ROUTES as TASKS
    from traceplane.userapi.routes import ROUTES as USERS
    from traceplane.web.authentication import Scheme

    assert not render().kind("Ingress")
    rendered = render(ingress={"enabled": True, "host": "trace.example.org", "tlsSecret": "cert"})
    spec = rendered.one("Ingress", "trace")["spec"]
    assert spec["tls"] == [{"hosts": ["trace.example.org"], "secretName": "cert"}]
    (rule,) = spec["rules"]

    def backend(path):
        for entry in rule["http"]["paths"]:
            prefix = entry["pathType"] == "Prefix"
            if path == entry["path"] or (prefix and path.startswith(entry["path"] + "/")):
                return entry["backend"]["service"]["name"]
        return None

    for route in USERS:
        if route.scheme is Scheme.NONE:
            continue
        assert backend(route.path) == "trace-dispatcher", route.path
    for route in QUERY:
        wanted = "trace-query" if route.scheme is Scheme.USER else None
        assert backend(route.path) == wanted, route.path
    for path in [route.path for route in TASKS] + ["/healthz", "/readyz", "/metrics", "/", "/v1/query/x", "/v1"]:
        assert backend(path) is None, path


def test_an_ingress_without_a_host_is_refused(render):
    with pytest.raises(Refused, match=r"ingress\.host"):
        render(ingress={"enabled": True})


def test_metrics_are_scraped_by_whom_the_values_name(render):
    peer = {"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}
    closed, opened = render(), render(networkPolicies={"metricsFrom": [peer]})
    assert closed.one("NetworkPolicy", "trace-controller")["spec"]["ingress"] == []
    for name in ("controller", "dispatcher", "workers"):
        assert peer in opened.one("NetworkPolicy", f"trace-{name}")["spec"]["ingress"][0]["from"]


def test_example_chain_names_itself_as_the_pool_local(render):
    rendered = render(exampleChain={"enabled": True})
    assert rendered.one("Secret", "rpcpool-local")["stringData"] == {
        "urls": f"http://trace-chain.{NAMESPACE}.svc:8545"
    }
    assert not [item for item in render().kind("Secret") if item["metadata"]["name"] == "rpcpool-local"]
