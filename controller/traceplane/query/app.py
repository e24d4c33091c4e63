"""The query service: `POST /v1/query` for users, `POST /v1/task/query` for tasks, with health and metrics beside.

Users show an OIDC token and read what their roles allow; tasks show their capability token and read the dataset
versions it lists. From there on both are the same. A request is authenticated, judged by the gate, given a turn,
and run in a thread; this module holds the parts that need the event loop: the turn, the time limit, and noticing
that the client went away. An answer is complete before its first byte is sent, so a query that fails late is an
error and never a broken 200.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import orjson
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive

from traceplane import problems
from traceplane.errors import Forbidden, InvalidSettings, Refused, TraceError
from traceplane.identity import issuers, oidc
from traceplane.identity.principals import Principal, authenticate
from traceplane.identity.published_capability import PublishedCapabilities
from traceplane.identity.rates import RateLimit
from traceplane.kit.ids import uuid7
from traceplane.query import attach, confine, engine, gate, pins, responses
from traceplane.query.admission import Admission
from traceplane.query.audit import Asker
from traceplane.query.bucket import Bucket
from traceplane.query.cache import Cache
from traceplane.query.cell import Limits
from traceplane.query.cells import Cells
from traceplane.query.job import Answer, Cancel, Job
from traceplane.query.requests import Asked, QueryRequest, TaskQueryRequest, decoded
from traceplane.query.resolve import Reader
from traceplane.query.results import Results
from traceplane.query.routes import ROUTES
from traceplane.query.telemetry import Telemetry
from traceplane.settings import Settings

MAX_THREADS = 8
"""Threads of DuckDB in one cell, at most; DuckDB's own default already heeds the container's CPU limit."""


class Service:
    """The parts of one running service."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.telemetry = Telemetry()
        self.rate = RateLimit(settings.query_rate_per_minute)
        self.admission = Admission(settings.query_concurrency, settings.query_queue)
        self.verifier = issuers.verifier(settings)
        self.capabilities = PublishedCapabilities(settings)
        self.databases = attach.Databases(settings)
        self.bucket = Bucket(settings)
        self.cache = Cache(settings.query_cache_dir / "files", settings.query_cache_mb * 1024**2, self.bucket)
        self.cells = Cells(settings.query_cache_dir / "cells", _limits(settings), settings.query_concurrency)
        self.engine = engine.Engine(self.databases, self.cache, self.cells, self.bucket, settings.org_id)
        self.results = Results(self.databases, self.bucket, settings.query_url_seconds)
        self.threads = ThreadPoolExecutor(settings.query_concurrency, thread_name_prefix="query")
        self.lookups = ThreadPoolExecutor(2, thread_name_prefix="lookup")

    async def close(self) -> None:
        """End every part; running queries are killed with their cells."""
        self.cells.close()
        self.cache.close()
        self.threads.shutdown(wait=False, cancel_futures=True)
        self.lookups.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self.databases.close)
        await self.verifier.close()
        await self.capabilities.close()

    async def principal(self, request: Request) -> Principal:
        """The reader who calls. Raises Unauthenticated or Forbidden."""
        return await authenticate(self.verifier, self._lookup, problems.bearer(request), "reader")

    async def _lookup(self, subject: oidc.Subject) -> Principal | None:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self.lookups, self.databases.principal, subject.issuer, subject.subject)
        return Principal(*found) if found else None

    async def query(self, request: Request) -> Response:
        """POST /v1/query."""
        principal = await self.principal(request)
        self.rate.take(principal.user_id)
        asked = await decoded(request, QueryRequest)
        asker = Asker(uuid7(), asked.sql, user=principal.user_id)
        limit = self.settings.query_timeout_seconds
        return await self._answer(request, asked, asker, Reader(roles=principal.roles), limit)

    async def task_query(self, request: Request) -> Response:
        """POST /v1/task/query."""
        claims = await self.capabilities.verify(request.headers.get("x-trace-task-capability"))
        asked = await decoded(request, TaskQueryRequest)
        claims.require([(asked.fence.task_id, asked.fence.attempt)])
        if claims.org_id != str(self.settings.org_id):
            raise Forbidden("the token is another organisation's")
        asker = Asker(uuid7(), asked.sql, task=UUID(asked.fence.task_id), attempt=asked.fence.attempt)
        reader = Reader(versions=frozenset(UUID(dataset.version) for dataset in claims.datasets))
        return await self._answer(request, asked, asker, reader, self.settings.query_task_timeout_seconds)

    async def result(self, request: Request) -> Response:
        """GET /v1/queries/{id}: what is known of an answer the caller got."""
        principal = await self.principal(request)
        self.rate.take(principal.user_id)
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self.lookups, self.results.find, request.path_params["id"], principal)
        return Response(orjson.dumps(found, default=str), media_type="application/json")

    async def _answer(self, request: Request, asked: Asked, asker: Asker, reader: Reader, limit: float) -> Response:
        """Judge, wait for a turn, run, answer; and one audit line whatever happens."""
        started = time.monotonic()
        relations: tuple[gate.RelationName, ...] = ()
        code, answer = "Internal", None
        try:
            seconds = _seconds(asked, limit)
            pin = pins.decode(asked.as_of) if asked.as_of is not None else None
            admitted = gate.judge(asked.sql)
            relations = admitted.relations
            async with self.admission.turn(seconds):
                exporting = asked.overflow == "export"
                job = Job(
                    admitted=admitted,
                    namespace=asked.namespace
                    or request.headers.get("x-trace-namespace")
                    or self.settings.namespace,
                    reader=reader,
                    asker=asker,
                    form=asked.format,
                    seconds=max(0.001, seconds - (time.monotonic() - started)),
                    max_rows=self.settings.query_max_rows,
                    max_bytes=self.settings.query_max_bytes,
                    max_export_bytes=self.settings.query_export_max_mb * 1024**2 if exporting else 0,
                    as_of=pin,
                )
                answer = await self._run(request, job)
            code = "OK"
            return self._response(asker, asked.format, answer, time.monotonic() - started)
        except TraceError as error:
            code = error.code
            raise
        finally:
            self.telemetry.audit(
                asker,
                code=code,
                seconds=time.monotonic() - started,
                relations=[name.text for name in relations],
                rows=answer.rows if answer else 0,
                scanned=answer.bytes_scanned if answer else 0,
            )

    def _response(self, asker: Asker, form: str, answer: Answer, seconds: float) -> Response:
        if answer.output is None:
            return responses.answered(asker.query, form, answer, seconds)
        good_for = self.settings.query_url_seconds
        url = self.bucket.url(answer.output.location, good_for, inside=asker.task is not None)
        output = responses.output_of(answer.output, url, good_for)
        return responses.exported(asker.query, form, answer, seconds, output)

    async def _run(self, request: Request, job: Job) -> Answer:
        """Run in a thread; kill the query when the client goes away or this request is canceled."""
        cancel = Cancel()
        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(self.threads, self.engine.run, job, cancel)
        leaving = asyncio.create_task(_gone(request.receive))
        try:
            waits: list[asyncio.Future[Any]] = [running, leaving]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                cancel()
            return await running
        finally:
            cancel()
            leaving.cancel()
            loop.run_in_executor(self.lookups, self._refill)

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
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self.lookups, self.databases.ping)
        await loop.run_in_executor(self.lookups, self.cells.check)
        return PlainTextResponse("ready\n")

    async def metrics(self, request: Request) -> Response:
        """GET /metrics."""
        self.telemetry.waiting.set(self.admission.waiting)
        self.telemetry.running.set(self.admission.running)
        self.telemetry.cached.set(self.cache.bytes)
        return Response(generate_latest(self.telemetry.registry), media_type=CONTENT_TYPE_LATEST)


