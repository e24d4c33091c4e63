"""The registry of one process, with what every process tells, and how labels of DAGs and jobs are kept bounded.

A label value costs a series for as long as the process lives, and DAGs come and go. So only so many (DAG, job)
pairs are named; what further ones do is counted under `_other`, which keeps every sum right. Gauges, which are read
anew at intervals, name the largest; counters and histograms name the first they meet, and give up a pair that was
quiet for an hour when another wants its place. A pair's counts of failures begin at 0 once it is named: Prometheus
takes the first sample of a series for no increase, and what failed before it would never alert.

The label of a job is `job_name`: `job` is Prometheus's own, which it would keep and rename ours.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from importlib.metadata import version
from platform import python_version

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

from traceplane.tasks.states import Result

OTHER = "_other"
"""In place of a DAG, a job or an asset: all those that are not named."""
NAMED_DEFAULT = 50
QUIET_SECONDS = 3600.0

_FAILURES = (Result.FAILED, Result.TIMED_OUT, Result.LEASE_EXPIRED)

SPANS_EXPORTED = Counter("trace_spans_exported_total", "Spans that the collector took.", registry=None)
SPANS_DROPPED = Counter(
    "trace_spans_dropped_total",
    "Spans that were given up: queue_full, export_failed, or shutdown.",
    ["reason"],
    registry=None,
)

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter, that no rule reads


def registry(process: str) -> CollectorRegistry:
    """A registry of its own, so that nothing of a library leaks into it, with the process and its version."""
    made = CollectorRegistry()
    ProcessCollector(registry=made)
    made.register(SPANS_EXPORTED)
    made.register(SPANS_DROPPED)
    labels = ["process", "version", "python"]
    build = Gauge("trace_build_info", "Which version of Trace a process runs; always 1.", labels, registry=made)
    build.labels(process, version("traceplane"), python_version()).set(1)
    return made


class JobLabels:
    """Values of the labels `dag` and `job_name`, at most `most` pairs and `_other`, in metrics that count."""

    def __init__(
        self, attempts: Counter, *metrics: Counter | Histogram, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.most = NAMED_DEFAULT
        self._attempts = attempts
        self._metrics = (attempts, *metrics)
        self._clock = clock
        self._used: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._begin(OTHER, OTHER)

    def of(self, dag: str, job: str) -> tuple[str, str]:
        """The pair itself where it is named, or a place is free for it."""
        pair = (dag, job)
        if pair not in self._used and len(self._used) >= self.most and not self._given_up():
            return OTHER, OTHER
        if pair not in self._used:
            self._begin(*pair)
        self._used[pair] = self._clock()
        self._used.move_to_end(pair)
        return pair

    def expect(self, dag: str, job: str) -> None:
        """Name a pair before anything of it is counted, where a place is free."""
        if (dag, job) not in self._used and len(self._used) < self.most:
            self.of(dag, job)

    def _begin(self, dag: str, job: str) -> None:
        for result in _FAILURES:
            self._attempts.labels(dag, job, result.value)

    def _given_up(self) -> bool:
        """Forget the pair that was used longest ago, if that is long."""
        (dag, job), used = next(iter(self._used.items()))
        if self._clock() - used < QUIET_SECONDS:
            return False
        del self._used[dag, job]
        for metric in self._metrics:
            metric.remove_by_labels({"dag": dag, "job_name": job})
        return True
