"""What answers each route of the query service.

Users show an OIDC token and read what their roles allow; tasks show their capability token and read the dataset
versions that it lists, or those that state has for its claim. From there on both are the same.
"""

from __future__ import annotations

from uuid import UUID

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import PlainTextResponse, Response

from traceplane.errors import Forbidden, Refused, Stale
from traceplane.identity.capability import TaskToken
from traceplane.kit import spans
from traceplane.kit.ids import uuid7
from traceplane.observe import audit
from traceplane.query.admission.fair_queue import NoSlot
from traceplane.query.api import interactive
from traceplane.query.api.batches import Batches
from traceplane.query.api.requests import QueryRequest, TaskQueryRequest, shape_of, wait_of
from traceplane.query.api.service import Service
from traceplane.query.caller import Caller
from traceplane.query.relations.resolve import Reader
from traceplane.web.principals import Principal
from traceplane.web.routes import Call
from traceplane_sdk import tracing
from traceplane_sdk.wire import Fence


class Handlers:
    """The calls of the query service, one method for each route."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._batches = Batches(service)

    async def query(self, call: Call[Principal, QueryRequest]) -> Response:
        """POST /v1/query."""
        body, user, settings = call.body, call.caller, self._service.settings
        caller = Caller(uuid7(), body.sql, user=user.user_id)
        reader = Reader(roles=user.roles, at=body.version)
        async with interactive.received(call.request, body, caller, reader) as query:
            if body.mode == "batch":
                if body.version is not None:
                    raise Refused(f'version: write it into the names of a batch query: "blocks@{body.version}"')
                return await self._batches.submit(query, body)
            try:
                return await interactive.answer(self._service, query, settings.query_timeout_seconds)
            except NoSlot:
                if query.disconnect.done() or not settings.query_batch_queue or body.version is not None:
                    raise
                return await self._batches.submit(query, body)

    async def task_query(self, call: Call[TaskToken, TaskQueryRequest]) -> Response:
        """POST /v1/task/query."""
        token, fence = call.caller, call.body.fence
        token.require([(fence.task_id, fence.attempt)])
        if token.org_id != str(self._service.settings.org_id):
            raise Forbidden("the token is another organisation's")
        reader = await self._reader(token, fence)
        if reader is None:
            audit.stale("query", [(fence.task_id, fence.attempt)])
            raise Stale(f"task {fence.task_id}, attempt {fence.attempt} is not leased with this token")
        shape = shape_of(call.body.shape) if call.body.shape is not None else None
        with tracing.entered(tracing.current() or spans.of_task(fence.task_id, fence.attempt, "run")):
            caller = Caller(
                uuid7(), call.body.sql, task=UUID(fence.task_id), attempt=fence.attempt, job=UUID(token.job)
            )
            async with interactive.received(call.request, call.body, caller, reader, shape) as query:
                limit = self._service.settings.query_task_timeout_seconds
                return await interactive.answer(self._service, query, limit)

    async def _reader(self, token: TaskToken, fence: Fence) -> Reader | None:
        """What a task may read; None unless the token's claim holds its lease."""
        claim, databases, logins = UUID(token.claim_id), self._service.databases, self._service.pools.logins
        inputs = await logins.run(databases.claim_inputs, fence, claim)
        versions: frozenset[UUID] | None = frozenset(UUID(dataset.version) for dataset in token.datasets)
        if token.scope is not None:
            versions = await logins.run(databases.claim_versions, fence, claim)
        if inputs is None or versions is None:
            return None
        filters, assets = inputs
        return Reader(versions=versions, filters=filters, assets=assets)

    async def result(self, call: Call[Principal, None]) -> Response:
        """GET /v1/queries/{id}."""
        request, user = call.request, call.caller
        with audit.user_call(request.method, request.url.path, user.user_id, user.org_id):
            wait = wait_of(request.query_params.get("wait"))
            return await self._batches.find(request.path_params["id"], user, wait)

    async def cancel_query(self, call: Call[Principal, None]) -> Response:
        """DELETE /v1/queries/{id}."""
        request, user = call.request, call.caller
        with audit.user_call(request.method, request.url.path, user.user_id, user.org_id):
            return await self._batches.cancel(request.path_params["id"], user)

    async def healthy(self, _call: Call[None, None]) -> Response:
        """GET /healthz."""
        return PlainTextResponse("ok\n")

    async def ready(self, _call: Call[None, None]) -> Response:
        """GET /readyz."""
        await self._service.pools.probes.run(self._service.databases.ping)
        await self._service.pools.probes.run(self._service.cells.check)
        return PlainTextResponse("ready\n")

    async def metrics(self, _call: Call[None, None]) -> Response:
        """GET /metrics."""
        telemetry = self._service.telemetry
        telemetry.waiting.set(self._service.admission.waiting)
        telemetry.running.set(self._service.admission.running)
        telemetry.cached.set(self._service.cache.bytes)
        return Response(generate_latest(telemetry.registry), media_type=CONTENT_TYPE_LATEST)
