"""Runs batch queries: a few slots of their own beside the interactive ones, each a loop of the shared loop runner.

A slot claims the next query and runs it as any other: same gate, same cell, same audit, under the roles its user
has then. Meanwhile its lease is renewed; a runner that loses a lease cancels the query. A failure for want of a
part that the service depends on releases the query for a retry, a few times; every other failure is the query's own
and is kept for its user. A service that stops releases its queries.

Slots wake when a query is submitted, and poll as a net under lost notifications. A notification is a hint that any
role may send that can connect to the database of data.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID

import structlog

from traceplane.errors import Overloaded, Stale, TraceError, Unavailable
from traceplane.kit import loops, spans
from traceplane.kit.ids import uuid7
from traceplane.kit.loops import Loop
from traceplane.query.admission.pools import Pool
from traceplane.query.attach.batch_queries import CHANNEL, LEASE_SECONDS, BatchQueries, Claim, Failure
from traceplane.query.attach.databases import Databases
from traceplane.query.batch.waiters import Waiters
from traceplane.query.broker import failures
from traceplane.query.broker.engine import Engine
from traceplane.query.broker.limits import batch_limits
from traceplane.query.broker.query import Answer, Cancel, Query
from traceplane.query.broker.telemetry import DEFECT, Telemetry
from traceplane.query.caller import Caller
from traceplane.query.gate.supervisor import GateSupervisor
from traceplane.query.relations import pins
from traceplane.query.relations.resolve import Reader
from traceplane.settings import QuerySettings
from traceplane.store.listener import Listener
from traceplane.web import problems
from traceplane.web.principals import Principal, needs

POLL_SECONDS = 15.0
RENEW_SECONDS = LEASE_SECONDS / 4
MAX_ATTEMPTS = 4
RETRY_SECONDS = 10.0
"""About the pause before the second attempt; each further one is twice as long."""
MAX_RETRY_SECONDS = 60.0

_log = structlog.get_logger("trace.batch")
_Returned = TypeVar("_Returned")


class RunnerLost(TraceError):
    """No runner lived to the end of a query, which may be why: it is not tried again."""

    code = "RunnerLost"


@dataclass
class _Attempt:
    """One query that runs here. `renewed` is when (monotonic) its lease was last known to be held."""

    claim: Claim
    user_canceled: bool
    lost: bool = False
    cancel: Cancel = field(default_factory=Cancel)
    renewed: float = field(default_factory=time.monotonic)


class Runner:
    """The batch slots of one process. All of it runs on one event loop."""

    def __init__(
        self,
        settings: QuerySettings,
        databases: Databases,
        supervisor: GateSupervisor,
        engine: Engine,
        telemetry: Telemetry,
        refill: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._databases = databases
        self._supervisor = supervisor
        self._engine = engine
        self._telemetry = telemetry
        self._refill = refill
        self._id = uuid7()
        self._limits = batch_limits(settings)
        self._attempts: dict[UUID, _Attempt] = {}
        self.waiters = Waiters()
        self.listener = Listener(settings.read_data_dsn(), (CHANNEL,), self._notified)
        self._stopping = asyncio.Event()
        count = settings.query_batch_concurrency
        self._queries = Pool("batch", threads=max(1, count))
        self._statements = Pool("batch-queue", threads=2)
        self._slots = [Loop(f"batch-slot-{number}", self.run_next, POLL_SECONDS) for number in range(count)]
        # After an error it tries again within RENEW_SECONDS: a lease must not run out while it backs off.
        self._renewal = Loop("batch-lease-renewal", self.renew, RENEW_SECONDS, max_backoff=RENEW_SECONDS / 1.5)
        self._metric = Loop("batch-queue-metric", self.measure, POLL_SECONDS)

    async def run(self) -> None:
        """Run queries until `stop`; return when those that run are released."""
        hearing = Loop("batch-listener", self._listen, POLL_SECONDS)
        async with asyncio.TaskGroup() as group:
            for loop in (*self._slots, self._renewal, self._metric, hearing):
                group.create_task(loops.run(loop, self._stopping, _report))

    def stop(self) -> None:
        """Claim nothing more, and cancel what runs."""
        self._stopping.set()
        for attempt in self._attempts.values():
            attempt.cancel()

    def close(self) -> None:
        """End the threads, once `run` has returned."""
        self._queries.close()
        self._statements.close()

    async def run_next(self) -> int:
        """Claim the next query and run it to its end; 0 where none is due."""
        claim = await self._statement(lambda queue: queue.claim(self._id))
        if claim is None:
            return 0
        await self._run(_Attempt(claim, user_canceled=claim.cancel))
        return 1

    async def renew(self) -> int:
        """Renew the lease of each query that runs, and cancel those that lost it or that their users canceled."""
        renewals = [self._renew(attempt) for attempt in self._attempts.values()]
        for error in await asyncio.gather(*renewals, return_exceptions=True):
            if error is not None:
                raise error
        return 0  # nothing more to do before the interval is over

    async def measure(self) -> int:
        """Set the metric of the queue's length."""
        self._telemetry.open_batches.set(await self._statement(BatchQueries.count_open))
        return 0

    async def _listen(self) -> int:
        await self.listener.run(self._stopping)
        return 0

    def _notified(self, channel: str, payload: str) -> None:
        """A query was submitted (no payload, or something may have been missed), or the state of one changed."""
        self._metric.wake.set()
        if not payload:
            for loop in (*self._slots, self._renewal):
                loop.wake.set()
            self.waiters.notify_all()
            return
        try:
            query = UUID(payload)
        except ValueError:
            return  # not one of the service's own notifications
        self.waiters.notify(query)
        if query in self._attempts:  # its user may have canceled it
            self._renewal.wake.set()

    async def _run(self, attempt: _Attempt) -> None:
        """Run one claimed query, and settle what becomes of it, whatever that is."""
        claim = attempt.claim
        # Its trace is the query's id: of whatever process claims it, and however often.
        caller = Caller(claim.id, claim.sql, user=claim.user, trace=spans.of_task(claim.id, claim.attempt, "query"))
        self._attempts[claim.id] = attempt
        if self._stopping.is_set() or attempt.user_canceled:
            attempt.cancel()
        started, answer = time.monotonic(), None
        outcome: str | TraceError = DEFECT
        try:
            with spans.spanned("query", None, context=caller.trace) as span:
                span.attributes["trace.query_id"] = str(claim.id)
                answer = await self._queries.run(self._execute, claim, caller, attempt.cancel)
            outcome = "OK"
        except TraceError as error:
            outcome = error
            await self._settle(attempt, error)
        except Exception as error:  # a defect of the service: its text goes to the log, and not to the user
            _log.error("a batch query failed", query_id=str(claim.id), exc_info=error)
            await self._settle(attempt, TraceError(problems.HIDDEN))
        finally:
            attempt.cancel()  # where this loop itself was canceled: nothing renews the lease any more
            del self._attempts[claim.id]
            self._statements.submit(self._refill)
            self._telemetry.audit(
                caller,
                outcome=outcome,
                seconds=time.monotonic() - started,
                rows=answer.rows if answer else 0,
                scanned=answer.bytes_scanned if answer else 0,
            )

    def _execute(self, claim: Claim, caller: Caller, cancel: Cancel) -> Answer:
        """The query itself, in a thread; the engine completes it together with its result."""
        if claim.attempt > MAX_ATTEMPTS:
            raise RunnerLost(f"the worker running this query was lost {MAX_ATTEMPTS} times in a row")
        roles = self._databases.roles(claim.user)
        needs(Principal(claim.user, self._settings.org_id, roles), "reader")
        exporting = claim.overflow == "export"
        query = Query(
            admitted=self._supervisor.check(claim.sql),
            namespace=claim.namespace,
            reader=Reader(roles=roles),
            caller=caller,
            form="parquet",
            seconds=claim.seconds,
            max_rows=self._settings.query_max_rows,
            max_bytes=self._settings.query_max_bytes,
            max_export_bytes=self._settings.query_export_max_mb * 1024**2 if exporting else 0,
            as_of=pins.decode(claim.as_of) if claim.as_of is not None else None,
            limits=self._limits,
            lease=claim.lease,
        )
        return self._engine.run(query, cancel)

    async def _renew(self, attempt: _Attempt) -> None:
        """Renew one lease. One that could not be renewed in its time, for whatever reason, is lost: another runner
        may have claimed the query."""
        sent = time.monotonic()
        try:
            attempt.user_canceled = await self._statement(lambda queue: queue.renew(attempt.claim.lease))
            attempt.renewed = sent
        except Stale:
            attempt.lost = True
        finally:
            if time.monotonic() - attempt.renewed >= LEASE_SECONDS:
                attempt.lost = True
            if attempt.user_canceled or attempt.lost:
                attempt.cancel()

    async def _settle(self, attempt: _Attempt, error: TraceError) -> None:
        """Record what becomes of a query that has no answer. Where that fails, its lease runs out, and it is
        claimed again."""
        if attempt.lost:
            return  # it is another runner's
        try:
            await self._statement(lambda queue: self._conclude(queue, attempt, error))
        except Stale:
            return

    def _conclude(self, queue: BatchQueries, attempt: _Attempt, error: TraceError) -> None:
        lease = attempt.claim.lease
        if attempt.user_canceled:
            queue.complete(lease, "Canceled")
        elif self._stopping.is_set():
            queue.release(lease, pause=0, counted=False)
        elif isinstance(error, Unavailable | Overloaded) and lease.attempt < MAX_ATTEMPTS:
            pause = loops.backoff(lease.attempt, base=RETRY_SECONDS, limit=MAX_RETRY_SECONDS)
            queue.release(lease, pause=pause, counted=True)
        else:
            shown = problems.shown(error)
            text = error.message if isinstance(error, RunnerLost) else shown.detail
            detail = failures.without_statement(text)  # the record outlives the statement
            queue.complete(lease, "Failed", Failure(shown.status, shown.code, detail))

    async def _statement(self, call: Callable[[BatchQueries], _Returned]) -> _Returned:
        """Run statements on the queue, in one transaction, in a thread."""

        def transaction() -> _Returned:
            with self._databases.batch_queries() as queue:
                return call(queue)

        return await self._statements.run(transaction)


def _report(name: str, *, done: int, seconds: float, error: BaseException | None) -> None:
    if isinstance(error, TraceError):
        _log.warning("loop failed; it backs off and runs again", loop=name, code=error.code, detail=error.message)
    elif error is not None:  # a defect
        _log.error("loop failed; it backs off and runs again", loop=name, exc_info=error)
