"""Generated parts of chart and docs agree with what they are generated from."""

import json

import pytest

from hack.generate import (
    alert_rules,
    argocd,
    chains_reference,
    chart_config,
    chart_crds,
    dashboards,
    kinds_reference,
    metrics_reference,
    openapi,
    providers_reference,
    settings_reference,
    tracectl_reference,
    user_openapi,
    values_reference,
)
from hack.generate.metrics_advice import ADVICE
from traceplane.settings import Settings


def test_chart_schema_lists_exactly_the_settings_that_config_takes():
    assert chart_config.SCHEMA.read_text() == chart_config.rendered()
    listed = json.loads(chart_config.SCHEMA.read_text())["properties"]["config"]["properties"]
    assert set(listed) == set(chart_config.allowed())


def test_names_kept_out_of_config_are_settings():
    assert not chart_config.NOT_IN_CONFIG - set(Settings.model_fields)


def test_chart_has_the_crds_of_the_models():
    assert {path.name: path.read_text() for path in chart_crds.TARGET.glob("*.yaml")} == chart_crds.wanted()
    assert len(chart_crds.wanted()) == 4


def test_a_crd_template_is_kept_on_removal_and_escapes_braces():
    made = chart_crds.template("kind: CustomResourceDefinition\nmetadata: {name: x}\nspec: {rule: 'a{{b'}\n")
    assert "helm.sh/resource-policy: keep" in made
    assert 'a{{ "{{" }}b' in made


def test_chart_has_the_dashboards_of_the_panels():
    assert {path.name: path.read_text() for path in dashboards.TARGET.iterdir()} == dashboards.wanted()


PAGES = [
    alert_rules,
    argocd,
    chains_reference,
    kinds_reference,
    metrics_reference,
    openapi,
    providers_reference,
    settings_reference,
    tracectl_reference,
    user_openapi,
    values_reference,
]


@pytest.mark.parametrize("generator", PAGES)
def test_reference_page_is_current(generator):
    assert generator.PAGE.read_text() == generator.rendered()


@pytest.mark.parametrize("generator", [chart_config, chart_crds, dashboards, *PAGES])
def test_check_writes_nothing(generator, monkeypatch):
    monkeypatch.setattr("pathlib.Path.write_text", lambda *_: pytest.fail("--check wrote a file"))
    assert generator.main(["--check"]) == 0


def test_advice_is_given_for_every_metric_and_for_no_other():
    listed = [metric.name for metrics in metrics_reference.by_process().values() for metric in metrics]
    assert sorted(listed) == sorted(ADVICE)
