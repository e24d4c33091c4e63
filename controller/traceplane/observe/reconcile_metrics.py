"""Metrics of the controller: is what users asked for being brought about, and how fast.

`trace_reconcile_lag_seconds` is the one to alert on: for each kind, how long the oldest generation that was seen
has waited for a reconcile that brought it about without an error. Names follow controller-runtime's where there
is one. Labels are bounded: kinds, verbs, results; never an object's name.
"""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

registry = CollectorRegistry()
"""The controller's own, so that nothing of a library leaks into it."""

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
pods = Gauge("trace_worker_pods", "Worker pods by state: wanted, actual, ready.", ["state"], registry=registry)
is_leader = Gauge(
    "trace_controller_leader", "1 while this process holds the controller's Lease.", registry=registry
)
events_lost = Counter("trace_kubernetes_events_lost", "Events that could not be posted.", registry=registry)

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


class PodCounts:
    """Worker pods wanted, actual and ready: summed over DAGs, since a label per DAG has no bound."""

    def __init__(self) -> None:
        self._counts: dict[str, tuple[int, int, int]] = {}

    def set(self, dag: str, counts: tuple[int, int, int]) -> None:
        """As the last reconcile of the DAG saw them."""
        self._counts[dag] = counts
        self._publish()

    def forget(self, dag: str) -> None:
        """The DAG was deleted."""
        self._counts.pop(dag, None)
        self._publish()

    def _publish(self) -> None:
        for index, state in enumerate(("wanted", "actual", "ready")):
            pods.labels(state).set(sum(counts[index] for counts in self._counts.values()))
