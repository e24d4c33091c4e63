"""The task API as an ASGI application.

Identity first, then the body, then the call: nobody unknown makes us read anything. The hot calls decode with
msgspec and answer with bytes that were mostly encoded before; no models in between.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from uuid import UUID

import msgspec
import orjson
from prometheus_client import generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as StarletteRoute

from traceplane.dispatch.dispatcher import Dispatcher
from traceplane.errors import Forbidden, NotFound, Refused, Stale, TraceError, Unauthenticated
from traceplane.identity.capability import TaskToken
from traceplane.observe import audit
from traceplane.observe import dispatch_metrics as metrics
from traceplane.taskapi import bodies
from traceplane.taskapi.problems import MethodNotAllowed, internal, problem
from traceplane.taskapi.routes import ROUTES, Principal, Route
from traceplane_sdk import wire

JSON = "application/json"
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Body = TypeVar("Body")
Call = Callable[[Request], Awaitable[Response]]


class TaskApi:
    """The calls of the task API, one method for each route."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._decoders: dict[type, msgspec.json.Decoder[Any]] = {
            route.request: msgspec.json.Decoder(route.request) for route in ROUTES if route.request is not None
        }

    async def claim(self, request: Request) -> Response:
        """POST /internal/task-claim."""
        self._dispatcher.worker_tokens.check(request.headers.get(Principal.WORKER.value))
        body = await self._body(request, wire.ClaimRequest)
        if (body.job is None) == (body.task_id is None):
            raise Refused("body: give either job or task_id", code="InvalidBody")
        claims = self._dispatcher.claims
        if body.task_id is not None:
            return _json(await claims.claim_task(task_id=UUID(body.task_id), worker_id=body.worker_id))
        assert body.job is not None
        return _json(
            await claims.claim(
                job_id=UUID(body.job),
                worker_id=body.worker_id,
                max_tasks=body.max_tasks,
                wait_seconds=body.wait_seconds,
                disconnected=lambda: _departed(request),
            )
        )

    async def heartbeat(self, request: Request) -> Response:
        """POST /v1/task/heartbeat."""
        token = self._token(request)
        body = await self._body(request, wire.HeartbeatRequest)
        return _encoded(wire.HeartbeatResponse(await self._dispatcher.leases.heartbeat(token, body.leases)))

    async def events(self, request: Request) -> Response:
        """POST /v1/task/events."""
        token = self._token(request)
        body = await self._body(request, wire.EventsRequest)
        return _encoded(wire.EventsResponse(await self._dispatcher.acceptance.report(token, body)))

    async def complete(self, request: Request) -> Response:
        """POST /v1/task/complete."""
        token = self._token(request)
        body = await self._body(request, wire.CompleteRequest)
        states = await self._dispatcher.completions.complete(token, body.completions)
        status = 200 if all(state.accepted for state in states) else 409
        if status == 409:
            metrics.REFUSED.labels(Stale.code).inc()
        return _encoded(wire.CompleteResponse(states), status)

    async def credentials(self, request: Request) -> Response:
        """POST /v1/task/credentials."""
        token = self._token(request)
        body = await self._body(request, wire.CredentialsRequest)
        given = await self._dispatcher.leases.credentials(token, body.fence)
        settings = self._dispatcher.settings
        answer = wire.CredentialsResponse(
            access_key_id=given.access_key_id,
            secret_access_key=given.secret_access_key,
            session_token=given.session_token,
            expires_at=given.expires_at,
            endpoint_url=settings.s3_endpoint_url,
            region=settings.s3_region,
        )
        return Response(msgspec.json.encode(answer), headers={"Cache-Control": "no-store"}, media_type=JSON)

    async def jwks(self, _request: Request) -> Response:
        """GET /internal/jwks/task."""
        return _json(orjson.dumps(self._dispatcher.capabilities.jwks()))

    async def healthz(self, _request: Request) -> Response:
        """GET /healthz."""
        return Response("ok", media_type="text/plain")

    async def readyz(self, _request: Request) -> Response:
        """GET /readyz. The data database may be away: scheduling goes on without it."""
        await self._dispatcher.state.ping()
        return Response("ok", media_type="text/plain")

    async def metrics(self, _request: Request) -> Response:
        """GET /metrics."""
        return Response(generate_latest(metrics.REGISTRY), media_type=METRICS_TYPE)

    def _token(self, request: Request) -> TaskToken:
        return self._dispatcher.capabilities.verify(request.headers.get(Principal.TASK.value))

    async def _body(self, request: Request, kind: type[Body]) -> Body:
        return await bodies.read(request, self._decoders[kind])


def app(dispatcher: Dispatcher) -> Starlette:
    """The application that serves `routes.ROUTES` and nothing else."""
    api = TaskApi(dispatcher)
    routes = [
        StarletteRoute(route.path, _endpoint(route, getattr(api, route.call)), methods=[route.method])
        for route in ROUTES
    ]
    made = Starlette(routes=routes, exception_handlers={HTTPException: _http_error})
    made.router.redirect_slashes = False  # a path is in the table or it is not
    return made


def _endpoint(route: Route, call: Call) -> Call:
    """`call` with its errors as problems and its time measured."""
    seconds = metrics.REQUESTS.labels(route.call)

    async def endpoint(request: Request) -> Response:
        started = time.perf_counter()
        try:
            return await call(request)
        except TraceError as error:
            if isinstance(error, Unauthenticated | Forbidden):
                audit.denied(code=error.code, method=request.method, path=request.url.path, who=error.who)
            return problem(error)
        except Exception as error:  # the outermost boundary of a request: logged, answered as Internal
            return internal(error)
        finally:
            seconds.observe(time.perf_counter() - started)

    return endpoint


async def _http_error(_request: Request, error: Exception) -> Response:
    """The router's own refusals."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        return problem(MethodNotAllowed("this path does not know the method"))
    return problem(NotFound("no such route"))


async def _departed(request: Request) -> None:
    """Return when the client has left."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _json(body: bytes) -> Response:
    return Response(body, media_type=JSON)


def _encoded(body: msgspec.Struct, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, media_type=JSON)
