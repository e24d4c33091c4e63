"""Each alert, run by the real promtool over minutes of samples: quiet, firing with its words, and quiet again.

Needs nothing but promtool. The rules are the plain file; that the chart's are the same is tested in tests/chart.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from hack.generate import alert_rules, metrics_reference
from tests.services import ROOT
from tests.support.scrape import promtool
from traceplane.observe.reconcile_metrics import PodCount
from traceplane.tasks.states import Result

CASES: dict[str, dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "cases.yaml").read_text())
RULES = {rule["alert"]: rule for rule in alert_rules.rules()}
TEXT = alert_rules.SOURCE.read_text()
BEGIN = 30
"""The minute in which what is bad begins."""


def samples(series: dict[str, Any] | str, minutes: int) -> str:
    """In promtool's notation: good until `BEGIN`, bad for `minutes`, then good for an hour."""
    if isinstance(series, str):
        return series

    bad = f"stale _x{minutes - 1}" if series["bad"] == "gone" else f"{series['bad']}x{minutes - 1}"
    return f"{series['good']}x{BEGIN - 1} {bad} {series['good']}x59"


def waits(rule: dict[str, Any]) -> int:
    """Minutes of a rule's `for`."""
    number, unit = re.fullmatch(r"(\d+)([mh])", rule["for"]).groups()
    return int(number) * (60 if unit == "h" else 1)


def promtool_test(name: str, case: dict[str, Any]) -> dict[str, Any]:
    """A case as a file for `promtool test rules`."""
    rule, minutes = RULES[name], case.get("minutes", 60)
    fires = case.get("fires", BEGIN + waits(rule))
    quiet = case.get("quiet", [BEGIN - 1, min(fires, BEGIN + waits(rule)) - 1])
    quiet = [*quiet, case.get("clears", BEGIN + minutes)]
    firing = {
        "exp_labels": {**rule["labels"], **case["labels"]},
        "exp_annotations": {
            "summary": case["summary"],
            "description": case["description"],
            "runbook_url": rule["annotations"]["runbook_url"],
        },
    }
    looks = [(minute, []) for minute in quiet] + [(fires, [firing])]
    return {
        "rule_files": [str(alert_rules.PAGE)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": series, "values": samples(values, minutes)}
                    for series, values in case["series"].items()
                ],
                "alert_rule_test": [
                    {"alertname": name, "eval_time": f"{minute}m", "exp_alerts": expected}
                    for minute, expected in sorted(looks, key=lambda look: look[0])
                ],
            }
        ],
    }


@pytest.mark.parametrize("name", RULES)
def test_an_alert_is_quiet_fires_with_its_words_and_clears(name: str, tmp_path: Path) -> None:
    file = tmp_path / f"{name}.yaml"
    file.write_text(yaml.safe_dump(promtool_test(name, CASES[name])))
    code, said = promtool("test", "rules", str(file))
    assert code == 0, said


def minute_by_minute(name: str, also: dict[str, Any]) -> dict[str, Any]:
    """Further series of a case for `promtool test rules`, with a look at each minute until the samples end."""
    first, last = (0, -1) if also["firing"] == "never" else also["firing"]
    fires = f'count(ALERTS{{alertname="{name}", alertstate="firing"}}) or vector(0)'
    looks = [
        {
            "expr": fires,
            "eval_time": f"{minute}m",
            "exp_samples": [{"labels": "{}", "value": int(first <= minute <= last)}],
        }
        for minute in range(max(last + 1, 80))
    ]
    return {
        "rule_files": [str(alert_rules.PAGE)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": series, "values": values} for series, values in also["series"].items()],
                "promql_expr_test": looks,
            }
        ],
    }


ALSO = [(name, what) for name, case in CASES.items() for what in case.get("also", {})]


@pytest.mark.parametrize(("name", "what"), ALSO, ids=[what for _, what in ALSO])
def test_an_alert_fires_in_these_minutes_and_no_other(name: str, what: str, tmp_path: Path) -> None:
    file = tmp_path / f"{name}.yaml"
    file.write_text(yaml.safe_dump(minute_by_minute(name, CASES[name]["also"][what])))
    code, said = promtool("test", "rules", str(file))
    assert code == 0, said