def create_app(settings: Settings) -> Starlette:
    """The query service as an ASGI application. Raises InvalidSettings for what it lacks."""
    lacks = confine.missing()
    if lacks and not settings.query_accept_weaker_sandbox:
        raise InvalidSettings(
            f"this kernel offers no {' and no '.join(lacks)}, which keep untrusted SQL in its process: use another "
            "node, or accept it with TRACE_QUERY_ACCEPT_WEAKER_SANDBOX=true"
        )
    service = Service(settings)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await asyncio.to_thread(service.cells.fill)
        try:
            yield
        finally:
            await service.close()

    app = Starlette(
        routes=[Route(row.path, getattr(service, row.call), methods=[row.method]) for row in ROUTES],
        exception_handlers=dict(problems.HANDLERS),
        lifespan=lifespan,
    )
    app.state.service = service
    return app


def _limits(settings: Settings) -> Limits:
    import duckdb

    row = duckdb.connect().execute("SELECT current_setting('threads')").fetchone()
    threads = min(MAX_THREADS, int(row[0]) if row else 1)
    return Limits(
        memory_bytes=settings.query_memory_mb * 1024**2,
        cpu_seconds=int(max(settings.query_timeout_seconds, settings.query_task_timeout_seconds) * threads) + 5,
        threads=threads,
    )


def _seconds(asked: Asked, limit: float) -> float:
    if asked.timeout_seconds is not None and asked.timeout_seconds > limit:
        raise Refused(f"timeout_seconds: at most {limit:g}")
    return asked.timeout_seconds or limit


async def _gone(receive: Receive) -> None:
    """Return when the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        continue
