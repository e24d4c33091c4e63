"""Errors of the APIs that users reach, as `application/problem+json` (RFC 9457): a stable `code`, nothing secret.

One mapping from the tree of errors to HTTP, so that every route answers alike. An error we did not foresee is
logged with its trace and answered as 500 without any of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from traceplane import errors
from traceplane.observe import audit
from traceplane.web.rates import RateLimited

_log = structlog.get_logger("trace.http")

_STATUS: tuple[tuple[type[errors.TraceError], int], ...] = (
    (errors.Unauthenticated, 401),
    (errors.Forbidden, 403),
    (errors.NotFound, 404),
    (errors.Stale, 409),
    (errors.TooLarge, 413),
    (errors.Refused, 400),
    (errors.Overloaded, 429),
    (errors.Unavailable, 503),
)

_STATUS_OF_CODE = {
    "RelationNotFound": 404,
    "RelationNotReady": 409,
    "TaskState": 409,
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

_DENIALS = (errors.Unauthenticated, errors.Forbidden, RateLimited)
"""What is said for who asks, or for how often."""

_TITLES = {
    400: "Bad request",
    401: "Not authenticated",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    408: "Time limit reached",
    409: "Conflict",
    410: "Gone",
    413: "Too large",
    422: "The query failed",
    429: "Too many requests",
    499: "Client closed the connection",
    500: "Internal error",
    503: "Unavailable",
}


def problem(
    status: int, code: str, detail: str, extra: Mapping[str, Any] | None = None, retry_after: int | None = None
) -> Response:
    """A problem response. 401 names the scheme (RFC 6750), 429 and 503 say when to come back (seconds)."""
    body = {
        "type": "about:blank",
        "title": _TITLES.get(status, "Error"),
        "status": status,
        "code": code,
        "detail": detail,
        **(extra or {}),
    }
    headers = {
        401: {"WWW-Authenticate": "Bearer"},
        429: {"Retry-After": str(retry_after or 1)},
        503: {"Retry-After": "2"},
    }
    return Response(orjson.dumps(body), status, headers.get(status), "application/problem+json")


def status_of(error: errors.TraceError) -> int:
    """The HTTP status that says what happens next."""
    if error.code in _STATUS_OF_CODE:
        return _STATUS_OF_CODE[error.code]
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def from_error(error: errors.TraceError) -> Response:
    """The response for an error of ours; what is our own fault keeps its text to the log."""
    status = status_of(error)
    if status >= 500 and not isinstance(error, errors.Unavailable):
        _log.error("request failed", code=error.code, detail=error.message)
        return problem(status, error.code, "the server failed; its log says why")
    extra = {name: value for name in ("position", "name") if (value := getattr(error, name, None)) is not None}
    return problem(status, error.code, error.message, extra, getattr(error, "retry_after", None))


async def on_trace_error(request: Request, error: Exception) -> Response:
    """Starlette's handler for our errors."""
    assert isinstance(error, errors.TraceError)
    if isinstance(error, _DENIALS):
        audit.denied(code=error.code, method=request.method, path=request.url.path, who=error.who)
    return from_error(error)


async def on_http_error(request: Request, error: Exception) -> Response:
    """Starlette's handler for its own: unknown routes and methods."""
    assert isinstance(error, HTTPException)
    codes = {404: "NotFound", 405: "MethodNotAllowed"}
    details = {404: f"there is no {request.url.path}", 405: f"{request.method} is not for {request.url.path}"}
    code, detail = (
        codes.get(error.status_code, "BadRequest"),
        details.get(error.status_code, "the request is wrong"),
    )
    answer = problem(error.status_code, code, detail)
    answer.headers.update(error.headers or {})  # 405 says what is allowed (RFC 9110, 15.5.6)
    return answer


async def on_defect(request: Request, error: Exception) -> Response:
    """The handler of last resort."""
    _log.error("request failed", path=request.url.path, exc_info=error)
    return problem(500, "Internal", "the server failed; its log says why")


HANDLERS: Mapping[Any, Any] = {
    errors.TraceError: on_trace_error,
    HTTPException: on_http_error,
    Exception: on_defect,
}
"""For `Starlette(exception_handlers=...)`."""


def bearer(request: Request) -> str:
    """The token of `Authorization: Bearer`. Raises Unauthenticated."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise errors.Unauthenticated("send a token as `Authorization: Bearer ...`")
    return token.strip()
