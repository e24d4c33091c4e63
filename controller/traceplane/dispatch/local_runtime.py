"""The Dispatcher runtime: small jobs run here, in threads, without a pod.

It is an ordinary worker that happens to live in the dispatcher: it claims through the same gate, heartbeats and
completes through the same code, and is fenced like any other; only HTTP is missing in between. So a second
replica, or a dispatcher killed mid-run, needs no rule of its own. Threads are few and bounded: what needs more
belongs into a pod.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import msgspec
import structlog

from traceplane.dispatch import payload
from traceplane.dispatch.claim import Claims
from traceplane.dispatch.complete import Completions
from traceplane.dispatch.leases import Leases
from traceplane.dispatch.wake import Wakeups
from traceplane.errors import NotFound, Overloaded, Refused, TraceError, Unavailable
from traceplane.identity.capability import Capabilities, TaskToken
from traceplane.kit.loops import backoff
from traceplane.settings import DispatcherSettings
from traceplane.store.engine import Database
from traceplane.store.statements import generations
from traceplane_sdk.context import TaskIO
from traceplane_sdk.control import Control
from traceplane_sdk.errors import StaleLease, StopReason
from traceplane_sdk.runner import run_task
from traceplane_sdk.wire import ClaimedTask, ClaimResponse, Completion, Fence, TaskError

SLOTS = 4
"""Tasks that run at once in one dispatcher."""

log = structlog.get_logger()


class LocalRuntime:
    """Runs tasks of jobs whose runtime is Dispatcher."""

    def __init__(
        self,
        settings: DispatcherSettings,
        state: Database,
        claims: Claims,
        completions: Completions,
        leases: Leases,
        capabilities: Capabilities,
        wakeups: Wakeups,
        data_dsn: Callable[[], str],
    ) -> None:
        self._settings = settings
        self._state = state
        self._claims = claims
        self._completions = completions
        self._leases = leases
        self._capabilities = capabilities
        self._wakeups = wakeups
        self._data_dsn = data_dsn
        self._threads = ThreadPoolExecutor(SLOTS, thread_name_prefix="operator")
        self._running: dict[asyncio.Task[None], Control] = {}

    async def run_once(self) -> int:
        """Claim what fits into the free slots and start it; how many were started."""
        self._wakeups.any_work.clear()
        free = SLOTS - len(self._running)
        if free <= 0:
            return 0
        async with self._state.autocommit() as conn:
            jobs = await generations.dispatcher_jobs(conn, org_id=self._settings.org_id, limit=free)
        started = 0
        for job_id in jobs:
            started += await self._start(job_id)
        return started

    async def drain(self) -> None:
        """Ask every run to end, and wait until each was handed back or completed."""
        for control in self._running.values():
            control.stop(StopReason.DRAINING)
        if self._running:
            await asyncio.wait(self._running)
        self._threads.shutdown(wait=False)

    async def idle(self) -> None:
        """Return when nothing runs."""
        while self._running:
            await asyncio.wait(self._running)

    async def _start(self, job_id: UUID) -> int:
        try:
            body = await self._claims.claim(job_id=job_id, worker_id=self._settings.worker_id, max_tasks=1)
        except NotFound:  # removed between the two statements
            return 0
        if body == payload.EMPTY:
            return 0
        claimed = msgspec.json.decode(body, type=ClaimResponse).tasks[0]
        control = Control()
        run = asyncio.create_task(self._run(claimed, control))
        self._running[run] = control
        run.add_done_callback(self._ended)
        return 1

    def _ended(self, run: asyncio.Task[None]) -> None:
        self._running.pop(run, None)
        self._wakeups.any_work.set()
        if not run.cancelled() and (error := run.exception()) is not None:
            log.error("a run ended without completing; its lease will expire", error=type(error).__name__)

    async def _run(self, claimed: ClaimedTask, control: Control) -> None:
        task = claimed.task
        told = log.bind(dag=task.job.dag, job=task.job.name, task_id=task.task_id, attempt=claimed.attempt)
        token = self._capabilities.verify(claimed.capability_token)
        io = TaskIO(data_dsn=self._data_dsn, control=control, log=lambda event, more: _say(told, event, more))
        beating = asyncio.create_task(self._beat(token, claimed, control))
        try:
            loop = asyncio.get_running_loop()
            completion = await loop.run_in_executor(self._threads, run_task, claimed, io)
            await self._complete(token, completion)
            told.info("task ended", status=completion.status)
        except StaleLease:
            told.warning("lease lost while the task ran")
        finally:
            beating.cancel()

    async def _beat(self, token: TaskToken, claimed: ClaimedTask, control: Control) -> None:
        """Renew the lease until canceled; tell the run when it is to stop."""
        fence = Fence(claimed.task.task_id, claimed.attempt, claimed.lease_token)
        every = min(self._settings.heartbeat_seconds, (claimed.lease_seconds or 60.0) / 4)
        while True:
            await asyncio.sleep(every)
            try:
                state = (await self._leases.heartbeat(token, [fence]))[0]
            except Unavailable:  # the lease outlives several missed beats
                continue
            if state.lease_expires_at is None:
                control.stop(StopReason.LEASE_LOST)
                return
            if state.canceled:
                control.stop(StopReason.CANCELED)

    async def _complete(self, token: TaskToken, completion: Completion) -> None:
        """Complete, again and again while the database is away; a refused completion is reported as a failure."""
        failures = 0
        while True:
            try:
                outcome = (await self._completions.complete(token, [completion]))[0]
            except (Unavailable, Overloaded) as error:
                failures += 1
                log.warning("completion not accepted yet", failures=failures, error=error.message)
                await asyncio.sleep(backoff(failures, base=0.2, limit=10, jitter=0.5))
            except Refused as error:
                if completion.status == "Failed":
                    raise
                completion = _refused(completion.fence, error)
            else:
                if not outcome.accepted:
                    raise StaleLease("the completion was stale")
                return


def _refused(fence: Fence, error: TraceError) -> Completion:
    told = TaskError(code="CompletionRefused", message=error.message[:4096], retryable=False)
    return Completion(fence=fence, status="Failed", error=told)


def _say(told: Any, event: str, more: Mapping[str, Any]) -> None:
    told.info(event, **{key: value for key, value in more.items() if key != "event"})
