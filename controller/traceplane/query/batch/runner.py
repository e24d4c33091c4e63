"""Runs queries that were left to be run: a few lanes of their own beside the interactive turns.

A lane claims the query whose turn it is and runs it as any other: same gate, same cell, same audit, under the roles
its user has then. Meanwhile its lease is renewed; whoever loses it stops. What failed for want of a part we depend
on goes back in line with a pause, a few times; every other failure is the query's own and is kept for its user. A
service that stops hands its queries back.

Lanes wake when a query is left, and poll as a net under lost wake-ups. What they hear is a hint from anybody: every
role that may connect to the database of data can send one.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

import structlog

from traceplane.errors import Overloaded, Stale, TraceError, Unavailable
from traceplane.kit.ids import uuid7
from traceplane.query.attach.audit import Caller
from traceplane.query.attach.batch import CHANNEL, LEASE_SECONDS, Batches, Claimed, Failure
from traceplane.query.attach.databases import Databases
from traceplane.query.batch.waiters import Waiters
from traceplane.query.broker import failures
from traceplane.query.broker.engine import Engine
from traceplane.query.broker.limits import batch_limits
from traceplane.query.broker.query import Answer, Cancel, Job
from traceplane.query.broker.telemetry import Telemetry
from traceplane.query.gate.supervisor import GateSupervisor
from traceplane.query.relations import pins
from traceplane.query.relations.resolve import Reader
from traceplane.settings import QuerySettings
from traceplane.store.listener import Listener
from traceplane.web import problems
from traceplane.web.principals import Principal, needs

POLL_SECONDS = 15.0
MAX_ATTEMPTS = 4
PAUSE_SECONDS = 10.0
"""Before the second attempt; each further pause is twice as long."""

_log = structlog.get_logger("trace.batch")
_Said = TypeVar("_Said")


@dataclass
class _Turn:
    """One query that runs here."""

    claimed: Claimed
    cancel: Cancel
    look: asyncio.Event
    unwanted: bool = False
    lost: bool = False


class Runner:
    """The lanes of one process, and its ear for the queue. All of it runs on one event loop."""

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
        lanes = settings.query_batch_concurrency
        self._queries = ThreadPoolExecutor(max(1, lanes), thread_name_prefix="batch")
        self._statements = ThreadPoolExecutor(2, thread_name_prefix="batch-queue")
        self._wakes = [asyncio.Event() for _ in range(lanes)]
        self._turns: dict[UUID, _Turn] = {}
        self.stopping = asyncio.Event()
        self.told = Waiters()
        self.listener = Listener(settings.read_data_dsn(), (CHANNEL,), self._heard)

    async def run(self) -> None:
        """Run queries until `stop`; then hand back those that run. May be run again where an error ended it."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.listener.run(self.stopping))
            for wake in self._wakes:
                group.create_task(self._lane(wake))

    def stop(self) -> None:
        """Claim nothing more, and end what runs."""
        self.stopping.set()
        for wake in self._wakes:
            wake.set()
        for turn in self._turns.values():
            turn.cancel()

    def close(self) -> None:
        """End the threads, once `run` has returned."""
        self._queries.shutdown(wait=False, cancel_futures=True)
        self._statements.shutdown(wait=False, cancel_futures=True)

    def _heard(self, channel: str, payload: str) -> None:
        """A query was left (no payload, or something may have been missed), or something became of one."""
        if not payload:
            for wake in self._wakes:
                wake.set()
            for turn in self._turns.values():
                turn.look.set()
            self.told.tell_all()
            return
        try:
            query = UUID(payload)
        except ValueError:
            return  # not from us
        self.told.tell(query)
        if query in self._turns:
            self._turns[query].look.set()

    async def _lane(self, wake: asyncio.Event) -> None:
        while not self.stopping.is_set():
            wake.clear()
            claimed = None
            try:
                claimed = await self._queue(lambda queue: queue.claim(self._id))
            except TraceError as error:
                _log.warning("the queue of batch queries cannot be read", code=error.code, detail=error.message)
            if claimed is not None:  # from here on it is ours, whatever else fails
                await self._take(claimed)
            else:
                await self._count()
                await _within(wake, POLL_SECONDS)

    async def _count(self) -> None:
        """Tell how many wait or run. Only a figure: without it everything goes on."""
        try:
            with contextlib.suppress(TraceError):
                self._telemetry.batches.set(await self._queue(Batches.open))
        except Exception as error:
            _log.error("batch queries were not counted", exc_info=error)

    async def _take(self, claimed: Claimed) -> None:
        """Run one query and say what became of it, whatever that is."""
        turn = _Turn(claimed, Cancel(), asyncio.Event(), unwanted=claimed.cancel)
        caller = Caller(claimed.id, claimed.sql, user=claimed.user)
        self._turns[claimed.id] = turn
        if self.stopping.is_set() or turn.unwanted:
            turn.cancel()
        keeping = asyncio.create_task(self._keep(turn))
        started, code, answer = time.monotonic(), "Internal", None
        try:
            loop = asyncio.get_running_loop()
            answer = await loop.run_in_executor(self._queries, self._run, claimed, caller, turn.cancel)
            code = "OK"
        except TraceError as error:
            code = error.code
            await self._settle(turn, error)
        except Exception as error:  # a defect of ours: the user is told as much, the log all of it
            _log.error("a batch query failed", query_id=str(claimed.id), exc_info=error)
            await self._settle(turn, TraceError("the server failed; its log says why"))
        finally:
            turn.cancel()  # where the lane itself was ended: nobody renews the lease any more
            keeping.cancel()
            del self._turns[claimed.id]
            self._statements.submit(self._refill)
            self._telemetry.audit(
                caller,
                code=code,
                seconds=time.monotonic() - started,
                rows=answer.rows if answer else 0,
                scanned=answer.bytes_scanned if answer else 0,
            )

    def _run(self, claimed: Claimed, caller: Caller, cancel: Cancel) -> Answer:
        """The query itself, in a thread; its success is written down with its answer."""
        if claimed.attempt > MAX_ATTEMPTS:
            raise TraceError(f"whoever ran it went away, {MAX_ATTEMPTS} times in a row", code="RunnerLost")
        roles = self._databases.roles(claimed.user)
        needs(Principal(claimed.user, self._settings.org_id, roles), "reader")
        job = Job(
            admitted=self._supervisor.check(claimed.sql),
            namespace=claimed.namespace,
            reader=Reader(roles=roles),
            caller=caller,
            form="parquet",
            seconds=claimed.seconds,
            max_rows=self._settings.query_max_rows,
            max_bytes=self._settings.query_max_bytes,
            max_export_bytes=self._settings.query_export_max_mb * 1024**2 if claimed.overflow == "export" else 0,
            as_of=pins.decode(claimed.as_of) if claimed.as_of is not None else None,
            limits=self._limits,
            lease=claimed.lease,
        )
        return self._engine.run(job, cancel)

    async def _keep(self, turn: _Turn) -> None:
        """Renew the lease, and end the query where it is lost or not wanted any more. One that could not be renewed
        in its time, for whatever reason, is lost: another may have it already."""
        held, query = time.monotonic(), str(turn.claimed.id)
        while not turn.lost:
            await self._count()
            await _within(turn.look, LEASE_SECONDS / 4)
            turn.look.clear()
            asked = time.monotonic()
            try:
                turn.unwanted = await self._queue(lambda queue: queue.hold(turn.claimed.lease))
                held = asked
            except Stale:
                turn.lost = True
            except TraceError as error:
                _log.warning("a lease was not renewed", query_id=query, code=error.code)
            except Exception as error:  # a defect of ours, and no reason to leave the query to two runners
                _log.error("a lease was not renewed", query_id=query, exc_info=error)
            if time.monotonic() - held >= LEASE_SECONDS:
                turn.lost = True
            if turn.unwanted or turn.lost:
                turn.cancel()

    async def _settle(self, turn: _Turn, error: TraceError) -> None:
        """Write down what became of a query that has no answer."""
        if turn.lost or isinstance(error, Stale):
            return  # another runner has it, and says what becomes of it
        try:
            await self._queue(lambda queue: self._moved_on(queue, turn, error))
        except Stale:
            return
        except TraceError as lost:  # the lease runs out, and the query is claimed again
            _log.warning("a query's end was not written down", query_id=str(turn.claimed.id), code=lost.code)

    def _moved_on(self, queue: Batches, turn: _Turn, error: TraceError) -> None:
        lease = turn.claimed.lease
        if turn.unwanted:
            queue.end(lease, "Canceled")
        elif self.stopping.is_set():
            queue.hand_back(lease, pause=0, counted=False)
        elif isinstance(error, Unavailable | Overloaded) and lease.attempt < MAX_ATTEMPTS:
            queue.hand_back(lease, pause=PAUSE_SECONDS * 2 ** (lease.attempt - 1), counted=True)
        else:
            told = failures.without_statement(error.message)  # it outlives the statement
            queue.end(lease, "Failed", Failure(problems.status_of(error), error.code, told))

    async def _queue(self, ask: Callable[[Batches], _Said]) -> _Said:
        def asked() -> _Said:
            with self._databases.batches() as queue:
                return ask(queue)

        return await asyncio.get_running_loop().run_in_executor(self._statements, asked)


async def _within(event: asyncio.Event, seconds: float) -> None:
    """Return when `event` is set, or after `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
