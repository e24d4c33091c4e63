"""The security audit log: calls of users, callers that were refused, and lost leases.

One line each, and a count of refusals: an alert starts from the count, its explanation from the line. A line names
a subject only where its token was verified, and a task by its id; never a token, a body or SQL.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

import structlog

from traceplane.errors import TraceError
from traceplane.observe import dispatch_metrics as metrics

_log = structlog.get_logger("trace.audit")

_NAMED = 100
"""Attempts in one line; a call may have more."""
_MAX_PATH = 200


@contextmanager
def user_call(method: str, path: str, user: UUID, org: UUID) -> Iterator[None]:
    """A call of an authenticated user; `code` in its line is `OK` or that of the error it ended with."""
    started, code = time.monotonic(), "Internal"
    try:
        yield
        code = "OK"
    except TraceError as error:
        code = error.code
        raise
    finally:
        _log.info(
            "user call",
            method=method,
            path=path[:_MAX_PATH],
            user_id=str(user),
            org_id=str(org),
            code=code,
            duration_ms=round((time.monotonic() - started) * 1000, 1),
        )


def denied(*, code: str, method: str, path: str, who: str | None = None) -> None:
    """A call refused for its caller or its rate; `who` is `issuer|subject`."""
    metrics.DENIED.labels(code).inc()
    _log.warning("denied", code=code, method=method, path=path[:_MAX_PATH], who=who)


def stale(call: str, attempts: Sequence[tuple[str, int]]) -> None:
    """Attempts (task, attempt) that do not hold their lease any more."""
    metrics.STALE.labels(call).inc(len(attempts))
    named = [f"{task}/{attempt}" for task, attempt in attempts[:_NAMED]]
    _log.info("stale fence", call=call, attempts=named, count=len(attempts))
