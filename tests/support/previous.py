"""The chart that an upgrade comes from.

There is no release to take it from, so it is the chart before the last commit that changed it, where the clone has
that one; of a shallow clone, this one. Either way it is then made older in what every upgrade has to change: its
version, and a field that its definitions do not know. So there is always an upgrade to be tested.
"""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

import yaml

from hack.generate import chart_crds
from hack.localcluster.layout import CHECKOUT

CHART = "charts/trace"
VERSION = "0.0.1-before"
NEW_FIELD = "rollout"
"""Of a DAG's spec: the older definitions lack it."""


def chart(folder: Path) -> Path:
    """Write the older chart into a folder."""
    made = folder / "trace"
    if commit := _before():
        packed = _git("archive", "--format=tar", commit, CHART)
        with tarfile.open(fileobj=BytesIO(packed)) as archive:
            archive.extractall(folder, filter="data")
        shutil.move(folder / CHART, made)
    else:
        shutil.copytree(CHECKOUT / CHART, made)
    about = yaml.safe_load((made / "Chart.yaml").read_text())
    (made / "Chart.yaml").write_text(yaml.safe_dump(about | {"version": VERSION}))
    definition = made / "templates" / "crds" / "trace.dev_dags.yaml"
    definition.write_text(_without_field(definition.read_text()))
    return made


def _without_field(template: str) -> str:
    lines = [line for line in template.splitlines() if not line.startswith("{{-")]
    document = yaml.safe_load("\n".join(lines).replace('{{ "{{" }}', "{{"))
    (version,) = document["spec"]["versions"]
    del version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"][NEW_FIELD]
    return chart_crds.template(yaml.safe_dump(document))


def _before() -> str:
    """The commit before the last that changed the chart; empty where the clone does not reach as far."""
    changed = _git("rev-list", "--max-count=2", "HEAD", "--", CHART).decode().split()
    dirty = _git("status", "--porcelain", "--", CHART)
    return changed[0] if dirty else changed[1] if len(changed) > 1 else ""


def _git(*words: str) -> bytes:
    return subprocess.run(["git", "-C", str(CHECKOUT), *words], check=True, capture_output=True).stdout
