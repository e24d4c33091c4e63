"""The chart that upgrades are tested from is older than this one, whatever the clone knows of the past."""

import pytest
import yaml

from tests.chart.conftest import CHART
from tests.support import previous


@pytest.mark.parametrize("shallow", [False, True])
def test_it_renders_and_lacks_what_the_upgrade_brings(shallow, helm, tmp_path, monkeypatch):
    if shallow:
        monkeypatch.setattr(previous, "_before", lambda: "")
    made = previous.chart(tmp_path)
    for folder, there in ((made, False), (CHART, True)):
        code, said = helm("template", "trace", str(folder), "--kube-version", "1.34.0")
        assert code == 0, said
        documents = [one for one in yaml.load_all(said, Loader=yaml.CSafeLoader) if one]
        (dags,) = [one for one in documents if one["metadata"]["name"] == "dags.trace.dev"]
        (version,) = dags["spec"]["versions"]
        spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
        assert (previous.NEW_FIELD in spec) is there
        assert ("jobs" in spec, "CustomResourceDefinition") == (True, dags["kind"])
