"""The pod of a worker: its walls, its identity, its secrets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.unit.reconcile.builders import PLATFORM, dag, job, observed_without_source
from traceplane.reconcile import names, podspec, workers

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
        "data": "trace-worker",
        "rpc-0": "rpcpool-mainnet",
        "rpc-1": "rpcpool-archive",
    }
    mounts = {m["name"]: m["mountPath"] for m in pod["spec"]["containers"][0]["volumeMounts"]}
    assert mounts["rpc-1"] == "/etc/trace/rpc/archive"
    assert not any("ACCESS_KEY" in name or name == "DSN" for name in environment(pod))
    assert "rpc-0" not in {v["name"] for v in made()["spec"]["volumes"]}


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
