"""What one query may take: its time as requested, and the budget of its process."""

from __future__ import annotations

import math

from traceplane.errors import Refused
from traceplane.query.wire import Limits
from traceplane.settings import QuerySettings

MAX_THREADS = 8
"""Threads of DuckDB in one cell, at most; DuckDB's own default already heeds the container's CPU limit."""


def cell_limits(settings: QuerySettings) -> Limits:
    """The budget of a ready cell, which is made before it is known what it will run."""
    longest = max(settings.query_timeout_seconds, settings.query_task_timeout_seconds)
    return _limits(settings.query_memory_mb, longest)


def batch_limits(settings: QuerySettings) -> Limits:
    """The budget of a cell that is made for a batch query."""
    return _limits(settings.query_batch_memory_mb, settings.query_batch_timeout_seconds)


def _limits(memory_mb: int, seconds: float) -> Limits:
    import duckdb

    row = duckdb.connect().execute("SELECT current_setting('threads')").fetchone()
    threads = min(MAX_THREADS, int(row[0]) if row else 1)
    return Limits(memory_bytes=memory_mb * 1024**2, cpu_seconds=int(seconds * threads) + 5, threads=threads)


def seconds_of(requested: float | None, limit: float) -> float:
    """The time limit of a query whose request names one, or none. Raises Refused for more than `limit`."""
    if requested is not None and requested > limit:
        raise Refused(f"timeout_seconds: at most {limit:g}")
    return requested or limit


def pause_of(settings: QuerySettings) -> int:
    """Seconds between two polls of a query: a client that heeds it stays within its rate limit."""
    return math.ceil(60 / settings.query_rate_per_minute)
