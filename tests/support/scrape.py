"""What a process shows to Prometheus, held against Prometheus's own rules and against the reference page."""

from __future__ import annotations

import subprocess
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from hack.generate import metrics_reference

PAGE = metrics_reference.PAGE


def promtool(*arguments: str, stdin: str = "", cwd: Path | None = None) -> tuple[int, str]:
    """Run the real promtool; its exit code and all that it said."""
    done = subprocess.run(
        ["promtool", *arguments], input=stdin, cwd=cwd, capture_output=True, text=True, timeout=120
    )
    return done.returncode, done.stdout + done.stderr


def check(text: str, process: str) -> None:
    """`text` is a scrape of a process that ran: well named, listed on the page, and with its version."""
    assert promtool("check", "metrics", stdin=text) == (0, "")
    families = {family.name: family for family in text_string_to_metric_families(text)}
    listed = {metric.name: metric for metrics in metrics_reference.by_process().values() for metric in metrics}
    for family in families.values():
        metric = listed[family.name + ("_total" if family.type == "counter" else "")]
        assert metric.type == family.type, metric.name
        found = {name for sample in family.samples for name in sample.labels} - {"le"}
        assert found <= set(metric.labels), metric.name
    (build,) = families["trace_build_info"].samples
    assert (build.labels["process"], build.value) == (process, 1)
    assert build.labels["version"]
