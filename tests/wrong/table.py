"""Reads the table. Unit tests run every row through lint's validation, API server tests through a real server."""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
CHAIN = HERE.parents[1] / "dags" / "chain.yaml"
_JOB = {
    "apiVersion": "trace.dev/v1alpha1",
    "kind": "Job",
    "metadata": {"name": "wide-ranges"},
    "spec": {
        "dag": "chain",
        "activation": "Reactive",
        "runtime": "Dispatcher",
        "operator": "range_aggregator",
        "inputs": [{"from": {"job": "follow", "output": "blocks"}}],
        "executionStrategy": "PerUpdate",
        "config": {"cursorColumn": "block_number", "rangeSize": 500},
        "outputs": ["ranges"],
        "updateStrategy": "Append",
        "uniqueKey": ["dedupe_key"],
    },
}
_BUNDLE = {
    "apiVersion": "trace.dev/v1alpha1",
    "kind": "Bundle",
    "metadata": {"name": "code"},
    "spec": {"language": "Python", "uri": "s3://trace/bundles/code.zip", "sha256": "a" * 64},
}


@dataclass(frozen=True)
class Case:
    """A row: `document` is wrong at `path`; the API server (or only lint) refuses it."""

    name: str
    refused: str
    path: str
    message: str
    document: dict[str, Any]
    server: str = ""
    beside: list[dict[str, Any]] = field(default_factory=list)
    """Right manifests of the same set, so that nothing but the change is wrong."""

    def __str__(self) -> str:
        return self.name


def right() -> dict[str, dict[str, Any]]:
    """The manifests that rows change, fresh ones at every call."""
    documents = _chain()
    asset = next(d for d in documents if d["kind"] == "Asset" and d["metadata"]["name"] == "blocks")
    return copy.deepcopy({"dag": documents[0], "job": _JOB, "asset": asset, "bundle": _BUNDLE})


@cache
def _chain() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(CHAIN.read_text()))


@cache
def cases() -> list[Case]:
    """Every row of the table."""
    return [_case(row) for row in yaml.safe_load((HERE / "cases.yaml").read_text())]


def _case(row: dict[str, Any]) -> Case:
    manifests = right()
    base = row.get("base", "dag")
    document = manifests[base]
    for path in row.get("unset", []):
        holder, last = _holder(document, path)
        del holder[last]
    for path, value in row.get("set", {}).items():
        holder, last = _holder(document, path)
        holder[last] = value
    beside = [] if base == "dag" else [manifests["dag"]]
    return Case(row["name"], row["refused"], row["path"], row["message"], document, row.get("server", ""), beside)


def _holder(document: Any, path: str) -> tuple[Any, Any]:
    """What holds the field at `path`, and the key or index of the field in it; objects on the way are made."""
    steps = [int(s[1:-1]) if s.startswith("[") else s for s in re.findall(r"\[\d+\]|[^.\[]+", path)]
    for step in steps[:-1]:
        document = document[step] if isinstance(step, int) else document.setdefault(step, {})
    return document, steps[-1]
