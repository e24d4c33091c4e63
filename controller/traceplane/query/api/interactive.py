"""One query while its caller waits: a slot, the gate, the engine, the answer, all within one time limit.

Here are the parts of it that need the event loop. An answer is complete before its first byte is sent, so a query
that fails late is an error and never a broken 200.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from traceplane.errors import TraceError
from traceplane.kit import spans
from traceplane.kit.spans import Span
from traceplane.query.admission.deadline import within
from traceplane.query.api import responses
from traceplane.query.api.requests import NAMESPACE_HEADER, QueryBody, namespace_of
from traceplane.query.api.service import Service
from traceplane.query.broker.limits import seconds_of
from traceplane.query.broker.query import Answer, Cancel, Query
from traceplane.query.broker.telemetry import DEFECT
from traceplane.query.caller import Caller
from traceplane.query.errors import out_of_time
from traceplane.query.gate import statement
from traceplane.query.gate.messages import Shape
from traceplane.query.relations import pins
from traceplane.query.relations.resolve import Reader
from traceplane.web.disconnect import Disconnect, watched
from traceplane_sdk import tracing


@dataclass(frozen=True, slots=True)
class Received:
    """A query as it was received: what is asked, whose it is, what they may read, and whether they disconnected."""

    body: QueryBody
    namespace_header: str | None
    caller: Caller
    reader: Reader
    disconnect: Disconnect
    shape: Shape | None = None

    def namespace(self, default: str) -> str:
        """Where its names are looked up. Raises Refused."""
        return namespace_of(self.namespace_header, self.body) or default


@asynccontextmanager
async def received(
    request: Request, body: QueryBody, caller: Caller, reader: Reader, shape: Shape | None = None
) -> AsyncIterator[Received]:
    """A query of a request whose body was read; its client is watched meanwhile."""
    async with watched(request.receive) as disconnect:
        yield Received(body, request.headers.get(NAMESPACE_HEADER), caller, reader, disconnect, shape)


async def answer(service: Service, query: Received, limit: float) -> Response:
    """Run a query; one span and one audit line whatever happens. `limit` is the longest it may take, in seconds.
    Raises NoSlot where none comes free, and then the query did not begin."""
    with spans.spanned("query", tracing.current(), context=query.caller.trace) as span:
        span.attributes["trace.query_id"] = str(query.caller.query)
        return await _answer(service, query, limit, span)


async def _answer(service: Service, query: Received, limit: float, span: Span) -> Response:
    started = time.monotonic()
    relations: tuple[statement.RelationName, ...] = ()
    outcome: str | TraceError = DEFECT
    found = None
    try:
        seconds = seconds_of(query.body.timeout_seconds, limit)
        pin = pins.decode(query.body.as_of) if query.body.as_of is not None else None
        namespace = query.namespace(service.settings.namespace)
        async with AsyncExitStack() as slot:
            with spans.spanned("queue", span.context):
                await slot.enter_async_context(
                    service.admission.slot(query.caller.holder, seconds, query.disconnect)
                )
            # Within the slot: the gate has one process for all callers, and slots are what is shared fairly.
            with spans.spanned("gate", span.context):
                admitted = await _admitted(service, query, started, seconds)
            relations = admitted.relations
            waited = time.monotonic() - started
            runnable = _query(service, query, admitted, namespace, pin, seconds - waited, waited)
            found = await _run(service, runnable, query.disconnect)
        outcome = "OK"
        span.attributes |= {"trace.rows": found.rows, "trace.bytes_scanned": found.bytes_scanned}
        return _response(service, query, found, time.monotonic() - started)
    except TraceError as error:
        outcome = error
        raise
    finally:
        service.telemetry.audit(
            query.caller,
            outcome=outcome,
            seconds=time.monotonic() - started,
            relations=[name.text for name in relations],
            rows=found.rows if found else 0,
            scanned=found.bytes_scanned if found else 0,
        )


async def _admitted(service: Service, query: Received, started: float, limit: float) -> statement.Admitted:
    """What the gate admits of the statement, in what is left of its time."""
    try:
        async with within(started + limit - time.monotonic(), query.disconnect):
            return await service.supervisor.check_in_thread(query.body.sql, query.shape)
    except TimeoutError:
        raise out_of_time(limit) from None


def _query(
    service: Service,
    query: Received,
    admitted: statement.Admitted,
    namespace: str,
    pin: pins.Pin | None,
    left: float,
    waited: float,
) -> Query:
    """What the engine runs, in the `left` seconds of its time."""
    settings = service.settings
    return Query(
        admitted=admitted,
        namespace=namespace,
        reader=query.reader,
        caller=query.caller,
        form=query.body.format,
        seconds=max(0.001, left),  # it ends at once, as one that ran out of time
        waited=waited,
        max_rows=settings.query_max_rows,
        max_bytes=settings.query_max_bytes,
        max_export_bytes=settings.query_export_max_mb * 1024**2 if query.body.overflow == "export" else 0,
        as_of=pin,
    )


async def _run(service: Service, query: Query, disconnect: Disconnect) -> Answer:
    """Run in a thread; cancel the query when the client disconnects or this request is canceled."""
    cancel = Cancel()
    running = asyncio.get_running_loop().run_in_executor(service.threads, service.engine.run, query, cancel)
    try:
        waits: list[asyncio.Future[Any]] = [running, disconnect]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        if not running.done():
            cancel()
        return await running
    finally:
        cancel()  # where this request was canceled while it waited
        service.pools.probes.submit(service.refill)


def _response(service: Service, query: Received, found: Answer, seconds: float) -> Response:
    if found.output is None:
        return responses.answered(query.caller.query, query.body.format, found, seconds)
    good_for = service.settings.query_url_seconds
    # A task runs inside the cluster, where the store has another address than for users.
    url = service.bucket.url(found.output.location, good_for, inside=query.caller.task is not None)
    output = responses.output_of(found.output, url, good_for)
    return responses.exported(query.caller.query, query.body.format, found, seconds, output)
