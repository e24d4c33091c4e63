"""Writes the Grafana dashboards of the chart, charts/trace/files/dashboards, by dashboard_panels.py.

Usage: python -m hack.generate.dashboards [--check]
"""

from __future__ import annotations

import sys
from itertools import count
from pathlib import Path

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync, DataSourceRef, VariableRefresh

from hack.generate.dashboard_panels import DASHBOARDS, Dashboard, Panel

TARGET = Path(__file__).resolve().parents[2] / "charts" / "trace" / "files" / "dashboards"
_SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
_GRAPH = (8, 7)
_NOW = (6, 4)
"""Width (of 24) and height of a panel."""


def scoped(expr: str) -> str:
    """An expression with its selectors written out. Pure."""
    here = 'namespace="$namespace"'
    return (
        expr.replace("$dags", f'{here}, dag=~"$dag"')
        .replace("$assets", f'{here}, asset=~"$asset"')
        .replace("$here", here)
    )


def _panel(panel: Panel, number: int) -> stat.Panel | timeseries.Panel:
    built = _value() if panel.now else _graph()
    width, height = _NOW if panel.now else _GRAPH
    built.id(number).title(panel.title).description(panel.text).unit(panel.unit).datasource(_SOURCE)
    built.span(width).height(height)
    for letter, query in zip("ABCD", panel.queries, strict=False):
        target = prometheus.Dataquery().ref_id(letter).datasource(_SOURCE)
        target.expr(scoped(query.expr)).legend_format(query.legend)
        built.with_target(target.instant() if panel.now else target.range())
    return built


def _value() -> stat.Panel:
    newest = common.ReduceDataOptions().calcs(["lastNotNull"])
    return stat.Panel().reduce_options(newest).text_mode(options.BigValueTextMode.VALUE_AND_NAME)


def _graph() -> timeseries.Panel:
    legend = common.VizLegendOptions().show_legend(True).placement(options.LegendPlacement.BOTTOM)
    tooltip = common.VizTooltipOptions().mode(options.TooltipDisplayMode.MULTI)
    return timeseries.Panel().legend(legend.display_mode(options.LegendDisplayMode.LIST)).tooltip(tooltip)


def _chosen(name: str, metric: str, label: str, several: bool) -> dashboard.QueryVariable:
    where = '{namespace="$namespace"}' if several else ""
    found = dashboard.QueryVariable(name).datasource(_SOURCE).query(f"label_values({metric}{where}, {label})")
    found = found.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
    return found.multi(True).include_all(True).all_value(".*") if several else found


def _dashboard(shown: Dashboard) -> dashboard.Dashboard:
    built = dashboard.Dashboard(shown.title).uid(shown.uid).description(shown.text).tags(["trace"])
    built.refresh("30s").time("now-3h", "now").timezone("browser").tooltip(DashboardCursorSync.CROSSHAIR)
    built.with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    built.with_variable(_chosen("namespace", "trace_build_info", "namespace", several=False))
    for name, (metric, label) in shown.variables.items():
        built.with_variable(_chosen(name, metric, label, several=True))
    numbers = count(1)
    for title, panels in shown.rows.items():
        built.with_row(dashboard.Row(title).id(next(numbers)))
        for panel in panels:
            built.with_panel(_panel(panel, next(numbers)))
    return built


def wanted() -> dict[str, str]:
    """The text of each file by its name."""
    encoder = JSONEncoder(sort_keys=True, indent=1)
    return {name: encoder.encode(_dashboard(shown).build()) + "\n" for name, shown in DASHBOARDS.items()}


def main(argv: list[str]) -> int:
    """Write the files, or with --check say whether they are right (exit code 1 when not)."""
    found = {path.name: path.read_text() for path in TARGET.glob("*.json")}
    if "--check" not in argv:
        TARGET.mkdir(exist_ok=True)
        for name in found.keys() - wanted().keys():
            (TARGET / name).unlink()
        for name, text in wanted().items():
            (TARGET / name).write_text(text)
    elif found != wanted():
        print("charts/trace/files/dashboards and the panels differ; run: python -m hack.generate.dashboards")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
