"""What one query may take: its time as asked for, and the budget of its process."""

from __future__ import annotations

import math

from traceplane.errors import Refused
from traceplane.query.api.requests import Asked
from traceplane.query.cell.child import Limits
from traceplane.settings import QuerySettings

MAX_THREADS = 8
"""Threads of DuckDB in one cell, at most; DuckDB's own default already heeds the container's CPU limit."""

MAX_WAIT_SECONDS = 20.0
"""Of a request that waits for a query's end; shorter than what proxies commonly allow."""


def cell_limits(settings: QuerySettings) -> Limits:
    """The budget of a cell that waits: it is made before it is known what it will run."""
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


def seconds_of(asked: Asked, limit: float) -> float:
    """The time limit of a query. Raises Refused for more than `limit`."""
    if asked.timeout_seconds is not None and asked.timeout_seconds > limit:
        raise Refused(f"timeout_seconds: at most {limit:g}")
    return asked.timeout_seconds or limit


def wait_of(text: str | None) -> float:
    """Seconds that `?wait=` asks for. Raises Refused."""
    if text is None:
        return 0.0
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= MAX_WAIT_SECONDS:
        raise Refused(f"wait: seconds, from 0 to {MAX_WAIT_SECONDS:g}")
    return seconds


def pause_of(settings: QuerySettings) -> int:
    """Seconds between two looks at a query. Who looks as often as told stays within the limit of requests."""
    return math.ceil(60 / settings.query_rate_per_minute)
