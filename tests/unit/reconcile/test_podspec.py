"""The pod of a worker: its walls, its identity, its secrets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from tests.unit.reconcile.builders import PLATFORM, dag, facts, job, observed, observed_without_source
from traceplane.reconcile import names, podspec, workers
from traceplane.reconcile.decide import decide
from traceplane.settings.workerpods import WorkerPods

OWNER = names.owner(dag(), "DAG")


def made(**changes: Any) -> dict[str, Any]:
    worker = replace(workers.worker(observed_without_source(), job("compact")), **changes)
    return podspec.pod(worker, PLATFORM, 2, OWNER)


def environment(pod: dict[str, Any]) -> dict[str, Any]:
    return {
        entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in pod["spec"]["containers"][0]["env"]
    }


def test_the_walls_of_the_restricted_standard_stand() -> None:
    spec = made()["spec"]
    (container,) = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False


def test_what_is_written_to_is_bounded_scratch() -> None:
    spec = made()["spec"]
    writable = {m["name"] for m in spec["containers"][0]["volumeMounts"] if not m.get("readOnly")}
    scratch = {v["name"]: v["emptyDir"] for v in spec["volumes"] if "emptyDir" in v}
    assert writable == set(scratch)
    assert all("sizeLimit" in empty for empty in scratch.values())


def test_a_start_has_an_id_of_its_own() -> None:
    env = environment(made())
    entries = [entry["name"] for entry in made()["spec"]["containers"][0]["env"]]
    assert env["TRACE_WORKER_ID"] == "$(TRACE_POD_NAME).$(TRACE_POD_UID)"
    assert env["TRACE_POD_UID"]["fieldRef"]["fieldPath"] == "metadata.uid"
    assert entries.index("TRACE_POD_UID") < entries.index("TRACE_WORKER_ID"), "references look back only"
    assert podspec.worker_id("pod", "uid") == "pod.uid"


def test_secrets_are_files_and_only_those_of_the_job() -> None:
    pod = made(rpc_pools=("mainnet", "archive"))
    secrets = {v["name"]: v["secret"]["secretName"] for v in pod["spec"]["volumes"] if "secret" in v}
    assert secrets == {
        "worker": "trace-worker",
        "rpc-0": "rpcpool-mainnet",
        "rpc-1": "rpcpool-archive",
    }
    mounts = {m["name"]: m["mountPath"] for m in pod["spec"]["containers"][0]["volumeMounts"]}
    assert mounts["rpc-1"] == "/etc/trace/rpc/archive"
    assert not any("ACCESS_KEY" in name or name == "DSN" for name in environment(pod))
    assert "rpc-0" not in {v["name"] for v in made()["spec"]["volumes"]}


def test_the_ca_of_the_database_lies_beside_the_dsn_where_there_is_one() -> None:
    pod = made()
    (data,) = [volume["projected"] for volume in pod["spec"]["volumes"] if volume["name"] == "data"]
    given = {
        item["path"]: (one["secret"]["name"], one["secret"].get("optional", False))
        for one in data["sources"]
        for item in one["secret"]["items"]
    }
    assert given == {"dsn": ("trace-worker", False), "ca.crt": ("trace-worker", True)}
    assert data["defaultMode"] == 0o440


def test_resources_are_the_defaults_where_the_job_says_nothing() -> None:
    asked = {"resources": {"requests": {"cpu": "2"}, "limits": {}}}
    resources = made(placement=asked)["spec"]["containers"][0]["resources"]
    assert resources == {"requests": {"cpu": "2", "memory": "256Mi"}, "limits": {"cpu": "1", "memory": "2Gi"}}


def test_placement_is_passed_on() -> None:
    tolerations = [{"key": "big", "operator": "Exists"}]
    spec = made(placement={"nodeSelector": {"disk": "ssd"}, "tolerations": tolerations})["spec"]
    assert (spec["nodeSelector"], spec["tolerations"]) == ({"disk": "ssd"}, tolerations)


def test_names_and_labels_follow_from_the_generation() -> None:
    pod = made(config_hash="sha256:0123456789abcdef")
    assert pod["metadata"]["name"] == names.worker_pod("chain", "compact", "sha256:0123456789abcdef", 2)
    assert pod["metadata"]["name"].startswith("chain-compact-")
    assert names.slot_of(pod["metadata"]["name"]) == 2
    assert pod["metadata"]["labels"][names.GENERATION] == "01234567"
    assert pod["metadata"]["ownerReferences"] == [OWNER]
    assert pod["spec"]["restartPolicy"] == "Never"


def test_who_uses_an_rpc_pool_is_let_out_by_its_label() -> None:
    assert made(rpc_pools=("mainnet",))["metadata"]["labels"][names.RPC] == "true"
    assert names.RPC not in made()["metadata"]["labels"]
    worker = workers.worker(observed_without_source(), job("follow"))
    source = podspec.deployment(worker, PLATFORM, OWNER)["spec"]
    assert source["template"]["metadata"]["labels"][names.RPC] == "true"
    assert names.RPC not in source["selector"]["matchLabels"], "a selector can never be changed"


def test_the_hash_says_when_a_template_changed() -> None:
    hashes = {
        made()["metadata"]["annotations"][names.SPEC_HASH],
        made(idle_timeout_seconds=7)["metadata"]["annotations"][names.SPEC_HASH],
        made(dag="other")["metadata"]["annotations"][names.SPEC_HASH],
    }
    assert len(hashes) == 3
    assert made()["metadata"]["annotations"] == made()["metadata"]["annotations"]


def test_a_source_is_one_replica_that_ends_before_its_successor_starts() -> None:
    worker = workers.worker(observed_without_source(), job("follow"))
    spec = podspec.deployment(worker, PLATFORM, OWNER)["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    labels = spec["template"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"].items() <= labels.items()
    assert "restartPolicy" not in spec["template"]["spec"]


SHARED = WorkerPods.model_validate(
    {
        "imagePullSecrets": ["registry"],
        "serviceAccountName": "workers",
        "jobServiceAccounts": ["reader"],
        "jobPriorityClasses": ["high"],
        "labels": {"team": "data", "tier": "batch"},
        "annotations": {"sidecar.istio.io/inject": "true"},
        "priorityClassName": "low",
        "runtimeClassName": "gvisor",
        "nodeSelector": {"pool": "workers", "disk": "hdd"},
        "tolerations": [{"key": "pool", "operator": "Exists"}],
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}],
        "securityContext": {"runAsGroup": 2000, "seLinuxOptions": {"level": "s0:c1,c2"}},
        "scratchSize": "20Gi",
    }
)


def spec_of(
    placement: dict[str, Any] | None = None, pods: WorkerPods = SHARED
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Metadata and spec of a pod of an installation with values of its own."""
    platform = replace(PLATFORM, pods=pods)
    worker = replace(workers.worker(observed_without_source(), job("compact")), placement=placement or {})
    template = podspec.deployment(worker, platform, OWNER)["spec"]["template"]
    pod = podspec.pod(worker, platform, 0, OWNER)
    assert template["spec"].items() <= pod["spec"].items(), "sources and workers are made alike"
    return pod["metadata"], pod["spec"]


