"""The values and the configuration of the pages about Prometheus and Grafana are right."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from hack.generate import alert_rules
from tests.services import ROOT
from tests.support.scrape import promtool

VALUES = yaml.safe_load((ROOT / "charts" / "trace" / "values.yaml").read_text())


def blocks(page: str) -> dict[str, str]:
    """The YAML of a page, by the names in their first lines."""
    found = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "howto" / page).read_text(), re.DOTALL)
    return {block.partition("\n")[0].removeprefix("# "): block for block in found}


BLOCKS = blocks("prometheus.md")


def test_the_page_shows_the_configuration_that_is_tried_on_a_cluster() -> None:
    assert BLOCKS["prometheus.yml"] == (ROOT / "docs" / "examples" / "prometheus.yml").read_text()


def test_prometheus_takes_the_configuration_with_the_rules_beside_it(tmp_path: Path) -> None:
    config = yaml.safe_load(BLOCKS["prometheus.yml"])
    # Debian's promtool is built without this discovery; all else of the page is as it stands.
    discovery = config["scrape_configs"][0].pop("kubernetes_sd_configs")
    assert discovery == [{"role": "pod", "namespaces": {"names": ["trace"]}}]
    config["scrape_configs"][0]["static_configs"] = [{"targets": ["localhost:1"]}]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    (tmp_path / "alerts.yaml").write_text(alert_rules.PAGE.read_text())
    code, said = promtool("check", "config", "prometheus.yml", cwd=tmp_path)
    assert code == 0, said
    assert f"{len(alert_rules.rules())} rules found" in said


@pytest.mark.parametrize("port", ["metrics", "tasks", "query"])
def test_the_configuration_keeps_the_ports_of_the_chart(port: str) -> None:
    (scrape,) = yaml.safe_load(BLOCKS["prometheus.yml"])["scrape_configs"]
    keep = next(rule for rule in scrape["relabel_configs"] if rule.get("action") == "keep")
    assert re.fullmatch(keep["regex"], port)
    assert not re.fullmatch(keep["regex"], "users")


def test_the_values_are_values_of_the_chart() -> None:
    shown, known = yaml.safe_load(BLOCKS["monitoring.yaml"]), VALUES
    assert shown["monitoring"].keys() <= known["monitoring"].keys()
    assert shown["monitoring"]["thresholds"].keys() <= known["monitoring"]["thresholds"].keys()
    assert shown["networkPolicies"].keys() <= known["networkPolicies"].keys()


def test_the_values_for_grafana_are_values_of_the_chart() -> None:
    shown = yaml.safe_load(blocks("grafana.md")["grafana.yaml"])["monitoring"]["dashboards"]
    assert shown.keys() <= VALUES["monitoring"]["dashboards"].keys()
    assert shown["labels"] == VALUES["monitoring"]["dashboards"]["labels"]
