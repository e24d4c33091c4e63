"""Writes docs/reference/settings.md from the settings model, so that the page cannot name other defaults.

Usage: python -m hack.generate.settings_reference [--check]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hack.generate.chart_config import allowed
from traceplane.settings import PROCESSES, Settings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "settings.md"

_HEAD = """\
# Settings

Generated from `controller/traceplane/settings/` by `python -m hack.generate.settings_reference`.

Every process reads its settings from environment variables. A value that is secret is read from a file
(`*_FILE`). In the chart, a setting marked *chart* is given under `config:` by its name in lower case without
`TRACE_` (`config: {lease_seconds: 20}`); the chart decides the others from its own values.

| variable | processes | type | default | chart | meaning |
|---|---|---|---|---|---|
"""


def rendered() -> str:
    """The whole page."""
    described: dict[str, Any] = Settings.model_json_schema()["properties"]
    in_chart = set(allowed())
    rows = [_row(name, described[name], name in in_chart) for name in Settings.model_fields]
    return _HEAD + "\n".join(rows) + "\n"


def _row(name: str, source: dict[str, Any], in_chart: bool) -> str:
    default = source.get("default")
    shown = "" if default is None else f"`{default}`"
    text = source["description"].replace("|", "\\|")
    read_by = [process for process, model in PROCESSES.items() if name in model.model_fields]
    processes = "all" if len(read_by) == len(PROCESSES) else ", ".join(read_by)
    cells = (f"`TRACE_{name.upper()}`", processes, _type(source), shown, "yes" if in_chart else "", text)
    return f"| {' | '.join(cells)} |"


def _type(source: dict[str, Any]) -> str:
    branches = [branch for branch in source.get("anyOf", [source]) if branch.get("type") != "null"]
    branch = branches[0]
    name = {"string": "text", "number": "number", "integer": "integer", "boolean": "yes or no"}[branch["type"]]
    name = {"path": "file", "file-path": "file", "uuid": "uuid"}.get(branch.get("format", ""), name)
    return name + "".join(
        f", {sign} {branch[key]}"
        for key, sign in (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"))
        if key in branch
    )


def main(argv: list[str]) -> int:
    """Write the page, or with --check say whether it is right (exit code 1 when not)."""
    if "--check" not in argv:
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        PAGE.write_text(rendered())
    elif not PAGE.exists() or PAGE.read_text() != rendered():
        print(f"{PAGE.name} and the settings model differ; run: python -m hack.generate.settings_reference")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
