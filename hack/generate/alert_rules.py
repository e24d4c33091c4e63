"""Writes docs/reference/alerts.yaml: the chart's alert rules as a plain file, where Prometheus has no operator.

Usage: python -m hack.generate.alert_rules [--check]
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import yaml

from traceplane.settings.parts import Controller

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "trace"
SOURCE = CHART / "files" / "alerts.yaml"
PAGE = ROOT / "docs" / "reference" / "alerts.yaml"

_HEAD = """\
# Alert rules of Trace for a Prometheus without the operator, with the default thresholds: name this file under
# `rule_files`. Generated from charts/trace/files/alerts.yaml, which says why each `for` is as long as it is, by
# `python -m hack.generate.alert_rules`. They look at all that is scraped of Trace, in whatever namespace.
"""


def rules() -> list[dict[str, Any]]:
    """Every rule, with the default thresholds filled in."""
    return [rule for group in yaml.safe_load(filled())["groups"] for rule in group["rules"]]


def filled() -> str:
    """The rules' text with the default thresholds, of any namespace."""
    monitoring = yaml.safe_load((CHART / "values.yaml").read_text())["monitoring"]
    values = {
        **monitoring["thresholds"],
        "watchStaleSeconds": Controller.model_fields["watch_stale_seconds"].default,
        "scope": "",
        "runbooks": monitoring["runbooks"],
    }
    return re.sub(r"\$\((\w+)\)", lambda found: str(values[found[1]]), SOURCE.read_text())


def rendered() -> str:
    """The whole file."""
    return _HEAD + yaml.safe_dump(yaml.safe_load(filled()), sort_keys=False, width=116)


def main(argv: list[str]) -> int:
    """Write the file, or with --check say whether it is right (exit code 1 when not)."""
    if "--check" not in argv:
        PAGE.write_text(rendered())
    elif not PAGE.exists() or PAGE.read_text() != rendered():
        print(f"{PAGE.name} and the chart's rules differ; run: python -m hack.generate.alert_rules")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
