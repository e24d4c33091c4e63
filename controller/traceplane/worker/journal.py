"""The format of a worker's log: JSON, one line an event, on standard output."""

from __future__ import annotations

import logging

import structlog

from traceplane.observe import logs


def configure(level: str) -> None:
    """Set the process's format and lowest level. httpx stays silent: it logs whole URLs, and those carry keys."""
    for library in ("httpx", "httpcore"):
        logging.getLogger(library).setLevel(logging.ERROR)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            logs.add_trace_id,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
    )
