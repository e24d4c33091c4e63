"""Metrics of the controller: is what users asked for being brought about, and how fast.

`trace_reconcile_lag_seconds` is the one to alert on: for each kind, how long the oldest generation that was seen
has waited for a reconcile that brought it about without an error. Names follow controller-runtime's where there
is one. Labels are bounded: kinds, verbs, results; DAGs and jobs within the bound of `registry`; no other name.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from prometheus_client import Counter, Gauge, Histogram

from traceplane.observe import registry as registries
from traceplane.observe.registry import OTHER, JobLabels

registry = registries.registry("controller")
"""The controller's own."""

KINDS = ("DAG", "Job", "Asset", "Bundle")

reconciles = Counter(
    "trace_reconcile", "Reconciles by kind and result (ok, error).", ["kind", "result"], registry=registry
)
duration = Histogram(
    "trace_reconcile_duration_seconds",
    "Time of one reconcile.",
    ["kind"],
    buckets=(0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    registry=registry,
)
lag = Gauge(
    "trace_reconcile_lag_seconds",
    "Age of the oldest generation that was seen and is not achieved.",
    ["kind"],
    registry=registry,
)
queue_depth = Gauge("trace_reconcile_queue_depth", "Objects that wait or are worked on.", registry=registry)
drift = Counter(
    "trace_reconcile_drift_corrections",
    "Owned objects that another writer changed and that were put right.",
    ["kind"],
    registry=registry,
)
api_errors = Counter(
    "trace_kubernetes_api_errors",
    "Calls that the API server refused or did not answer; status 0: no answer.",
    ["verb", "resource", "status"],
    registry=registry,
)
watch_restarts = Counter(
    "trace_watch_restarts", "Watches opened again, by resource.", ["resource"], registry=registry
)
watch_age = Gauge(
    "trace_watch_age_seconds", "Time since a watch was last answered, by resource.", ["resource"], registry=registry
)
pods = Gauge(
    "trace_worker_pods",
    "Pods of a job by state: wanted, actual, and of these pending and ready.",
    ["dag", "job_name", "state"],
    registry=registry,
)
pod_start = Histogram(
    "trace_worker_pod_start_seconds",
    "Time from the creation of a worker pod until it was ready.",
    ["dag", "job_name"],
    buckets=(1, 2, 5, 10, 20, 30, 60, 120, 300, 900),
    registry=registry,
)
attempts = Counter(
    "trace_task_attempts_total",
    "Attempts that ended.",
    ["dag", "job_name", "result"],
    registry=registry,
)
named = JobLabels(attempts, pod_start)
is_leader = Gauge(
    "trace_controller_leader", "1 while this process holds the controller's Lease.", registry=registry
)
admissions = Counter(
    "trace_admission_reviews",
    "Changes that the validating webhook was asked about, by result (allowed, refused, skipped, unchecked).",
    ["result"],
    registry=registry,
)
purged = Counter(
    "trace_retention_purged",
    "Outputs of former versions that spec.retention let go.",
    registry=registry,
)
purge_held = Counter(
    "trace_retention_held",
    "Looks at which something was due and stayed: its tasks run, it is read, or it is the only copy of rows.",
    registry=registry,
)
events_lost = Counter("trace_kubernetes_events_lost", "Events that could not be posted.", registry=registry)

for _result in ("allowed", "refused", "skipped", "unchecked"):
    admissions.labels(_result)
for _kind in KINDS:
    lag.labels(_kind).set(0)
    for _result in ("ok", "error"):
        reconciles.labels(_kind, _result)


class Lag:
    """Which generations were seen and not achieved yet, and since when."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], tuple[int, float]] = {}
        self._achieved: dict[tuple[str, str], int] = {}

    def desired(self, kind: str, name: str, generation: int) -> None:
        """A generation was seen. Deletion counts as a generation of its own (the API server raises it)."""
        key = (kind, name)
        if self._achieved.get(key) == generation:
            return
        newest, since = self._seen.get(key, (generation, time.monotonic()))
        self._seen[key] = (max(newest, generation), since)

    def achieved(self, kind: str, name: str, generation: int) -> None:
        """A reconcile of that generation ended well."""
        key = (kind, name)
        self._achieved[key] = generation
        if key in self._seen and self._seen[key][0] <= generation:
            del self._seen[key]

    def forget(self, kind: str, name: str) -> None:
        """The object was deleted."""
        self._seen.pop((kind, name), None)
        self._achieved.pop((kind, name), None)

    def publish(self) -> None:
        """Set the gauges; called when metrics are read."""
        now = time.monotonic()
        for kind in KINDS:
            lag.labels(kind).set(
                max((now - at for (k, _), (_, at) in self._seen.items() if k == kind), default=0.0)
            )


class PodCount(NamedTuple):
    """Pods of one job."""

    wanted: int = 0
    actual: int = 0
    pending: int = 0
    ready: int = 0


class PodCounts:
    """Pods of every job, as the last reconcile of its DAG saw them; the `most` with the most pods are named."""

    def __init__(self, most: int = registries.NAMED_DEFAULT) -> None:
        self._most = most
        self._counts: dict[tuple[str, str], Mapping[str, PodCount]] = {}
        """By namespace and DAG."""

    def set(self, namespace: str, dag: str, jobs: Mapping[str, PodCount]) -> None:
        """The jobs of a DAG."""
        self._counts[namespace, dag] = jobs

    def forget(self, namespace: str, dag: str) -> None:
        """The DAG was deleted."""
        self._counts.pop((namespace, dag), None)

    def publish(self) -> None:
        """Set the gauges; called when metrics are read."""
        summed: dict[tuple[str, str], PodCount] = {}
        for (_, dag), jobs in self._counts.items():
            for job, count in jobs.items():
                # Labels name no namespace: DAGs of one name are one.
                known = summed.get((dag, job), PodCount())
                summed[dag, job] = PodCount(*(a + b for a, b in zip(known, count, strict=True)))
        found = [(dag, job, count) for (dag, job), count in summed.items()]
        found.sort(key=lambda one: (-max(one[2].wanted, one[2].actual), one))
        pods.clear()
        for number, (dag, job, count) in enumerate(found):
            names = (dag, job) if number < self._most else (OTHER, OTHER)
            for state, value in count._asdict().items():
                pods.labels(*names, state).inc(value)


_MOST_WAITING = 10_000
"""Pods whose start is awaited; of more, the start is not measured."""


class PodStarts:
    """How long pods take to be ready. Only those that were seen before they were: a restart counts none twice."""

    def __init__(self) -> None:
        self._waiting: set[str] = set()

    def observe(self, dag: str, job: str, pod: Mapping[str, Any]) -> None:
        """A pod as it is now."""
        metadata, status = pod["metadata"], pod.get("status") or {}
        conditions = [one for one in status.get("conditions") or [] if one["status"] == "True"]
        at = {one["type"]: one.get("lastTransitionTime") for one in conditions}
        if status.get("phase", "Pending") == "Pending":
            if len(self._waiting) < _MOST_WAITING:
                self._waiting.add(metadata["uid"])
        elif metadata["uid"] in self._waiting and at.get("Ready"):
            self._waiting.discard(metadata["uid"])
            took = datetime.fromisoformat(at["Ready"]) - datetime.fromisoformat(metadata["creationTimestamp"])
            pod_start.labels(*named.of(dag, job)).observe(max(0.0, took.total_seconds()))

    def forget(self, pod: Mapping[str, Any]) -> None:
        """The pod was deleted, or ended."""
        self._waiting.discard(pod["metadata"]["uid"])
