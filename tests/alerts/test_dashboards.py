"""The dashboards of the chart ask for metrics that there are, by labels that these have, in words Prometheus takes.

That each query has an answer is shown on the cluster (tests/drills).
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from hack.generate import dashboards, metrics_reference
from hack.generate.dashboard_panels import DASHBOARDS
from tests.support.dashboards import queries
from tests.support.scrape import promtool

QUERIES = list(queries())
LABELS = {metric.name: metric.labels for metrics in metrics_reference.by_process().values() for metric in metrics}
SCRAPED = {"namespace", "pod", "le"}
OF_PODS = {"dag", "job_name"}
"""Labels that Prometheus adds to what a worker measures."""


@pytest.mark.parametrize("shown", QUERIES, ids=lambda shown: shown.panel)
def test_a_query_selects_and_groups_by_labels_that_its_metrics_have(shown):
    for name, matchers in re.findall(r"\b((?:trace|process)_\w+?)(?:_bucket|_count)?\{([^}]*)\}", shown.expr):
        labels = set(LABELS[name]) | SCRAPED | (OF_PODS if name.startswith("trace_source_") else set())
        grouped = {label for found in re.findall(r"by \(([^)]*)\)", shown.expr) for label in found.split(", ")}
        assert grouped | set(re.findall(r"(\w+)[!=]", matchers)) <= labels, name
        assert set(re.findall(r"\{\{(\w+)\}\}", shown.legend)) <= grouped, name


def test_prometheus_takes_every_query(tmp_path: Path):
    rules = [{"record": f"panel:{number}", "expr": shown.sent} for number, shown in enumerate(QUERIES)]
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    code, said = promtool("check", "rules", str(file))
    assert code == 0, said
    assert f"{len(QUERIES)} rules found" in said


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_dashboard_has_all_of_its_panels_and_no_two_in_one_place(name):
    made = json.loads((dashboards.TARGET / name).read_text())
    shown = DASHBOARDS[name]
    titles = [title for row, panels in shown.rows.items() for title in (row, *(panel.title for panel in panels))]
    assert [panel["title"] for panel in made["panels"]] == titles
    assert sum(len(panel.get("targets", [])) for panel in made["panels"]) == sum(
        len(panel.queries) for panels in shown.rows.values() for panel in panels
    )
    covered = [
        (place["x"] + x, place["y"] + y)
        for place in (panel["gridPos"] for panel in made["panels"])
        for x in range(place["w"])
        for y in range(place["h"])
    ]
    assert len(covered) == len(set(covered))
    assert max(x for x, _ in covered) < 24
    assert len({panel["id"] for panel in made["panels"]}) == len(titles)
