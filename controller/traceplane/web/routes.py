"""One kind of route table for every API, and the application that serves exactly such a table.

A table is data: the application, the OpenAPI document and the tests read the same rows, so that they cannot part. A
request is handled in one order: identity, body, call. Of a request without proof nothing is read, and no handler
can forget to require one.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from prometheus_client import Counter, Histogram
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as StarletteRoute
from starlette.types import Lifespan

from traceplane.errors import GiveUp, NotFound, Refused, TraceError
from traceplane.kit import spans
from traceplane.kit.spans import Span
from traceplane.web import problems
from traceplane.web.authentication import Authenticate, Scheme, record_denial
from traceplane.web.bodies import Bodies
from traceplane_sdk import tracing

Caller = TypeVar("Caller")
Body = TypeVar("Body")


@dataclass(frozen=True, slots=True)
class Route:
    """A row of a table.

    `call` names the handler and is the operation's id in the OpenAPI document. `request` is the type of the body;
    `response` that of a 200, None for plain text. `also` has the types of answers with other statuses, None for one
    without a body. `statuses` are the problems that the call itself answers, besides those of its scheme.
    """

    method: str
    path: str
    call: str
    scheme: Scheme
    summary: str
    request: type | None = None
    response: Any = None
    also: Mapping[int, Any] = field(default_factory=dict)
    statuses: tuple[int, ...] = ()
    query: tuple[str, ...] = ()
    """Parameters after `?`."""
    role: str = "reader"
    """What a user must hold; other schemes have no roles."""
    media_types: tuple[str, ...] = ()
    """Of a 200 besides `application/json`."""


@dataclass(slots=True)
class Call(Generic[Caller, Body]):
    """A request whose caller is authenticated and whose body is read: None where the route has no scheme, or no
    body."""

    request: Request
    caller: Caller
    body: Body


Handler = Callable[[Any], Awaitable[Response]]
"""Answers a `Call`."""

OnGiveUp = Callable[[GiveUp], None]
"""Called when a request met an error after which the process must not go on: it ends the process."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """What is measured of an API: seconds of each call, and refusals by code."""

    seconds: Histogram
    refused: Counter


@dataclass(frozen=True, slots=True)
class Serving:
    """What the routes of one API share."""

    authenticate: Mapping[Scheme, Authenticate]
    on_give_up: OnGiveUp
    bodies: Bodies | None = None
    metrics: Metrics | None = None

    def refusal(self, error: TraceError) -> Response:
        """The answer for an error of the tree."""
        if self.metrics is not None:
            self.metrics.refused.labels(error.code).inc()
        if isinstance(error, GiveUp):
            self.on_give_up(error)
        return problems.from_error(error)


def application(
    routes: Sequence[Route],
    handler_of: Callable[[Route], Handler],
    serving: Serving,
    lifespan: Lifespan[Starlette] | None = None,
) -> Starlette:
    """The application that serves `routes` and nothing else: any other path is 404, any other method 405."""

    async def unrouted(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code != 405:
            return serving.refusal(NotFound(f"there is no {request.url.path}"))
        answer = serving.refusal(
            Refused(f"{request.method} is not for {request.url.path}", code="MethodNotAllowed")
        )
        answer.headers.update(error.headers or {})  # 405 says what is allowed (RFC 9110, 15.5.6)
        return answer

    made = Starlette(
        routes=[
            StarletteRoute(route.path, _endpoint(route, handler_of(route), serving), methods=[route.method])
            for route in routes
        ],
        exception_handlers={HTTPException: unrouted},
        lifespan=lifespan,
    )
    made.router.redirect_slashes = False  # a path is in the table or it is not
    return made


@contextmanager
def _in_trace(route: Route, request: Request) -> Iterator[Span | None]:
    """A span around the rest of a request whose caller is known: in the trace that the caller names. A user who
    names none begins one; a task that names none calls too often."""
    given = None
    if route.scheme in (Scheme.USER, Scheme.TASK):
        given = tracing.parse(request.headers.get(tracing.TRACEPARENT))
    if given is None and route.scheme is not Scheme.USER:
        yield None
        return
    with (
        spans.spanned(f"{route.method} {route.path}", given, kind=spans.SERVER) as span,
        tracing.entered(span.context),
    ):
        span.attributes |= {"http.request.method": route.method, "http.route": route.path}
        yield span


def _endpoint(route: Route, handler: Handler, serving: Serving) -> Callable[[Request], Awaitable[Response]]:
    """A route as Starlette calls it, with its errors as problems and its time measured."""
    # Looked up here, so that an API without what its routes need fails at start and not at a request.
    authenticate = None if route.scheme is Scheme.NONE else serving.authenticate[route.scheme]
    read = None
    if route.request is not None:
        assert serving.bodies is not None, f"{route.path} has a body"
        read = serving.bodies.reader(route.request)
    seconds = None if serving.metrics is None else serving.metrics.seconds.labels(route.call)

    async def endpoint(request: Request) -> Response:
        started = time.perf_counter()
        try:
            caller = None if authenticate is None else await authenticate(request, route.role)
            with _in_trace(route, request) as span:
                body = None if read is None else await read(request)
                answer = await handler(Call(request, caller, body))
                if span is not None:
                    span.attributes["http.response.status_code"] = answer.status_code
                return answer
        except TraceError as error:
            record_denial(request, error)
            return serving.refusal(error)
        except Exception as error:  # the outermost boundary of a request: logged, answered without its text
            if serving.metrics is not None:
                serving.metrics.refused.labels(TraceError.code).inc()
            return problems.from_defect(request, error)
        finally:
            if seconds is not None:
                seconds.observe(time.perf_counter() - started)

    return endpoint
