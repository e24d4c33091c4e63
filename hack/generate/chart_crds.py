"""Puts the CRDs, as they stand in crds/, into the chart as templates.

Helm installs what lies in a chart's own `crds/` folder once and never upgrades it, so that people run a new
release on old definitions without a word. As templates they are upgraded with the release; the annotation keeps
them, and with them every DAG, when the release is removed.

Usage: python -m hack.generate.chart_crds [--check]
"""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

from hack.generate import crds

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / "charts" / "trace" / "templates" / "crds"

_HEAD = "{{- if .Values.crds.install }}\n# Copied from crds/ by hack/generate/chart_crds.py.\n"
_FOOT = "{{- end }}\n"


def template(crd: str) -> str:
    """The template of one CRD: under `crds.install`, kept on removal, braces of its own escaped."""
    document = yaml.safe_load(crd)
    metadata = document["metadata"]
    metadata["annotations"] = {**metadata.get("annotations", {}), "helm.sh/resource-policy": "keep"}
    metadata["labels"] = {**metadata.get("labels", {}), "app.kubernetes.io/part-of": "trace"}
    text = yaml.safe_dump(document, sort_keys=False, width=1000, allow_unicode=True)
    return _HEAD + text.replace("{{", '{{ "{{" }}') + _FOOT


def wanted() -> dict[str, str]:
    """File name to content, one a kind: of the models, so that crds/ need not be written before."""
    return {name: template(text) for name, text in crds.files().items()}


def main(argv: list[str]) -> int:
    """Write the templates, or with --check say whether they are right (exit code 1 when not)."""
    found = {path.name: path.read_text() for path in sorted(TARGET.glob("*.yaml"))}
    if found == wanted():
        return 0
    if "--check" in argv:
        print("the chart's CRDs differ from crds/; run: python -m hack.generate.chart_crds")
        return 1
    TARGET.mkdir(parents=True, exist_ok=True)
    for name in found.keys() - wanted().keys():
        (TARGET / name).unlink()
    for name, text in wanted().items():
        (TARGET / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
