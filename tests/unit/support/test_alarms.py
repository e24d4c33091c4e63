"""The alert rules in quick motion are the alert rules."""

from __future__ import annotations

import re

import yaml

from hack.generate import alert_rules
from tests.support.alarms import quick

RULES = yaml.safe_load(alert_rules.filled())


def rules(groups):
    return [rule for group in groups["groups"] for rule in group["rules"]]


def test_minutes_are_seconds_and_hours_are_minutes():
    rule = {"alert": "A", "for": "5m", "expr": "max(rate(x[10m] offset 15m)) > 5 and y[1h] > 90"}
    (found,) = rules(quick({"groups": [{"name": "g", "rules": [rule]}]}))
    assert found == {"alert": "A", "for": "5s", "expr": "max(rate(x[10s] offset 15s)) > 5 and y[1m] > 90"}


def test_nothing_else_of_a_rule_is_another():
    for before, after in zip(rules(RULES), rules(quick(RULES)), strict=True):
        assert after["for"] != before["for"]
        for key in before.keys() - {"for"}:
            blank = [re.sub(r"\b\d+[smh]\b", "T", str(rule[key])) for rule in (before, after)]
            assert blank[0] == blank[1], before["alert"]
            assert key == "expr" or before[key] == after[key]
