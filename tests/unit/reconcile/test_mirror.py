"""What the controller believes about the cluster, in whatever order it hears of it."""

from __future__ import annotations

from typing import Any

from traceplane.reconcile.mirror import Mirror


def obj(version: int, uid: str = "u1", name: str = "a", **more: Any) -> dict[str, Any]:
    metadata = {"name": name, "uid": uid, "resourceVersion": str(version), "generation": more.pop("generation", 1)}
    return {"metadata": metadata | more.pop("metadata", {}), **more}


def test_an_older_event_changes_nothing() -> None:
    mirror = Mirror()
    assert mirror.observe("DAG", obj(5, generation=2))
    assert not mirror.observe("DAG", obj(4, generation=1))
    assert (mirror.get("DAG", "a") or {})["metadata"]["generation"] == 2


def test_an_event_from_before_a_deletion_revives_nothing() -> None:
    mirror = Mirror()
    mirror.observe("Pod", obj(5))
    assert mirror.forget("Pod", obj(8))
    assert not mirror.observe("Pod", obj(7))
    assert mirror.get("Pod", "a") is None
    assert mirror.observe("Pod", obj(9, uid="u2")), "a new object of the same name is news"


def test_the_deletion_of_a_former_object_of_that_name_is_no_deletion() -> None:
    mirror = Mirror()
    mirror.observe("Pod", obj(9, uid="u2"))
    assert not mirror.forget("Pod", obj(8, uid="u1"))
    assert mirror.get("Pod", "a") is not None


def test_a_list_drops_what_is_gone_and_keeps_what_is_newer_than_it() -> None:
    mirror = Mirror()
    mirror.observe("Pod", obj(3, name="gone"))
    mirror.observe("Pod", obj(12, name="just-made"))
    touched = mirror.replace("Pod", [obj(4, name="listed")], "10")
    assert touched == {"gone", "listed"}
    assert {o["metadata"]["name"] for o in mirror.all("Pod")} == {"just-made", "listed"}


def test_our_own_status_writes_are_no_news() -> None:
    mirror = Mirror()
    mirror.observe("DAG", obj(1))
    assert not mirror.observe("DAG", obj(2, status={"jobs": 3}))
    assert mirror.observe("DAG", obj(3, status={"jobs": 3}, generation=2))
    assert mirror.observe("DAG", obj(4, generation=2, metadata={"deletionTimestamp": "now"}))


def test_the_kubelet_s_status_writes_are() -> None:
    mirror = Mirror()
    mirror.observe("Pod", obj(1, status={"phase": "Pending"}))
    assert mirror.observe("Pod", obj(2, status={"phase": "Running"}))


def test_managed_fields_are_kept_only_where_they_tell_of_others() -> None:
    fields = [
        {"manager": "trace-controller"},
        {"manager": "kubelet", "subresource": "status"},
        {"manager": "kubectl-edit"},
    ]
    mirror = Mirror()
    mirror.observe("Job", obj(1, metadata={"managedFields": fields}))
    assert (mirror.get("Job", "a") or {})["metadata"]["managedFields"] == [{"manager": "kubectl-edit"}]
