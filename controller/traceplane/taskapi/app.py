"""The task API as an ASGI application: what workers and tasks call.

The hot calls decode with msgspec and answer with bytes that were mostly encoded before; no models in between.
"""

from __future__ import annotations

from uuid import UUID

import msgspec
import orjson
from prometheus_client import generate_latest
from starlette.applications import Starlette
from starlette.responses import Response

from traceplane.dispatch.dispatcher import Dispatcher
from traceplane.drivers.task_credentials import NO_STS
from traceplane.errors import Refused, Stale, Unavailable
from traceplane.identity.capability import TaskToken
from traceplane.observe import dispatch_metrics as metrics
from traceplane.taskapi.routes import ROUTES
from traceplane.web import authentication
from traceplane.web.authentication import Scheme
from traceplane.web.bodies import Bodies
from traceplane.web.disconnect import client_disconnected
from traceplane.web.routes import Call, Metrics, OnGiveUp, Serving, application
from traceplane_sdk import wire

JSON = "application/json"
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class TaskApi:
    """The calls of the task API, one method for each route."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    async def claim(self, call: Call[None, wire.ClaimRequest]) -> Response:
        """POST /internal/task-claim."""
        body = call.body
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
                disconnected=lambda: client_disconnected(call.request.receive),
            )
        )

    async def heartbeat(self, call: Call[TaskToken, wire.HeartbeatRequest]) -> Response:
        """POST /v1/task/heartbeat."""
        states = await self._dispatcher.leases.heartbeat(call.caller, call.body.leases)
        return _encoded(wire.HeartbeatResponse(states))

    async def events(self, call: Call[TaskToken, wire.EventsRequest]) -> Response:
        """POST /v1/task/events."""
        return _encoded(await self._dispatcher.acceptance.report(call.caller, call.body))

    async def complete(self, call: Call[TaskToken, wire.CompleteRequest]) -> Response:
        """POST /v1/task/complete."""
        states = await self._dispatcher.completions.complete(call.caller, call.body.completions)
        status = 200 if all(state.accepted for state in states) else 409
        if status == 409:
            metrics.REFUSED.labels(Stale.code).inc()
        return _encoded(wire.CompleteResponse(states), status)

    async def credentials(self, call: Call[TaskToken, wire.CredentialsRequest]) -> Response:
        """POST /v1/task/credentials."""
        answer = await self._dispatcher.leases.credentials(call.caller, call.body.fence)
        return Response(msgspec.json.encode(answer), headers={"Cache-Control": "no-store"}, media_type=JSON)

    async def jwks(self, _call: Call[None, None]) -> Response:
        """GET /internal/jwks/task."""
        return _json(orjson.dumps(self._dispatcher.capabilities.jwks()))

    async def healthz(self, _call: Call[None, None]) -> Response:
        """GET /healthz."""
        return Response("ok", media_type="text/plain")

    async def readyz(self, _call: Call[None, None]) -> Response:
        """GET /readyz. The data database may be away: scheduling goes on without it. No STS is for good."""
        await self._dispatcher.state.ping()
        if (refusal := self._dispatcher.credentials.refusal) is not None:
            raise Unavailable(refusal, code=NO_STS)
        return Response("ok", media_type="text/plain")

    async def metrics(self, _call: Call[None, None]) -> Response:
        """GET /metrics."""
        return Response(generate_latest(metrics.REGISTRY), media_type=METRICS_TYPE)


def app(dispatcher: Dispatcher, on_give_up: OnGiveUp) -> Starlette:
    """The application that serves `routes.ROUTES` and nothing else."""

    async def verify(token: str | None) -> TaskToken:
        return dispatcher.capabilities.verify(token)

    api = TaskApi(dispatcher)
    serving = Serving(
        authenticate={
            Scheme.WORKER: authentication.workers(dispatcher.worker_tokens),
            Scheme.TASK: authentication.tasks(verify),
        },
        on_give_up=on_give_up,
        bodies=Bodies(wire.MAX_BODY_BYTES, invalid="InvalidBody", too_large="BodyTooLarge"),
        metrics=Metrics(metrics.REQUESTS, metrics.REFUSED),
    )
    return application(ROUTES, lambda route: getattr(api, route.call), serving)


def _json(body: bytes) -> Response:
    return Response(body, media_type=JSON)


def _encoded(body: msgspec.Struct, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, media_type=JSON)
