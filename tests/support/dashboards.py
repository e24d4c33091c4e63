"""The queries of the shipped dashboards, as Grafana would send them to Prometheus."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from hack.generate import dashboards

_VARIABLES = {"$namespace": "trace", "$dag": ".*", "$asset": ".*", "$__rate_interval": "30s"}


@dataclass(frozen=True)
class Shown:
    """A query of a panel."""

    panel: str
    expr: str
    legend: str

    @property
    def sent(self) -> str:
        """The expression with what Grafana puts for its variables, every DAG and asset chosen."""
        text = self.expr
        for name, value in _VARIABLES.items():
            text = text.replace(name, value)
        return text


def queries() -> Iterator[Shown]:
    """Every query of every panel, read from the files of the chart."""
    for path in sorted(dashboards.TARGET.glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", []):
                yield Shown(f"{path.stem}: {panel['title']}", target["expr"], target["legendFormat"])
