"""Logs: JSON, one line an event, to standard error, for every library.

Our own events and what libraries say through the standard library end in the same form, so that one query finds
both. Never a token, a DSN or SQL: what is logged are names, ids, counts and the messages of our own errors. Of an
unforeseen exception: its text and the places it came through, never the local variables there, which hold keys.
Libraries speak from warning on, whatever our own level: what they tell below it are requests and answers.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from traceplane_sdk import tracing


def add_trace_id(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The trace of a line: of the task or batch query that it names, else of the request that is answered."""
    current, named = tracing.current(), line.get("task_id") or line.get("query_id")
    with contextlib.suppress(ValueError):  # an operator may give a line any field
        if current is not None and not line.get("task_id"):
            line.setdefault("trace_id", current.trace_id)
        elif named:
            line.setdefault("trace_id", tracing.trace_id(named))
    return line


_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    add_trace_id,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def configure(level: str) -> None:
    """Send everything from `level` on (debug, info, warning, error) to standard error."""
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*_SHARED, structlog.processors.format_exc_info, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*_SHARED, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.root.handlers = [handler]
    logging.root.setLevel(max(number, logging.WARNING))
