"""Errors on the wire: `application/problem+json` (RFC 9457) with a stable `code`.

The class of an error decides the HTTP status; the mapping is complete, so that nothing reaches a caller as an
accident. What is not one of ours is a mistake of ours: the caller learns `Internal` and nothing else, and the log
has the rest.
"""

from __future__ import annotations

import orjson
import structlog
from starlette.responses import Response

from traceplane.errors import (
    Forbidden,
    NotFound,
    Overloaded,
    Refused,
    Stale,
    TooLarge,
    TraceError,
    Unauthenticated,
    Unavailable,
)
from traceplane.observe import dispatch_metrics as metrics

CONTENT_TYPE = "application/problem+json"

STATUSES: tuple[tuple[type[TraceError], int, str], ...] = (
    (Unauthenticated, 401, "Unauthenticated"),
    (Forbidden, 403, "Forbidden"),
    (NotFound, 404, "Not found"),
    (Stale, 409, "Stale lease"),
    (TooLarge, 413, "Too large"),
    (Overloaded, 429, "Overloaded"),
    (Unavailable, 503, "Unavailable"),
    (Refused, 400, "Bad request"),
    (TraceError, 500, "Internal error"),
)
"""The first class that fits gives status and title; subclasses stand before their base."""

RETRY_AFTER = {429: "1", 503: "1"}

log = structlog.get_logger()


class MethodNotAllowed(Refused):
    """The path exists, the method does not."""

    code = "MethodNotAllowed"


class UnsupportedMediaType(Refused):
    """A body that is not JSON."""

    code = "UnsupportedMediaType"


_SPECIAL: dict[type[TraceError], tuple[int, str]] = {
    MethodNotAllowed: (405, "Method not allowed"),
    UnsupportedMediaType: (415, "Unsupported media type"),
}


def problem(error: TraceError) -> Response:
    """The answer for an error of ours."""
    status, title = _SPECIAL.get(type(error)) or next(
        (status, title) for kind, status, title in STATUSES if isinstance(error, kind)
    )
    metrics.REFUSED.labels(error.code).inc()
    body = {"type": "about:blank", "title": title, "status": status, "code": error.code, "detail": error.message}
    headers = {"Retry-After": RETRY_AFTER[status]} if status in RETRY_AFTER else None
    return Response(orjson.dumps(body), status, headers, CONTENT_TYPE)


def internal(error: Exception) -> Response:
    """The answer for an error that nobody foresaw."""
    log.exception("unexpected error in the task API", exc_info=error)
    return problem(TraceError("an unexpected error; the dispatcher's log tells more"))
