"""Attempts of workers, run one at a time in this process, and what may become of them."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from uuid import UUID

import msgspec

from tests import services
from tests.integration.versions.chain import OPERATOR, MadeUpChain
from traceplane.dispatch.dispatcher import Dispatcher
from traceplane.dispatch.in_process_port import InProcessPort
from traceplane.runtime import task_io
from traceplane.runtime.heartbeat import Lease
from traceplane.runtime.host import Host, Times
from traceplane_sdk import wire
from traceplane_sdk.context import TaskIO
from traceplane_sdk.control import Control
from traceplane_sdk.errors import DispatcherUnavailable, OperatorError, StaleLease
from traceplane_sdk.runner import run_task


class Fault(StrEnum):
    """What becomes of an attempt."""

    NONE = "none"
    FAILS = "fails"
    BREAKS = "breaks"
    """As FAILS, and no further attempt is made."""
    DIES = "dies"
    """Its process is killed."""
    STALLS = "stalls"
    """It stops before it does anything, and may go on later."""
    STALLS_LATE = "stalls late"
    """It has done everything but complete."""


class Killed(BaseException):
    """The end of the process that runs an attempt."""


@dataclass(frozen=True)
class Stalled:
    """An attempt that may go on. `completion` is None where it has done nothing yet."""

    claimed: wire.ClaimedTask
    completion: wire.Completion | None


class Workers:
    """Workers of every job. `dispatcher`: the one that runs now."""

    def __init__(
        self,
        dispatcher: Callable[[], Dispatcher],
        databases: services.Databases,
        chain: MadeUpChain,
        folder: Path,
        chance: random.Random,
    ) -> None:
        self.stalled: list[Stalled] = []
        self.patience = 30.0
        """Seconds that an attempt tries to complete."""
        self.query_url = ""
        self._dispatcher, self._databases, self._chain = dispatcher, databases, chain
        self._folder, self._chance = folder, chance

    async def attempt(self, job: UUID, fault: Fault = Fault.NONE) -> bool:
        """Claim a task of a generation and run it; False where there was none that may run."""
        body = await self._dispatcher().claims.claim(job_id=job, worker_id="worker-1", max_tasks=1)
        claimed = msgspec.json.decode(body, type=wire.ClaimResponse).tasks
        if not claimed:
            return False
        if fault is Fault.STALLS:
            self.stalled.append(Stalled(claimed[0], None))
        else:
            await asyncio.to_thread(self._run, self._port(), claimed[0], fault)
        return True

    async def wake(self) -> None:
        """An attempt that stalled goes on, whatever became of its task."""
        if self.stalled:
            one = self.stalled.pop(self._chance.randrange(len(self.stalled)))
            await asyncio.to_thread(self._go_on, self._port(), one)

    def _port(self) -> InProcessPort:
        parts = self._dispatcher()
        return InProcessPort(
            asyncio.get_running_loop(), parts.capabilities, parts.leases, parts.completions, parts.acceptance
        )

    def _go_on(self, port: InProcessPort, one: Stalled) -> None:
        if one.completion is None:
            self._run(port, one.claimed, Fault.NONE)
        else:
            self._complete(port, one.claimed, one.completion)

    def _run(self, port: InProcessPort, claimed: wire.ClaimedTask, fault: Fault) -> None:
        run = self._chain.follow if claimed.task.operator == OPERATOR.name else None
        with task_io.scratch(self._folder) as directory:
            try:
                completion = run_task(claimed, self._io(port, claimed, directory, fault), run)
            except (StaleLease, Killed):
                return
        if fault is Fault.STALLS_LATE:
            self.stalled.append(Stalled(claimed, completion))
        else:
            self._complete(port, claimed, completion)

    def _complete(self, port: InProcessPort, claimed: wire.ClaimedTask, completion: wire.Completion) -> None:
        try:
            port.complete(completion, claimed.capability_token, patience=self.patience)
        except (StaleLease, DispatcherUnavailable):
            return  # the lease expires, or has

    def _io(self, port: InProcessPort, claimed: wire.ClaimedTask, scratch: Path | None, fault: Fault) -> TaskIO:
        """What a worker pod lends to its attempt, with a crash point that does as the fault says."""
        host = Host(
            worker_id="worker-1",
            times=Times(heartbeat=10.0, lease=60.0, finish=0.0, hand_back=30.0),
            data_dsn=lambda: self._databases.writer_dsn,
            rpc_dir=None,
            query_url=self.query_url,
            scratch_dir=self._folder,
        )
        io = task_io.task_io(
            port, host, Lease(claimed), Control(), lambda _event, _fields: None, scratch, lambda _report: None
        )
        return dataclasses.replace(io, crash_point=self._crash_point(fault))

    def _crash_point(self, fault: Fault) -> Callable[[str], None]:
        left = iter(range(self._chance.randrange(8), -1, -1))

        def point(_name: str) -> None:
            if next(left, -1) != 0 or fault in (Fault.NONE, Fault.STALLS, Fault.STALLS_LATE):
                return
            if fault is Fault.DIES:
                raise Killed
            raise OperatorError("Broken", "as the drill wanted", retryable=fault is Fault.FAILS)

        return point
