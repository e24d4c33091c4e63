"""A task as a worker gets it, for tests of what stands around a run: no part of it matters but what they name."""

from __future__ import annotations

from typing import Any

from traceplane_sdk import wire

ID = "00000000-0000-7000-8000-000000000001"


def payload(**given: Any) -> wire.TaskPayload:
    """The first attempt of a task without inputs and outputs, but for what is `given`."""
    fields: dict[str, Any] = {
        "task_id": ID,
        "attempt": 1,
        "org_id": ID,
        "job": wire.JobRef(ID, "default", "dag", "job"),
        "operator": "any",
        "config": {},
        "cause": "Event",
        "lease_epoch": 1,
        "writer": "job",
        "scope": {},
        "inputs": [],
        "outputs": [],
    }
    return wire.TaskPayload(**{**fields, **given})