def test_every_pod_gets_what_the_installation_gives() -> None:
    metadata, spec = spec_of()
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert (spec["serviceAccountName"], spec["priorityClassName"]) == ("workers", "low")
    assert spec["runtimeClassName"] == "gvisor"
    assert metadata["labels"]["team"] == "data"
    assert metadata["annotations"]["sidecar.istio.io/inject"] == "true"
    assert spec["nodeSelector"] == {"pool": "workers", "disk": "hdd"}
    assert spec["tolerations"] == [{"key": "pool", "operator": "Exists"}]
    (spread,) = spec["topologySpreadConstraints"]
    assert spread["topologyKey"] == "zone"
    assert spread["labelSelector"] == {"matchLabels": {names.DAG: "chain", names.JOB: "compact"}}
    assert next(v["emptyDir"] for v in spec["volumes"] if v["name"] == "scratch") == {"sizeLimit": "20Gi"}


def test_a_job_adds_to_it_and_wins_where_there_can_be_one() -> None:
    pod = {
        "labels": {"tier": "gold"},
        "annotations": {"example.org/owner": "me"},
        "imagePullSecrets": ["mine", "registry"],
        "priorityClassName": "high",
        "topologySpread": [{"topologyKey": "host", "maxSkew": 2, "whenUnsatisfiable": "DoNotSchedule"}],
        "runAsUser": 3000,
    }
    placement = {"pod": pod, "serviceAccountName": "reader", "nodeSelector": {"disk": "ssd"}}
    placement["tolerations"] = [{"key": "gpu", "operator": "Exists"}]
    metadata, spec = spec_of(placement)
    assert spec["imagePullSecrets"] == [{"name": "registry"}, {"name": "mine"}]
    assert (spec["serviceAccountName"], spec["priorityClassName"]) == ("reader", "high")
    assert (metadata["labels"]["team"], metadata["labels"]["tier"]) == ("data", "gold")
    assert metadata["annotations"]["example.org/owner"] == "me"
    assert spec["nodeSelector"] == {"pool": "workers", "disk": "ssd"}
    assert [t["key"] for t in spec["tolerations"]] == ["pool", "gpu"]
    assert [c["topologyKey"] for c in spec["topologySpreadConstraints"]] == ["host"]
    assert spec["securityContext"]["runAsUser"] == 3000
    assert spec["securityContext"]["runAsGroup"] == 2000


