"""Batch queries over HTTP: submitting one, looking at it or waiting for its end, canceling it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from functools import partial
from uuid import UUID

from starlette.responses import Response

from traceplane.errors import Overloaded, TraceError
from traceplane.kit import spans
from traceplane.query.api import responses
from traceplane.query.api.interactive import Received
from traceplane.query.api.requests import QueryRequest
from traceplane.query.api.results import Results
from traceplane.query.api.service import Service
from traceplane.query.broker.limits import pause_of
from traceplane.query.broker.telemetry import DEFECT
from traceplane.web import problems
from traceplane.web.principals import Principal


class Batches:
    """What users do with batch queries. Each call is a few statements in a thread; none runs a query."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._results = Results(service.databases, service.bucket, service.settings.query_url_seconds)
        self._pause = pause_of(service.settings)

    async def submit(self, query: Received, body: QueryRequest) -> Response:
        """Queue a query (202); one span and one audit line whatever happens. It runs in a trace of its own."""
        with spans.spanned("submit", query.caller.trace) as span:
            span.attributes["trace.query_id"] = str(query.caller.query)
            span.links.append(spans.of_task(query.caller.query, 1, "query"))
            return await self._submit(query, body)

    async def _submit(self, query: Received, body: QueryRequest) -> Response:
        service = self._service
        started = time.monotonic()
        outcome: str | TraceError = DEFECT
        try:
            namespace = query.namespace(service.settings.namespace)
            admitted = await service.submission.check(query.caller, query.disconnect)
            submit = partial(
                service.submission.submit,
                overflow=body.overflow,
                as_of=body.as_of,
                timeout_seconds=body.timeout_seconds,
            )
            submitted = await service.pools.results.run(submit, admitted, query.caller, query.reader, namespace)
            outcome = "Accepted"
            return responses.batch(submitted, self._pause)
        except TraceError as error:
            outcome = error
            raise
        finally:
            service.telemetry.audit(query.caller, outcome=outcome, seconds=time.monotonic() - started)

    async def find(self, query: UUID, user: Principal, wait: float) -> Response:
        """What is known of a query of the user's, after `wait` seconds at most if it has not ended."""
        service = self._service
        # Before the first look, so that an end between the look and the wait is not missed.
        with service.runner.waiters.waiter(query) as ended:
            found = await service.pools.results.run(self._known, query, user)
            if found.status_code != 202 or not wait or ended is None:
                return found
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await ended.wait()
        try:
            return await service.pools.results.run(self._known, query, user)
        except Overloaded:  # many waiters woke at once; what was known before the wait is still an answer
            return found

    async def cancel(self, query: UUID, user: Principal) -> Response:
        """End a query that waits or runs. Raises NotFound, or Stale where it has ended."""
        canceled = await self._service.pools.results.run(self._service.submission.cancel, query, user.user_id)
        return responses.batch(canceled)

    def _known(self, query: UUID, user: Principal) -> Response:
        """The answer where there is one (200), else how far it is (202), else why there is none: the problem that
        an interactive query would have got. Raises NotFound or Unavailable."""
        batch = self._service.submission.find(query, user.user_id)
        if batch is not None and batch.is_open:
            return responses.batch(batch, self._pause)
        if batch is not None and batch.failure is not None:
            return problems.problem(batch.failure.status, batch.failure.code, batch.failure.detail)
        if batch is not None and batch.state == "Canceled":
            return problems.problem(410, "QueryCanceled", "the query was canceled")
        return responses.known(self._results.find(query, user))
