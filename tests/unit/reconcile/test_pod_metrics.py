"""Pods of each job as metrics: how many, and how long they take to be ready."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from traceplane.observe import reconcile_metrics as metrics
from traceplane.observe.reconcile_metrics import PodCount, PodCounts, PodStarts


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    yield
    metrics.pods.clear()
    metrics.pod_start.clear()


def pods(dag: str, job: str) -> dict[str, float | None]:
    names = {"dag": dag, "job_name": job}
    return {
        state: metrics.registry.get_sample_value("trace_worker_pods", names | {"state": state})
        for state in PodCount._fields
    }


def test_each_job_shows_its_pods_until_its_dag_is_deleted() -> None:
    counts = PodCounts()
    counts.set("n", "a", {"follow": PodCount(1, 1, 0, 1), "compact": PodCount(4, 3, 2, 1)})
    counts.publish()
    assert pods("a", "compact") == {"wanted": 4, "actual": 3, "pending": 2, "ready": 1}
    counts.set("n", "a", {"compact": PodCount()})
    counts.publish()
    assert pods("a", "follow")["wanted"] is None, "the job was taken out of the DAG"
    assert pods("a", "compact") == {"wanted": 0, "actual": 0, "pending": 0, "ready": 0}
    counts.forget("n", "a")
    counts.publish()
    assert pods("a", "compact")["wanted"] is None


def test_pods_of_dags_of_one_name_in_two_namespaces_are_summed() -> None:
    counts = PodCounts(most=1)
    for namespace, wanted in (("n", 2), ("m", 1)):
        counts.set(namespace, "a", {"compact": PodCount(wanted, 1, 0, 1)})
    counts.publish()
    assert pods("a", "compact") == {"wanted": 3, "actual": 2, "pending": 0, "ready": 2}
    counts.forget("n", "a")
    counts.publish()
    assert pods("a", "compact")["wanted"] == 1


def test_jobs_with_the_most_pods_are_named_and_the_others_summed() -> None:
    counts = PodCounts(most=1)
    counts.set("n", "a", {"small": PodCount(2, 1, 1, 0), "smaller": PodCount(1, 1, 0, 1)})
    counts.set("n", "b", {"large": PodCount(3, 3, 0, 3)})
    counts.publish()
    assert pods("b", "large")["wanted"] == 3
    assert pods("a", "small")["wanted"] is None
    assert pods("_other", "_other") == {"wanted": 3, "actual": 2, "pending": 1, "ready": 1}


def pod(phase: str, ready_at: str | None = None, uid: str = "u") -> dict[str, Any]:
    # A condition that another controller sets may say no time.
    conditions: list[dict[str, Any]] = [{"type": "example.org/gate", "status": "True"}]
    conditions += [{"type": "Ready", "status": "True", "lastTransitionTime": ready_at}] if ready_at else []
    return {
        "metadata": {"uid": uid, "creationTimestamp": "2026-01-01T00:00:00Z"},
        "status": {"phase": phase, "conditions": conditions},
    }


def starts() -> tuple[float, float]:
    names = {"dag": "a", "job_name": "j"}
    get = metrics.registry.get_sample_value
    return (
        get("trace_worker_pod_start_seconds_count", names) or 0,
        get("trace_worker_pod_start_seconds_sum", names) or 0,
    )


def test_a_start_lasts_from_creation_to_ready_and_is_counted_once() -> None:
    seen = PodStarts()
    seen.observe("a", "j", pod("Pending"))
    seen.observe("a", "j", pod("Running"))
    assert starts() == (0, 0)
    for _ in range(2):
        seen.observe("a", "j", pod("Running", "2026-01-01T00:00:07Z"))
    assert starts() == (1, 7)


def test_a_pod_that_was_ready_before_the_controller_looked_is_not_counted() -> None:
    seen = PodStarts()
    seen.observe("a", "j", pod("Running", "2026-01-01T00:00:07Z"))
    assert starts() == (0, 0)


def test_a_pod_that_went_is_forgotten() -> None:
    seen = PodStarts()
    seen.observe("a", "j", pod("Pending"))
    seen.forget(pod("Pending"))
    seen.observe("a", "j", pod("Running", "2026-01-01T00:00:07Z"))
    assert starts() == (0, 0)
