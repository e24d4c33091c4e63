"""The routes of the query service: `POST /v1/query` for users, `POST /v1/task/query` for tasks, and what is beside.

Users show an OIDC token and read what their roles allow; tasks show their capability token and read the dataset
versions it lists, or those that state has for its claim. From there on both are the same. A request is
authenticated and counted, given a turn, judged by the gate within it (which has one process for everybody), and run
in a thread; this module holds the parts that need the event loop: the turn, the time limit, and noticing that the
client went away. An answer is complete before its first byte is sent, so a query that fails late is an error and
never a broken 200. A user's query for which there is no turn is left to be run.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from traceplane.errors import Forbidden, Overloaded, Stale, TraceError
from traceplane.identity import issuers, oidc
from traceplane.identity.capability import TaskToken
from traceplane.identity.published_capability import PublishedCapabilities
from traceplane.kit.ids import uuid7
from traceplane.observe import audit
from traceplane.query.admission.fair_queue import NoSlot
from traceplane.query.admission.pools import Pools
from traceplane.query.admission.slots import Admission
from traceplane.query.api import responses
from traceplane.query.api.disconnect import Disconnect, watched, within
from traceplane.query.api.requests import Asked, QueryRequest, TaskQueryRequest, decoded, namespace_of
from traceplane.query.api.results import Results
from traceplane.query.attach import databases
from traceplane.query.attach.audit import Caller
from traceplane.query.batch.intake import Intake
from traceplane.query.batch.runner import Runner
from traceplane.query.broker import engine
from traceplane.query.broker.cells import Cells
from traceplane.query.broker.limits import cell_limits, seconds_of, wait_of
from traceplane.query.broker.query import Answer, Cancel, Job, out_of_time
from traceplane.query.broker.telemetry import Telemetry
from traceplane.query.files.bucket import Bucket
from traceplane.query.files.cache import Cache
from traceplane.query.gate import allowlist
from traceplane.query.gate.supervisor import GateSupervisor
from traceplane.query.relations import pins
from traceplane.query.relations.resolve import Reader
from traceplane.settings import QuerySettings
from traceplane.web import problems
from traceplane.web.principals import Principal, authenticate
from traceplane.web.rates import RateLimit
from traceplane_sdk.wire import Fence


class Service:
    """The parts of one running service."""

    def __init__(self, settings: QuerySettings) -> None:
        self.settings = settings
        self.telemetry = Telemetry()
        self.rate = RateLimit(settings.query_rate_per_minute)
        self.task_rate = RateLimit(settings.query_task_rate_per_minute)
        self.admission = Admission(settings.query_concurrency, settings.query_queue)
        self.verifier = issuers.verifier(settings)
        self.capabilities = PublishedCapabilities(settings)
        self.databases = databases.Databases(settings)
        self.bucket = Bucket(settings)
        self.cache = Cache(settings.query_cache_dir / "files", settings.query_cache_mb * 1024**2, self.bucket)
        self.supervisor = GateSupervisor()
        self.cells = Cells(settings.query_cache_dir / "cells", cell_limits(settings), settings.query_concurrency)
        self.engine = engine.Engine(self.databases, self.cache, self.cells, self.bucket, settings.org_id)
        results = Results(self.databases, self.bucket, settings.query_url_seconds)
        self.intake = Intake(settings, self.databases, self.supervisor, results)
        self.runner = Runner(settings, self.databases, self.supervisor, self.engine, self.telemetry, self._refill)
        self.threads = ThreadPoolExecutor(settings.query_concurrency, thread_name_prefix="query")
        self.pools = Pools()

    async def close(self) -> None:
        """End every part; running queries are killed with their cells."""
        self.runner.close()
        self.cells.close()
        self.supervisor.close()
        self.cache.close()
        self.threads.shutdown(wait=False, cancel_futures=True)
        self.pools.close()
        await asyncio.to_thread(self.databases.close)
        await self.verifier.close()
        await self.capabilities.close()

    async def principal(self, request: Request) -> Principal:
        """The reader who calls. Raises Unauthenticated, Forbidden or RateLimited."""
        return await authenticate(self.verifier, self.rate, self._lookup, problems.bearer(request), "reader")

    async def _lookup(self, subject: oidc.Subject) -> Principal | None:
        found = await self.pools.logins.ask(self.databases.principal, subject.issuer, subject.subject)
        return Principal(*found) if found else None

    async def query(self, request: Request) -> Response:
        """POST /v1/query."""
        principal = await self.principal(request)
        asked = await decoded(request, QueryRequest)
        caller = Caller(uuid7(), asked.sql, user=principal.user_id)
        reader = Reader(roles=principal.roles)
        async with watched(request.receive) as gone:
            if asked.mode == "batch":
                return await self._left(request, gone, asked, caller, reader)
            try:
                return await self._answer(request, gone, asked, caller, reader, self.settings.query_timeout_seconds)
            except NoSlot:
                if gone.done() or not self.settings.query_batch_queue:
                    raise
                return await self._left(request, gone, asked, caller, reader)

    async def task_query(self, request: Request) -> Response:
        """POST /v1/task/query."""
        claims = await self.capabilities.verify(request.headers.get("x-trace-task-capability"))
        self.task_rate.take(claims.job, who=f"job {claims.job}")
        asked = await decoded(request, TaskQueryRequest)
        fence = asked.fence
        claims.require([(fence.task_id, fence.attempt)])
        if claims.org_id != str(self.settings.org_id):
            raise Forbidden("the token is another organisation's")
        versions = await self._versions(claims, fence)
        if versions is None:
            audit.stale("query", [(fence.task_id, fence.attempt)])
            raise Stale(f"task {fence.task_id}, attempt {fence.attempt} is not leased with this token")
        caller = Caller(uuid7(), asked.sql, task=UUID(fence.task_id), attempt=fence.attempt, job=UUID(claims.job))
        reader = Reader(versions=versions)
        async with watched(request.receive) as gone:
            return await self._answer(
                request, gone, asked, caller, reader, self.settings.query_task_timeout_seconds
            )

    async def _versions(self, claims: TaskToken, fence: Fence) -> frozenset[UUID] | None:
        """What a task may read; None unless the token's claim holds its lease."""
        claim = UUID(claims.claim_id)
        if claims.scope is not None:
            return await self.pools.logins.ask(self.databases.claim_versions, fence, claim)
        held = await self.pools.logins.ask(self.databases.holds_lease, fence, claim)
        return frozenset(UUID(dataset.version) for dataset in claims.datasets) if held else None

    async def result(self, request: Request) -> Response:
        """GET /v1/queries/{id}: what is known of a query of the caller's, after `?wait=` seconds if it must be."""
        principal = await self.principal(request)
        with audit.user_call(request.method, request.url.path, principal.user_id, principal.org_id):
            seconds = wait_of(request.query_params.get("wait"))
            query = request.path_params["id"]
            with self.runner.told.about(query) as ended:  # before the first look: nothing is missed between the two
                found = await self.pools.results.ask(self.intake.known, query, principal)
                if found.status_code != 202 or not seconds or ended is None:
                    return found
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await ended.wait()
            try:
                return await self.pools.results.ask(self.intake.known, query, principal)
            except Overloaded:  # many who waited were told at once
                return found

    async def cancel_query(self, request: Request) -> Response:
        """DELETE /v1/queries/{id}."""
        principal = await self.principal(request)
        with audit.user_call(request.method, request.url.path, principal.user_id, principal.org_id):
            row = await self.pools.results.ask(self.intake.cancel, request.path_params["id"], principal)
            return responses.left(row)

    async def _left(
        self, request: Request, gone: Disconnect, asked: QueryRequest, caller: Caller, reader: Reader
    ) -> Response:
        """Leave a query to be run; one audit line whatever happens."""
        started, code = time.monotonic(), "Internal"
        try:
            namespace = self._namespace(request, asked)
            admitted = await self.intake.judged(asked, caller, gone)
            accepted = await self.pools.results.ask(self.intake.leave, asked, admitted, caller, reader, namespace)
            code = "Accepted"
            return accepted
        except TraceError as error:
            code = error.code
            raise
        finally:
            self.telemetry.audit(caller, code=code, seconds=time.monotonic() - started)

    def _namespace(self, request: Request, asked: Asked) -> str:
        return namespace_of(request, asked) or self.settings.namespace

    async def _answer(
        self, request: Request, gone: Disconnect, asked: Asked, caller: Caller, reader: Reader, limit: float
    ) -> Response:
        """Wait for a turn, judge, run, answer, all within one limit; and one audit line whatever happens."""
        started = time.monotonic()
        relations: tuple[allowlist.RelationName, ...] = ()
        code, answer = "Internal", None
        try:
            seconds = seconds_of(asked, limit)
            pin = pins.decode(asked.as_of) if asked.as_of is not None else None
            namespace = self._namespace(request, asked)
            async with self.admission.turn(caller.holder, seconds, gone):
                admitted = await self._judged(asked.sql, gone, started, seconds)
                relations = admitted.relations
                exporting = asked.overflow == "export"
                waited = time.monotonic() - started
                job = Job(
                    admitted=admitted,
                    namespace=namespace,
                    reader=reader,
                    caller=caller,
                    form=asked.format,
                    seconds=max(0.001, seconds - waited),
                    waited=waited,
                    max_rows=self.settings.query_max_rows,
                    max_bytes=self.settings.query_max_bytes,
                    max_export_bytes=self.settings.query_export_max_mb * 1024**2 if exporting else 0,
                    as_of=pin,
                )
                answer = await self._run(job, gone)
            code = "OK"
            return self._response(caller, asked.format, answer, time.monotonic() - started)
        except TraceError as error:
            code = error.code
            raise
        finally:
            self.telemetry.audit(
                caller,
                code=code,
                seconds=time.monotonic() - started,
                relations=[name.text for name in relations],
                rows=answer.rows if answer else 0,
                scanned=answer.bytes_scanned if answer else 0,
            )

    async def _judged(self, sql: str, gone: Disconnect, started: float, limit: float) -> allowlist.Admitted:
        """What the gate says of a statement, in what is left of its time."""
        try:
            async with within(started + limit - time.monotonic(), gone):
                return await self.supervisor.soon(sql)
        except TimeoutError:
            raise out_of_time(limit) from None

    def _response(self, caller: Caller, form: str, answer: Answer, seconds: float) -> Response:
        if answer.output is None:
            return responses.answered(caller.query, form, answer, seconds)
        good_for = self.settings.query_url_seconds
        url = self.bucket.url(answer.output.location, good_for, inside=caller.task is not None)
        output = responses.output_of(answer.output, url, good_for)
        return responses.exported(caller.query, form, answer, seconds, output)

    async def _run(self, job: Job, gone: Disconnect) -> Answer:
        """Run in a thread; kill the query when the client goes away or this request is canceled."""
        cancel = Cancel()
        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(self.threads, self.engine.run, job, cancel)
        try:
            waits: list[asyncio.Future[Any]] = [running, gone]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                cancel()
            return await running
        finally:
            cancel()
            self.pools.probes.soon(self._refill)

    def _refill(self) -> None:
        try:
            self.cells.fill()
        except TraceError as error:
            problems.from_error(error)

    async def healthy(self, request: Request) -> Response:
        """GET /healthz."""
        return PlainTextResponse("ok\n")

    async def ready(self, request: Request) -> Response:
        """GET /readyz: state answers and processes for queries can be started."""
        await self.pools.probes.ask(self.databases.ping)
        await self.pools.probes.ask(self.cells.check)
        return PlainTextResponse("ready\n")

    async def metrics(self, request: Request) -> Response:
        """GET /metrics."""
        self.telemetry.waiting.set(self.admission.waiting)
        self.telemetry.running.set(self.admission.running)
        self.telemetry.cached.set(self.cache.bytes)
        return Response(generate_latest(self.telemetry.registry), media_type=CONTENT_TYPE_LATEST)