def test_every_case_is_of_an_alert() -> None:
    assert set(CASES) == set(RULES)


def test_promtool_takes_the_rules() -> None:
    code, said = promtool("check", "rules", str(alert_rules.PAGE))
    assert code == 0, said
    assert f"{len(RULES)} rules found" in said


@pytest.mark.parametrize("name", RULES)
def test_an_alert_says_what_it_has_to(name: str) -> None:
    rule = RULES[name]
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}


@pytest.mark.parametrize("name", RULES)
def test_the_reason_of_each_for_stands_beside_it(name: str) -> None:
    rule = TEXT.partition(f"- alert: {name}\n")[2].partition("- alert: ")[0]
    assert re.search(r"^ +for: \w+  # \w.{10,}$", rule, re.MULTILINE)


@pytest.mark.parametrize("name", RULES)
def test_the_runbook_of_an_alert_has_its_section(name: str) -> None:
    path, anchor = RULES[name]["annotations"]["runbook_url"].split("#")
    headings = re.findall(r"^#+ (.*)$", (ROOT / path).read_text(), re.MULTILINE)
    assert anchor in {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
    section = (ROOT / path).read_text()
    assert f"`{name}`" in section, "people search for the alert's name"


def names_of(text: str) -> set[str]:
    """Metrics that a text names, without what a histogram adds to its name."""
    found = set(re.findall(r"\b(?:trace|process)_[a-z_]*[a-z]\b", text))
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in found}


LABELS = {metric.name: metric.labels for metrics in metrics_reference.by_process().values() for metric in metrics}
LISTED = set(LABELS)
NO_METRICS = {
    "trace_query",
    "trace_state",
    "trace_data",
    "trace_worker",
    "trace_writer",
    "trace_reader",
    "trace_type",
    "trace_id",
}
"""Roles of the databases and a column, whose names begin as metrics do."""


def test_every_metric_of_a_rule_is_one() -> None:
    for rule in RULES.values():
        assert names_of(rule["expr"]) <= LISTED, rule["alert"]


@pytest.mark.parametrize("name", RULES)
def test_a_rule_selects_and_groups_by_labels_that_its_metrics_have(name: str) -> None:
    expr = RULES[name]["expr"]
    for metric, matchers in re.findall(r"(trace_\w+?)(?:_count)?\{([^}]*)\}", expr):
        labels = set(LABELS[metric])
        assert set(re.findall(r"(\w+)[!=]", matchers)) <= labels, metric
        for grouped in re.findall(r"by \(([^)]*)\)", expr):
            assert set(grouped.split(", ")) <= labels, metric


@pytest.mark.parametrize(
    ("metric", "label", "known"),
    [
        ("trace_task_attempts_total", "result", {result.value for result in Result}),
        ("trace_query_seconds", "fault", {"none", "user", "load", "service"}),
        ("trace_job_tasks", "state", {"Queued", "Running", "Retrying", "Dead"}),
        ("trace_worker_pods", "state", set(PodCount._fields)),
    ],
)
def test_a_rule_selects_values_that_a_label_can_have(metric: str, label: str, known: set[str]) -> None:
    text = " ".join(rule["expr"] for rule in RULES.values())
    matchers = " ".join(re.findall(rf"{metric}(?:_count)?\{{([^}}]*)\}}", text))
    values = {value for found in re.findall(rf'{label}[!=~]+"([^"]*)"', matchers) for value in found.split("|")}
    assert values
    assert values <= known


@pytest.mark.parametrize("page", [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md"], ids=lambda p: p.name)
def test_every_metric_and_alert_that_a_page_names_is_there(page: Path) -> None:
    text = page.read_text()
    named = {name for name in names_of(" ".join(re.findall(r"`[^`]*`", text))) if name not in NO_METRICS}
    assert named <= LISTED
    assert set(re.findall(r"`(Trace[A-Z]\w+)`", text)) <= set(RULES)