def test_no_value_and_no_job_opens_a_wall() -> None:
    loud = {"labels": {names.DAG: "other", "app.kubernetes.io/component": "dispatcher", names.RPC: "true"}}
    for placement in ({}, {"pod": loud | {"runAsUser": 3000}}):
        metadata, spec = spec_of(placement)
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert metadata["labels"]["app.kubernetes.io/component"] == "worker"
        assert metadata["labels"][names.DAG] == "chain"
    assert "runAsUser" not in spec_of()[1]["securityContext"], "the namespace assigns it"


WALLS: list[dict[str, Any]] = [
    {"securityContext": {"runAsUser": 0}},
    {"securityContext": {"runAsNonRoot": False}},
    {"securityContext": {"supplementalGroups": [0]}},
    {"securityContext": {"seccompProfile": {"type": "Unconfined"}}},
    {"securityContext": {"seLinuxOptions": {"level": "s0", "type": "spc_t"}}},
    {"securityContext": {"sysctls": []}},
    {"automountServiceAccountToken": True},
    {"hostNetwork": True},
    {"labels": {"trace.dev/rpc": "true"}},
    {"labels": {"app.kubernetes.io/component": "dispatcher"}},
    {"labels": {"no key": "x"}},
    {"annotations": {"container.apparmor.security.beta.kubernetes.io/worker": "unconfined"}},
    {"scratchSize": "much"},
]


UNKNOWN_TO_KUBERNETES: list[dict[str, Any]] = [
    {"imagePullSecrets": [""]},
    {"labels": {"team": "R&D team"}},
    {"labels": {"team": "x" * 64}},
    {"nodeSelector": {"a b": "c"}},
    {"nodeSelector": {"pool": "c d"}},
    {"securityContext": {"seccompProfile": {"type": "Localhost"}}},
    {"securityContext": {"seccompProfile": {"localhostProfile": "mine.json"}}},
]


@pytest.mark.parametrize("values", UNKNOWN_TO_KUBERNETES, ids=str)
def test_values_of_which_no_pod_could_be_made_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        WorkerPods.model_validate(values)


