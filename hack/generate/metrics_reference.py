"""Writes docs/reference/metrics.md from the registries of the processes and from what the follower measures.

Usage: python -m hack.generate.metrics_reference [--check]
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry

from hack.generate import alert_rules
from hack.generate.metrics_advice import ADVICE
from operators.block_follower.measures import MEASURES, labels_of
from traceplane.observe import credentials, dispatch_metrics, reconcile_metrics
from traceplane.observe.registry import registry
from traceplane.query.broker.telemetry import Telemetry
from traceplane.worker.health import Health

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "metrics.md"

_HEAD = """\
# Metrics

Generated from the processes' registries by `python -m hack.generate.metrics_reference`. How they are scraped:
[Prometheus](../howto/prometheus.md).

- **Counters and histograms** count what one process did: take `rate` first, then `sum` over the replicas.
- **Gauges of the dispatcher** but `trace_long_polls` and `trace_store_up` are read from the databases, and every
  replica shows the same: take `max`. While the state database is away they keep their last value;
  `trace_store_up` says so, of which each replica has its own: take `min`.
- **`dag`, `job_name` and `asset`** name as many as setting `metrics_names` says; the rest is summed as `_other`.
  Gauges name those that want looking at: the deepest queues, sources that do not run or are furthest behind, the
  stalest assets.
- **`trace_source_*`** are measured in the source's own pod and have no label of the job: Prometheus adds the pod's.
  `trace_job_source_*` are the dispatcher's, which outlives the pod.
- **Alerts** that use a metric stand in its row and lead to the runbook.
"""
_TABLE = """
## {title}

{port}

| metric | type | labels | meaning | what to do |
|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Metric:
    """One metric family, by the name that rules use."""

    name: str
    type: str
    labels: tuple[str, ...]
    meaning: str


def of_registry(source: CollectorRegistry) -> Iterator[Metric]:
    """What a registry can show, whether or not it has a series yet."""
    for collector in source._collector_to_names:
        # A metric of prometheus_client knows its labels before its first series; another collector tells families.
        for family in [collector] if hasattr(collector, "_labelnames") else collector.collect():
            metric = next(iter(family.collect())) if family is collector else family
            name = metric.name + ("_total" if metric.type == "counter" else "")
            yield Metric(name, metric.type, tuple(family._labelnames), metric.documentation)


def by_process() -> dict[str, list[Metric]]:
    """Every metric, under the first title that has it."""
    expiry = CollectorRegistry()
    credentials.Credentials(expiry, {})
    measured = [Metric(f"trace_{name}", "gauge", labels_of(name), text) for name, text in MEASURES.items()]
    found = {
        "Every process": [*of_registry(registry("any")), *of_registry(expiry)],
        "Controller": of_registry(reconcile_metrics.registry),
        "Dispatcher": of_registry(dispatch_metrics.REGISTRY),
        "Query service": of_registry(Telemetry().registry),
        "Workers": of_registry(Health().registry),
        "Sources": measured,
    }
    seen: set[str] = set()
    shown: dict[str, list[Metric]] = {}
    for title, metrics in found.items():
        shown[title] = [metric for metric in metrics if metric.name not in seen]
        seen |= {metric.name for metric in shown[title]}
    return shown


PORTS = {
    "Every process": "At each of the ports below.",
    "Controller": "Port 9090. `trace_task_attempts_total` is the dispatcher's as well: the controller counts the "
    "attempts of pods that it saw end.",
    "Dispatcher": "Port 8080.",
    "Query service": "Port 8082; `trace_denied_total` as well.",
    "Workers": "Port 9090 of every worker pod.",
    "Sources": "What a block follower measures, at port 9090 of its pod.",
}


def rendered() -> str:
    """The whole page."""
    shown = by_process()
    parts = [_HEAD]
    for title, metrics in shown.items():
        parts.append(_TABLE.format(title=title, port=PORTS[title]))
        parts += [_row(metric) for metric in metrics]
    return "".join(parts)


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    alerts = [
        f"[{rule['alert']}](../{rule['annotations']['runbook_url'].removeprefix('docs/')})"
        for rule in alert_rules.rules()
        if re.search(rf"\b{metric.name}(_count|_bucket|_sum)?\b", rule["expr"])
    ]
    advice = " ".join([ADVICE[metric.name], *alerts])
    return f"| `{metric.name}` | {metric.type} | {labels} | {metric.meaning} | {advice} |\n"


def main(argv: list[str]) -> int:
    """Write the page, or with --check say whether it is right (exit code 1 when not)."""
    if "--check" not in argv:
        PAGE.write_text(rendered())
    elif not PAGE.exists() or PAGE.read_text() != rendered():
        print(f"{PAGE.name} and the registries differ; run: python -m hack.generate.metrics_reference")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
