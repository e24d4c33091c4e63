"""Claiming: from a worker's request to leased tasks, with a long poll.

Claims of one job that arrive while a claim statement of that job runs are answered together by the next one. A job
with `maxConcurrency`, and a PerUpdate job, is claimed under the job's claim lock, because how many tasks it may
start depends on what runs. A claimant that disconnected while it waited gets nothing: a lease without a holder
would hold work back until it expires.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from itertools import accumulate
from uuid import UUID

from traceplane.dispatch import payload
from traceplane.dispatch.coalesce import Coalescer
from traceplane.dispatch.generations import Generation, Generations
from traceplane.dispatch.wake import Wakeups
from traceplane.errors import NotFound, Refused, Stale
from traceplane.identity.capability import Capabilities
from traceplane.kit import crash, spans
from traceplane.kit.ids import uuid7
from traceplane.observe import dispatch_metrics as metrics
from traceplane.observe import task_spans
from traceplane.settings import DispatcherSettings
from traceplane.store.engine import Connection, Database
from traceplane.store.failures import mapped
from traceplane.store.statements import claims, relocations
from traceplane.store.statements.claims import Claimant
from traceplane_sdk.wire import MAX_TASKS_PER_CLAIM, ColdPartition

AFTER_COMMIT = crash.declare("claim.after_commit")
MAX_QUEUES = 4096
"""Job generations whose queue of claims is kept; idle ones go first."""

Disconnected = Callable[[], Awaitable[object]]
"""Returns when the client has disconnected."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one claimant asks for."""

    worker_id: str
    max_tasks: int


class _Queue:
    """The claims of one job generation."""

    def __init__(self, claims: Claims, job: Generation) -> None:
        self._claims = claims
        self.job = job
        self.limited = job.newest_only
        self.requests: Coalescer[Connection, Wanted, bytes | None] = Coalescer(
            claims.session,
            self._run,
            batch_weight=MAX_TASKS_PER_CLAIM,
            weight=lambda wanted: wanted.max_tasks,
            serial=lambda: self.limited,  # the claim lock lets only one through
        )

    async def _run(self, conn: Connection, batch: Sequence[Wanted]) -> Sequence[bytes | None]:
        claimants = [Claimant(uuid7(), wanted.worker_id, wanted.max_tasks) for wanted in batch]
        claimed = await self._claims.statement(conn, self.job, claimants, alone=self.limited)
        # That the job is limited is learned from the first answer, which then holds no task.
        if claimed is not None and claimed.limited and not self.limited:
            self.limited = True
            claimed = await self._claims.statement(conn, self.job, claimants, alone=True)
        if claimed is None:
            return [None] * len(batch)
        self.limited = claimed.limited
        return self._claims.deal(self.job, claimants, claimed)


