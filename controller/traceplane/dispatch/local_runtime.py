"""The Dispatcher runtime: small jobs run here, in threads, without a pod.

It is an ordinary worker that happens to live in the dispatcher: it claims through the same gate, runs the same
`Attempt`, and is fenced like any other; only HTTP is missing in between. So a second replica, or a dispatcher
killed mid-run, needs no rule of its own. Slots are few: what needs more belongs into a pod. Runs get no provider
URLs, no scratch disk and no query service here.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import msgspec
import structlog

from traceplane.dispatch import payload
from traceplane.dispatch.claim import Claims
from traceplane.dispatch.in_process_port import InProcessPort
from traceplane.dispatch.wake import Wakeups
from traceplane.errors import NotFound
from traceplane.runtime.attempt import Attempt, Ending
from traceplane.runtime.host import Host, Times
from traceplane.settings import DispatcherSettings
from traceplane.store.engine import Database
from traceplane.store.statements import generations
from traceplane_sdk.context import Context, Result
from traceplane_sdk.wire import ClaimResponse

SLOTS = 4
"""Tasks that run at once in one dispatcher."""
MAX_CANDIDATES = 100
"""Jobs with queued tasks that one pass looks at."""
HAND_BACK_SECONDS = 15.0
"""Of the seconds between SIGTERM and the kill (45 in the chart), those that a run has to stop in."""

log = structlog.get_logger()


class LocalRuntime:
    """Runs tasks of jobs whose runtime is Dispatcher."""

    def __init__(
        self,
        settings: DispatcherSettings,
        state: Database,
        claims: Claims,
        port: InProcessPort,
        wakeups: Wakeups,
        own: Mapping[str, Callable[[Context], Result]],
    ) -> None:
        self._org_id = settings.org_id
        self._state = state
        self._claims = claims
        self._port = port
        self._wakeups = wakeups
        self._host = Host(
            worker_id=settings.worker_id,
            times=Times(
                heartbeat=settings.heartbeat_seconds,
                lease=settings.lease_seconds,
                finish=0.0,  # a dispatcher restarts while its clients wait: runs are handed back at once
                hand_back=HAND_BACK_SECONDS,
            ),
            data_dsn=settings.read_data_dsn,
            rpc_dir=None,
            query_url=None,
            scratch_dir=None,
            own=own,
        )
        self._supervisors = ThreadPoolExecutor(SLOTS, thread_name_prefix="attempt")
        self._running: dict[asyncio.Task[None], threading.Event] = {}
        self._stuck: list[Attempt] = []
        self._drain_started: float | None = None

    async def run_once(self) -> int:
        """Claim what fits into the free slots and start it; how many. Raises GiveUp where a run met one."""
        self._wakeups.any_work.clear()
        if self._port.fatal is not None:
            raise self._port.fatal
        # A worker pod whose run is stuck exits. This process goes on for its other clients, so the slot stays taken
        # until the thread ends: the number of threads is bounded, whatever operators do.
        self._stuck = [attempt for attempt in self._stuck if not attempt.ended]
        free = SLOTS - len(self._running) - len(self._stuck)
        if free <= 0:
            return 0
        async with self._state.autocommit() as conn:
            jobs = await generations.dispatcher_jobs(conn, org_id=self._org_id, limit=MAX_CANDIDATES)
        started = 0
        for job_id in jobs:
            if started == free:
                break
            # Nothing comes of a job that runs as many tasks as it may: the slot goes to the next one.
            started += await self._start(job_id)
        return started

    async def drain(self) -> None:
        """Ask every run to end, and wait until each was completed, handed back or given up."""
        self._drain_started = time.monotonic()
        for wake in self._running.values():
            wake.set()
        await self.idle()
        self._supervisors.shutdown(wait=False)

    async def idle(self) -> None:
        """Return when nothing runs."""
        while self._running:
            await asyncio.wait(self._running)

    async def _start(self, job_id: UUID) -> int:
        try:
            body = await self._claims.claim(job_id=job_id, worker_id=self._host.worker_id, max_tasks=1)
        except NotFound:  # removed between the two statements
            return 0
        if body == payload.EMPTY:
            return 0
        claimed = msgspec.json.decode(body, type=ClaimResponse).tasks[0]
        wake = threading.Event()
        run = asyncio.create_task(self._run(Attempt(self._port, self._host, claimed, wake)))
        self._running[run] = wake
        run.add_done_callback(self._ended)
        return 1

    async def _run(self, attempt: Attempt) -> None:
        loop = asyncio.get_running_loop()
        ending = await loop.run_in_executor(self._supervisors, attempt.run, lambda: self._drain_started)
        if ending is Ending.STUCK:
            self._stuck.append(attempt)
            log.error("a slot is taken by a run that does not stop", taken=len(self._stuck), slots=SLOTS)

    def _ended(self, run: asyncio.Task[None]) -> None:
        self._running.pop(run, None)
        self._wakeups.any_work.set()
        if not run.cancelled() and (error := run.exception()) is not None:
            log.error("an attempt ended without completing; its lease will expire", exc_info=error)
