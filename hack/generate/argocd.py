"""Writes docs/reference/argocd-cm.yaml: the health script of Trace's kinds as a patch of Argo CD's own ConfigMap.

Usage: python -m hack.generate.argocd [--check]
"""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

from traceplane.kinds import GROUP, KINDS

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "charts" / "trace" / "files" / "argocd" / "health.lua"
PAGE = ROOT / "docs" / "reference" / "argocd-cm.yaml"

_HEAD = """\
# Health of Trace's kinds for Argo CD: a patch of the ConfigMap argocd-cm, which belongs to Argo CD's installation.
# docs/howto/argocd.md says how to merge it. Generated from charts/trace/files/argocd/health.lua by
# `python -m hack.generate.argocd`.
"""


def data() -> dict[str, str]:
    """The keys of the ConfigMap: one a kind, all with the same script."""
    return {f"resource.customizations.health.{GROUP}_{kind}": SOURCE.read_text() for kind in KINDS}


def rendered() -> str:
    """The whole file."""
    return _HEAD + yaml.dump({"data": data()}, Dumper=_Blocks, sort_keys=False, width=1000)


class _Blocks(yaml.SafeDumper):
    """Scripts as blocks, line by line."""


_Blocks.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="|" if "\n" in text else None
    ),
)


def main(argv: list[str]) -> int:
    """Write the file, or with --check say whether it is right (exit code 1 when not)."""
    if "--check" not in argv:
        PAGE.write_text(rendered())
    elif not PAGE.exists() or PAGE.read_text() != rendered():
        print(f"{PAGE.name} and the chart's script differ; run: python -m hack.generate.argocd")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
