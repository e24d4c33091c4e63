"""The log of one attempt: the same fields on every line of a run, wherever it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog

from traceplane_sdk import wire
from traceplane_sdk.context import Log

_TAKEN = frozenset({"event", "self"})
"""Names that a logger's methods take for themselves."""
_LEVELS = frozenset({"debug", "info", "warning", "error", "critical"})


def of_task(worker_id: str, claimed: wire.ClaimedTask) -> Log:
    """The log of one attempt."""
    job = claimed.task.job
    return log(
        worker_id=worker_id,
        namespace=job.namespace,
        dag=job.dag,
        job=job.name,
        task_id=claimed.task.task_id,
        attempt=claimed.attempt,
    )


def log(**bound: Any) -> Log:
    """A log with `bound` on every line. The field `level` of a line is its level: info, where it is none."""
    logger = structlog.get_logger(**bound)

    def write(event: str, fields: Mapping[str, Any]) -> None:
        level = fields.get("level")
        # An operator's fields are its own; a name that the logger takes for itself must not end the run.
        rest = {f"{name}_" if name in _TAKEN else name: value for name, value in fields.items() if name != "level"}
        getattr(logger, level if level in _LEVELS else "info")(event, **rest)

    return write
