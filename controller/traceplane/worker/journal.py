"""A worker's log: JSON, one line an event, on standard output, with the task's fields on every line of a run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from traceplane_sdk import wire

Log = Callable[[str, Mapping[str, Any]], None]


def configure(level: str) -> None:
    """Set the process's format and lowest level. httpx stays silent: it logs whole URLs, and those carry keys."""
    for library in ("httpx", "httpcore"):
        logging.getLogger(library).setLevel(logging.ERROR)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
    )


def of_worker(worker_id: str) -> Log:
    """The log of the process itself."""
    return _log(structlog.get_logger(worker_id=worker_id))


def of_task(worker_id: str, claimed: wire.ClaimedTask) -> Log:
    """The log of one attempt."""
    job = claimed.task.job
    return _log(
        structlog.get_logger(
            worker_id=worker_id,
            namespace=job.namespace,
            dag=job.dag,
            job=job.name,
            task_id=claimed.task.task_id,
            attempt=claimed.attempt,
        )
    )


def _log(logger: Any) -> Log:
    def write(event: str, fields: Mapping[str, Any]) -> None:
        level = fields.get("level", "info")
        getattr(logger, level)(event, **{key: value for key, value in fields.items() if key != "level"})

    return write
