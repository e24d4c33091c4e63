"""What Argo CD's Lua engine and kstatus say of objects, by the program `verdicts` of hack/tools."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from hack.generate.argocd import SOURCE
from tests.services import tool

AGREED = {"Healthy": "Current", "Suspended": "Current", "Progressing": "InProgress", "Degraded": "Failed"}
"""kstatus's status for each of Argo CD's; of an object that is being deleted it says Terminating."""


def verdicts(objects: Sequence[Mapping[str, Any]]) -> list[tuple[dict[str, str], str]]:
    """Of each object Argo CD's health (`status`, `message`), and kstatus's status."""
    script = SOURCE.read_text()
    asked = json.dumps([{"script": script, "object": obj} for obj in objects])
    done = subprocess.run([tool("verdicts")], input=asked, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return [(answer["health"], answer["kstatus"]["status"]) for answer in json.loads(done.stdout)]


def agreed(obj: Mapping[str, Any]) -> str:
    """Argo CD's status of one object, once kstatus says the same of it."""
    ((health, kstatus),) = verdicts([obj])
    assert kstatus == expected(obj, health["status"]), (health, kstatus, obj)
    return health["status"]


def expected(obj: Mapping[str, Any], status: str) -> str:
    """What kstatus has to say where Argo CD says `status`."""
    return "Terminating" if obj["metadata"].get("deletionTimestamp") else AGREED[status]
