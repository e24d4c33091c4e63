"""`POST /v1/query`: the service's one question, with health and metrics beside it.

A request is authenticated, judged by the gate, given a turn, and run in a thread; this module holds the parts
that need the event loop: the turn, the time limit, and noticing that the client went away. An answer is complete
before its first byte is sent, so a query that fails late is an error and never a broken 200.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Annotated, Any

import msgspec
import orjson
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive

from traceplane import problems
from traceplane.errors import Refused, TooLarge, TraceError
from traceplane.identity import issuers, oidc
from traceplane.identity.principals import Principal, authenticate
from traceplane.identity.rates import RateLimit
from traceplane.query import attach, engine, gate
from traceplane.query.admission import Admission
from traceplane.query.cache import Cache
from traceplane.query.cell import Limits
from traceplane.query.cells import Cells
from traceplane.query.telemetry import Telemetry
from traceplane.settings import Settings

MAX_BODY_BYTES = 256 * 1024
MEDIA_TYPES = {
    "csv": "text/csv",
    "arrow": "application/vnd.apache.arrow.stream",
    "parquet": "application/vnd.apache.parquet",
}
MAX_THREADS = 8
"""Threads of DuckDB in one cell, at most; DuckDB's own default already heeds the container's CPU limit."""


class QueryRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body. Without `namespace` the header `X-Trace-Namespace` or the service's own namespace counts."""

    sql: str
    format: Annotated[str, msgspec.Meta(pattern=f"^({'|'.join(engine.FORMATS)})$")] = "json"
    mode: Annotated[str, msgspec.Meta(pattern="^interactive$")] = "interactive"
    timeout_seconds: Annotated[float, msgspec.Meta(gt=0)] | None = None
    namespace: Annotated[str, msgspec.Meta(pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)] | None = None


class Service:
    """The parts of one running service."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.telemetry = Telemetry()
        self.rate = RateLimit(settings.query_rate_per_minute)
        self.admission = Admission(settings.query_concurrency, settings.query_queue)
        self.verifier = issuers.verifier(settings)
        self.databases = attach.Databases(settings)
        self.cache = Cache(
            settings.query_cache_dir / "files", settings.query_cache_mb * 1024**2, attach.Bucket(settings)
        )
        self.cells = Cells(settings.query_cache_dir / "cells", _limits(settings), settings.query_concurrency)
        self.engine = engine.Engine(self.databases, self.cache, self.cells)
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

    async def principal(self, request: Request) -> Principal:
        """The reader who calls. Raises Unauthenticated or Forbidden."""
        return await authenticate(self.verifier, self._lookup, problems.bearer(request), "reader")

    async def _lookup(self, subject: oidc.Subject) -> Principal | None:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self.lookups, self.databases.principal, subject.issuer, subject.subject)
        return Principal(*found) if found else None

    async def query(self, request: Request) -> Response:
        """POST /v1/query."""
        started = time.monotonic()
        principal = await self.principal(request)
        self.rate.take(principal.user_id)
        asked = _decode(await _body(request))
        relations: tuple[gate.RelationName, ...] = ()
        code, answer = "Internal", None
        try:
            seconds = self._seconds(asked)
            admitted = gate.judge(asked.sql)
            relations = admitted.relations
            async with self.admission.turn(seconds):
                job = engine.Job(
                    admitted=admitted,
                    namespace=asked.namespace
                    or request.headers.get("x-trace-namespace")
                    or self.settings.namespace,
                    roles=principal.roles,
                    form=asked.format,
                    seconds=max(0.001, seconds - (time.monotonic() - started)),
                    max_rows=self.settings.query_max_rows,
                    max_bytes=self.settings.query_max_bytes,
                )
                answer = await self._run(request, job)
            code = "OK"
            return _response(asked.format, answer, time.monotonic() - started)
        except TraceError as error:
            code = error.code
            raise
        finally:
            self.telemetry.audit(
                sql=asked.sql,
                principal=principal,
                code=code,
                seconds=time.monotonic() - started,
                relations=[name.text for name in relations],
                rows=answer.rows if answer else 0,
                scanned=answer.bytes_scanned if answer else 0,
            )

    def _seconds(self, asked: QueryRequest) -> float:
        limit = self.settings.query_timeout_seconds
        if asked.timeout_seconds is not None and asked.timeout_seconds > limit:
            raise Refused(f"timeout_seconds: at most {limit:g}")
        return asked.timeout_seconds or limit

    async def _run(self, request: Request, job: engine.Job) -> engine.Answer:
        """Run in a thread; kill the query when the client goes away or this request is canceled."""
        cancel = engine.Cancel()
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

    async def ready(self, request: Request) -> Response:
        """GET /readyz: state answers and processes for queries can be started."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self.lookups, self.databases.ping)
        await loop.run_in_executor(self.lookups, self.cells.fill)
        return PlainTextResponse("ready\n")

    async def metrics(self, request: Request) -> Response:
        """GET /metrics."""
        self.telemetry.waiting.set(self.admission.waiting)
        self.telemetry.running.set(self.admission.running)
        self.telemetry.cached.set(self.cache.bytes)
        return Response(generate_latest(self.telemetry.registry), media_type=CONTENT_TYPE_LATEST)


async def _healthy(request: Request) -> Response:
    return PlainTextResponse("ok\n")


def create_app(settings: Settings) -> Starlette:
    """The query service as an ASGI application. Raises InvalidSettings for what it lacks."""
    service = Service(settings)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await asyncio.to_thread(service.cells.fill)
        try:
            yield
        finally:
            await service.close()

    app = Starlette(
        routes=[
            Route("/v1/query", service.query, methods=["POST"]),
            Route("/healthz", _healthy),
            Route("/readyz", service.ready),
            Route("/metrics", service.metrics),
        ],
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
        cpu_seconds=int(settings.query_timeout_seconds * threads) + 5,
        threads=threads,
    )


async def _body(request: Request) -> bytes:
    body = bytearray()
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > MAX_BODY_BYTES:
                raise TooLarge(f"the body is larger than {MAX_BODY_BYTES} bytes")
    except ClientDisconnect:
        raise Refused("the client left before its request was complete") from None
    return bytes(body)


def _decode(body: bytes) -> QueryRequest:
    try:
        return msgspec.json.decode(body, type=QueryRequest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused(f"the body is not a query: {error}", code="InvalidRequest") from None


async def _gone(receive: Receive) -> None:
    """Return when the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        continue


def _response(form: str, answer: engine.Answer, seconds: float) -> Response:
    if form != "json":
        headers = {
            "X-Trace-Row-Count": str(answer.rows),
            "X-Trace-Truncated": str(answer.truncated).lower(),
            "X-Trace-Duration-Ms": str(round(seconds * 1000, 1)),
            "X-Trace-Bytes-Scanned": str(answer.bytes_scanned),
        }
        return Response(answer.body, headers=headers, media_type=MEDIA_TYPES[form])
    head = orjson.dumps({"columns": [{"name": name, "type": kind} for name, kind in answer.columns]})
    tail = orjson.dumps(
        {
            "row_count": answer.rows,
            "truncated": answer.truncated,
            "duration_ms": round(seconds * 1000, 1),
            "bytes_scanned": answer.bytes_scanned,
            "versions": answer.versions,
        }
    )
    return Response(head[:-1] + b',"rows":[' + answer.body + b"]," + tail[1:], media_type="application/json")
