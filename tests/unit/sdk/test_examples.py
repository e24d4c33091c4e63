"""Every operator's example is a DAG that would deploy, and every registered operator has its papers."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

import pytest
import yaml

from tests import graphs

OPERATORS = Path(__file__).parents[3] / "operators"
NAMES = sorted(entry.name for entry in entry_points(group="traceplane.operators"))


@pytest.mark.parametrize("name", NAMES)
def test_the_example_deploys_and_uses_the_operator(name: str) -> None:
    manifest = yaml.safe_load((OPERATORS / name / "example.yaml").read_text())
    manifest["metadata"] |= {"namespace": "default", "uid": "uid-1"}
    graphs.assembled(manifest)
    assert name in {job["operator"] for job in manifest["spec"]["jobs"]}


@pytest.mark.parametrize("name", NAMES)
def test_the_readme_names_every_config_field(name: str) -> None:
    from traceplane_sdk.runner import load_operator

    text = (OPERATORS / name / "README.md").read_text()
    fields = [field.alias for field in load_operator(name).config_model.model_fields.values()]
    assert [field for field in fields if f"`{field}`" not in text] == []
