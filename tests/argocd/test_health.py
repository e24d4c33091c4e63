"""Argo CD's health of each kind, by the shipped script in Argo CD's Lua engine, and kstatus beside it.

`trace.dev/KIND/health_test.yaml` with its `testdata` is the form in which Argo CD tests its own scripts.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.argo import expected, verdicts
from traceplane.kinds import KINDS
from traceplane.reconcile import conditions
from traceplane.reconcile.conditions import Condition

FOLDER = Path(__file__).parent / "trace.dev"
NOW = datetime(2026, 11, 2, 10, tzinfo=UTC)


def cases(kind: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = yaml.safe_load((FOLDER / kind / "health_test.yaml").read_text())["tests"]
    return listed


@pytest.mark.parametrize("kind", KINDS)
def test_health_is_as_its_cases_say_and_kstatus_agrees(kind: str) -> None:
    listed = cases(kind)
    objects = [yaml.safe_load((FOLDER / kind / case["inputPath"]).read_text()) for case in listed]
    for case, obj, (health, kstatus) in zip(listed, objects, verdicts(objects), strict=True):
        assert health == case["healthStatus"], case["inputPath"]
        # An object that had no status, before the CRDs gave it a default, is the one thing that kstatus cannot see.
        if "status" in obj:
            assert kstatus == expected(obj, health["status"]), case["inputPath"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_file_of_test_data_is_a_case_and_every_condition_follows_as_the_controller_has_it(kind: str) -> None:
    files = {f"testdata/{path.name}" for path in (FOLDER / kind / "testdata").iterdir()}
    assert files == {case["inputPath"] for case in cases(kind)}
    for file in files:
        obj = yaml.safe_load((FOLDER / kind / file).read_text())
        shown = conditions.parsed(conditions.of(obj))
        own = [c for c in shown if c.type not in conditions.ABNORMAL]
        assert [*own, *conditions.abnormal(own)] == shown, file


REASONS = {
    "Valid": ("Accepted", "Invalid", "NotSupported", "DagNotFound"),
    "Staged": ("NothingStaged", "Rebuilding", "RebuildFailed", "AwaitingApproval", "Preview"),
    "Ready": (
        "Running",
        "Paused",
        "Invalid",
        "NotDeployed",
        "Rebuilding",
        "Preview",
        "RolledBack",
        "CatchingUp",
        "Provisioning",
        "SourceStalled",
        "Published",
        "Draining",
    ),
    "Degraded": ("AsExpected", "TasksDead", "OOMKilled", "StateUnavailable"),
}


def anything(draw: random.Random) -> dict[str, Any]:
    """An object as the controller could leave it, with conditions that need not fit together."""
    new = [
        Condition(kind, draw.choice(("True", "False")), draw.choice(reasons), draw.choice(("", "why")))
        for kind, reasons in REASONS.items()
        if draw.random() < 0.8
    ]
    metadata: dict[str, Any] = {"name": "x", "generation": draw.randint(1, 2)}
    if draw.random() < 0.1:
        metadata["deletionTimestamp"] = conditions.stamp(NOW)
    status = {
        "observedGeneration": draw.randint(0, 2),
        "conditions": conditions.merged({"metadata": metadata}, new, NOW),
    }
    kind = draw.choice(tuple(KINDS))
    return {"apiVersion": "trace.dev/v1alpha1", "kind": kind, "metadata": metadata, "status": status}


def test_argo_cd_and_kstatus_agree_on_whatever_the_controller_writes() -> None:
    draw = random.Random(20261129)
    objects = [anything(draw) for _ in range(2000)]
    answered = verdicts(objects)
    assert {health["status"] for health, _ in answered} == {"Healthy", "Suspended", "Progressing", "Degraded"}
    for obj, (health, kstatus) in zip(objects, answered, strict=True):
        assert kstatus == expected(obj, health["status"]), (health, obj)
        assert health["message"]