@pytest.mark.parametrize("values", WALLS, ids=str)
def test_values_that_would_open_a_wall_do_not_exist(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        WorkerPods.model_validate(values)


def test_accounts_and_classes_that_are_not_for_jobs_get_no_pod_and_say_so() -> None:
    for placement, said in (
        ({"serviceAccountName": "trace-dispatcher"}, "serviceAccountName: jobs may not use trace-dispatcher"),
        ({"pod": {"priorityClassName": "system-node-critical"}}, "pod.priorityClassName"),
    ):
        plan = decide(observed(facts=facts(job(queued=1, placement=placement))))
        assert plan.creates == []
        (fact,) = plan.workers["compact"].trouble
        assert (fact.reason, said in fact.message) == ("NotAllowed", True)
        source = decide(observed(facts=facts(job("follow", placement=placement)), deployments=()))
        assert [apply.resource.kind for apply in source.applies] == []
        assert source.workers["follow"].trouble[0].reason == "NotAllowed"
    allowed = replace(PLATFORM, pods=SHARED)
    mine = {"serviceAccountName": "reader", "pod": {"priorityClassName": "high"}}
    assert decide(observed(facts=facts(job(queued=1, placement=mine)), platform=allowed)).creates


ACTED_ON = [
    "sidecar.istio.io/proxyImage",
    "sidecar.istio.io/userVolume",
    "k8s.v1.cni.cncf.io/networks",
    "io.kubernetes.cri-o.Devices",
    "io.katacontainers.config.hypervisor.path",
    "run.oci.keep_original_groups",
    "vault.hashicorp.com/role",
    "iam.amazonaws.com/role",
    "azure.workload.identity/use",
    "aadpodidbinding",
    "example.org/owner",
]


@pytest.mark.parametrize("part", ["labels", "annotations"])
@pytest.mark.parametrize("key", ACTED_ON)
def test_keys_that_others_may_act_on_are_for_jobs_only_where_the_installation_says_so(part: str, key: str) -> None:
    asks = facts(job(queued=1, placement={"pod": {part: {key: "x"}}}))
    plan = decide(observed(facts=asks))
    assert plan.creates == []
    (fact,) = plan.workers["compact"].trouble
    assert (fact.reason, f"pod.{part}: jobs may not set {key}" in fact.message) == ("NotAllowed", True)
    for allowed in {key, key.partition("/")[0]}:
        pods = WorkerPods.model_validate({"jobKeys": [allowed]})
        assert decide(observed(facts=asks, platform=replace(PLATFORM, pods=pods))).creates
    other = WorkerPods.model_validate({"jobKeys": ["example.com", key + "s"]})
    assert decide(observed(facts=asks, platform=replace(PLATFORM, pods=other))).creates == []


@pytest.mark.parametrize("key", ["team", "cost-center", "cluster-autoscaler.kubernetes.io/safe-to-evict"])
def test_plain_keys_are_a_job_s_own(key: str) -> None:
    placement = {"pod": {"annotations": {key: "x"}}}
    assert decide(observed(facts=facts(job(queued=1, placement=placement)))).creates


def test_no_installation_gives_jobs_the_keys_of_the_platform() -> None:
    pods = WorkerPods.model_validate({"jobKeys": ["trace.dev", "pod-template-hash", "kubernetes.io"]})
    for key in ("trace.dev/rpc", "pod-template-hash", "kubernetes.io/egress-bandwidth"):
        asks = facts(job(queued=1, placement={"pod": {"labels": {key: "x"}}}))
        assert decide(observed(facts=asks, platform=replace(PLATFORM, pods=pods))).creates == []


def test_workers_export_traces_where_the_installation_does() -> None:
    assert not [name for name in environment(made()) if "TRACING" in name or name.startswith("OTEL_")]
    traces = {"endpoint": "http://collector:4318", "sampleRatio": 0.1, "headersSecret": "otlp"}
    pods = WorkerPods.model_validate({"tracing": traces})
    worker = workers.worker(observed_without_source(), job("compact"))
    env = environment(podspec.pod(worker, replace(PLATFORM, pods=pods), 2, OWNER))
    assert env["TRACE_TRACING"] == "true"
    assert env["TRACE_TRACING_SAMPLE_RATIO"] == "0.1"
    assert env["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://collector:4318"
    # A worker starts without it: traces are no part of its work.
    secret = {"name": "otlp", "key": "headers", "optional": True}
    assert env["OTEL_EXPORTER_OTLP_HEADERS"] == {"secretKeyRef": secret}