class Claims:
    """Claims tasks for workers."""

    def __init__(
        self,
        settings: DispatcherSettings,
        state: Database,
        jobs: Generations,
        capabilities: Capabilities,
        wakeups: Wakeups,
    ) -> None:
        self._settings = settings
        self._state = state
        self.jobs = jobs
        self._capabilities = capabilities
        self._wakeups = wakeups
        self._queues: dict[UUID, _Queue] = {}

    def may_be_limited(self, job_id: UUID) -> bool:
        """Whether the end of a task of this job may let another start; True where nothing is known."""
        queue = self._queues.get(job_id)
        return queue is None or queue.limited

    async def claim(
        self,
        *,
        job_id: UUID,
        worker_id: str,
        max_tasks: int,
        wait_seconds: float = 0.0,
        disconnected: Disconnected | None = None,
    ) -> bytes:
        """Up to `max_tasks` leases, as an encoded ClaimResponse; empty when nothing came within `wait_seconds`."""
        job = await self.jobs.get(job_id)
        clock = asyncio.get_running_loop().time
        deadline = clock() + wait_seconds
        wanted = Wanted(worker_id, max_tasks)
        while True:
            ticket = self._wakeups.ticket()
            lease = await self._queue(job).requests.submit(wanted)
            if lease is not None:
                return lease
            left = deadline - clock()
            if left <= 0:
                return payload.EMPTY
            if not await self._wakeups.wait(job_id, ticket, min(left, self._settings.poll_seconds), disconnected):
                return payload.EMPTY

    async def claim_task(self, *, task_id: UUID, worker_id: str) -> bytes:
        """One named task. Raises NotFound, and Stale where it is not queued or may not run now."""
        async with self._state.autocommit() as conn:
            job_id = await claims.job_of(conn, org_id=self._settings.org_id, task_id=task_id)
        if job_id is None:
            raise NotFound(f"no task {task_id}", code="UnknownTask")
        job = await self.jobs.get(job_id)
        if job.newest_only:
            raise Refused("a PerUpdate job's tasks are claimed by job, never by task_id", code="ClaimByJob")
        claimants = [Claimant(uuid7(), worker_id, 1)]
        async with self.session() as conn:
            claimed = await self.statement(conn, job, claimants, alone=True, task_id=task_id)
        lease = self.deal(job, claimants, claimed)[0] if claimed else None
        if lease is None:
            raise Stale(f"task {task_id} is not queued, or its job may not run it now", code="TaskNotQueued")
        return lease

    def session(self) -> AbstractAsyncContextManager[Connection]:
        """A pooled connection."""
        return self._state.autocommit()

    async def statement(
        self,
        conn: Connection,
        job: Generation,
        claimants: Sequence[Claimant],
        *,
        alone: bool,
        task_id: UUID | None = None,
    ) -> claims.Claimed | None:
        """Run the claim statement and count what it did."""
        with mapped():
            claimed = await claims.claim(
                conn,
                org_id=self._settings.org_id,
                job_id=job.id,
                claimants=claimants,
                alone=alone,
                newest=job.newest_only,
                task_id=task_id,
                traced=spans.enabled(),
            )
        if claimed is not None and claimed.rows:
            crash.point(AFTER_COMMIT)
            metrics.CLAIMED.inc(len(claimed.rows))
            metrics.SUPERSEDED.inc(claimed.superseded)
            waited = (claimed.now - claimed.rows[0].queued_at).total_seconds()
            metrics.started(job.facts.dag, job.facts.name, waited)
            for row in claimed.rows if spans.enabled() else ():
                task_spans.claimed(
                    job.key, row.task_id, row.attempt, row.cause, row.waits_since, claimed.now, row.producer
                )
            # A PerUpdate run reads what is new, however much lies cold by now.
            if not job.newest_only and payload.may_be_relocated(claimed.context):
                claimed = replace(claimed, partitions=await self._partitions(conn, job, claimed))
        return claimed

    async def _partitions(
        self, conn: Connection, job: Generation, claimed: claims.Claimed
    ) -> dict[str, list[ColdPartition]]:
        """What the claimed tasks read of relocated ranges."""
        cold = payload.Context.read(claimed.context).cold_versions(job)
        if not cold:
            return {}
        tasks = [row.task_id for row in claimed.rows]
        with mapped():
            return await relocations.partitions_of(
                conn, org_id=self._settings.org_id, cold_versions=cold, tasks=tasks
            )

    def deal(self, job: Generation, claimants: Sequence[Claimant], claimed: claims.Claimed) -> list[bytes | None]:
        """Each claimant's encoded ClaimResponse, or None for one that got nothing."""
        ends = accumulate(claimant.wanted for claimant in claimants)
        context = payload.Context.read(claimed.context, claimed.partitions)
        leases: list[bytes | None] = []
        begin = 0
        for claimant, end in zip(claimants, ends, strict=True):
            # By number, which is how the statement gave out claim ids: a row that changed between its snapshot and
            # its lock is left out, and leaves a gap.
            past = begin
            while past < len(claimed.rows) and claimed.rows[past].number <= end:
                past += 1
            rows = claimed.rows[begin:past]
            begin = past
            leases.append(self._lease(job, claimant, claimed, context, rows) if rows else None)
        return leases

    def _lease(
        self,
        job: Generation,
        claimant: Claimant,
        claimed: claims.Claimed,
        context: payload.Context,
        rows: Sequence[claims.ClaimedRow],
    ) -> bytes:
        cold = context.cold_locations(job)
        token = self._capabilities.mint(
            claim_id=claimant.claim_id,
            org_id=self._settings.org_id,
            job_id=job.id,
            tasks=[(row.task_id, row.attempt) for row in rows],
            grants=job.grants_with(cold) if cold else job.grants,
            seconds=self.token_seconds(claimed.timeout_seconds),
        )
        return payload.response(job, claimed, context, rows, token)

    def token_seconds(self, timeout_seconds: float | None) -> float:
        """How long a token of a run with this timeout is valid."""
        longest = self._settings.capability_max_seconds
        if timeout_seconds is None:
            return longest
        return min(timeout_seconds + self._settings.capability_slack_seconds, longest)

    def _queue(self, job: Generation) -> _Queue:
        queue = self._queues.get(job.id)
        if queue is None:
            if len(self._queues) >= MAX_QUEUES:
                self._queues = {known: kept for known, kept in self._queues.items() if not kept.requests.idle}
            queue = self._queues[job.id] = _Queue(self, job)
        queue.job = job
        return queue
