"""Errors on the wire: `application/problem+json` (RFC 9457) with a stable `code`, for every API.

One mapping from the tree of errors to HTTP. A fault of the server (500) is logged and answered without its text:
the caller learns the code, and the log has the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
import structlog
from starlette.requests import Request
from starlette.responses import Response

from traceplane import errors

CONTENT_TYPE = "application/problem+json"
HIDDEN = "the server failed; its log says why"

_log = structlog.get_logger("trace.http")

STATUSES: Mapping[type[errors.TraceError], int] = {
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Stale: 409,
    errors.TooLarge: 413,
    errors.Refused: 400,
    errors.Overloaded: 429,
    errors.Unavailable: 503,
    errors.GiveUp: 500,
    errors.TraceError: 500,
}
"""The class nearest to an error's own decides."""

STATUS_OF_CODE = {
    "MethodNotAllowed": 405,
    "UnsupportedMediaType": 415,
    "ClientDisconnected": 499,
    "RelationNotFound": 404,
    "RelationNotReady": 409,
    "TaskState": 409,
    "RolloutState": 409,
    "QueryTooLarge": 413,
    "ScanTooLarge": 413,
    "QueryTimeout": 408,
    "QueryFailed": 422,
    "QueryOutOfMemory": 422,
    "QueryCrashed": 422,
    "QueryCanceled": 499,
    "SnapshotGone": 410,
}
"""Codes whose status says more than their class."""

TITLES = {
    400: "Bad request",
    401: "Not authenticated",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    408: "Time limit reached",
    409: "Conflict",
    410: "Gone",
    413: "Too large",
    415: "Unsupported media type",
    422: "The query failed",
    429: "Too many requests",
    499: "Client closed the connection",
    500: "Internal error",
    503: "Unavailable",
}


@dataclass(frozen=True, slots=True)
class Shown:
    """What a caller may know of an error."""

    status: int
    code: str
    detail: str
    extra: Mapping[str, Any] = field(default_factory=dict)


def status_of(error: errors.TraceError) -> int:
    """The HTTP status that says what happens next."""
    if error.code in STATUS_OF_CODE:
        return STATUS_OF_CODE[error.code]
    return next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)


def shown(error: errors.TraceError) -> Shown:
    """What a caller may know; the text of a 500 goes to the log instead."""
    status = status_of(error)
    if status == 500:
        _log.error("request failed", code=error.code, detail=error.message)
        return Shown(status, error.code, HIDDEN)
    # Where in a statement, or of which name in it: refusals of the query service's gate have them.
    extra = {name: value for name in ("position", "name") if (value := getattr(error, name, None)) is not None}
    return Shown(status, error.code, error.message, extra)


def problem(
    status: int, code: str, detail: str, extra: Mapping[str, Any] | None = None, retry_after: int = 1
) -> Response:
    """A problem response. 401 names the scheme (RFC 6750), 429 and 503 say when to come back (seconds)."""
    body = {
        "type": "about:blank",
        "title": TITLES[status],
        "status": status,
        "code": code,
        "detail": detail,
        **(extra or {}),
    }
    headers = None
    if status == 401:
        headers = {"WWW-Authenticate": "Bearer"}
    elif status in (429, 503):
        headers = {"Retry-After": str(retry_after)}
    return Response(orjson.dumps(body), status, headers, CONTENT_TYPE)


def from_error(error: errors.TraceError) -> Response:
    """The response for an error of the tree."""
    seen = shown(error)
    retry_after = error.retry_after if isinstance(error, errors.Overloaded) else 1
    return problem(seen.status, seen.code, seen.detail, seen.extra, retry_after)


def from_defect(request: Request, error: Exception) -> Response:
    """The response for an unforeseen error, whose text may hold anything."""
    _log.error("request failed", method=request.method, path=request.url.path, exc_info=error)
    return problem(500, errors.TraceError.code, HIDDEN)
