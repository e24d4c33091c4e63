"""Accepting events and invalidations while work goes on: from a running task, and relayed from data.

Ids make both idempotent. A task's report gets ids from the report's own id, so a report sent twice is counted
once; a row of the source outbox brings its id along. Workers are woken for the tasks that were made after the
commit.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import msgspec

from traceplane.dispatch.complete import check_output, event_row
from traceplane.dispatch.generations import Generations
from traceplane.dispatch.wake import Wakeups
from traceplane.errors import Refused, Stale
from traceplane.identity.capability import TaskToken
from traceplane.observe import audit
from traceplane.observe import dispatch_metrics as metrics
from traceplane.settings import DispatcherSettings
from traceplane.store.engine import Database
from traceplane.store.failures import retrying
from traceplane.store.statements import events as statements
from traceplane.store.statements.source_outbox import SourceRow
from traceplane.store.statements.unfinished import unfinished
from traceplane_sdk.source_outbox import SourceEvent, SourceInvalidation
from traceplane_sdk.wire import EventsRequest, EventsResponse, Invalidation


@dataclass(frozen=True, slots=True)
class Unpacked:
    """Source rows as the accepting statement takes them, and those that no statement could take."""

    events: list[dict[str, object]]
    invalidations: list[dict[str, object]]
    malformed: list[tuple[UUID, str]]


class Acceptance:
    """Accepts what is reported before an attempt ends."""

    def __init__(self, settings: DispatcherSettings, state: Database, jobs: Generations, wakeups: Wakeups) -> None:
        self._settings = settings
        self._state = state
        self._jobs = jobs
        self._wakeups = wakeups

    async def report(self, token: TaskToken, request: EventsRequest) -> EventsResponse:
        """Accept events and invalidations of a running task. Raises Stale, Forbidden, Refused.

        A report without any asks how much of the former ones is unfinished.
        """
        fence = request.fence
        token.require([(fence.task_id, fence.attempt)])
        job = await self._jobs.get(UUID(token.job))
        events: list[dict[str, object]] = []
        for index, event in enumerate(request.events):
            check_output(job, event.output, f"events[{index}].output")
            events.append({"id": _item_id(request, f"event/{index}"), **event_row(event)})
        invalidations: list[dict[str, object]] = []
        for index, invalidation in enumerate(request.invalidations):
            check_output(job, invalidation.output, f"invalidations[{index}].output")
            invalidations.append(
                {"id": _item_id(request, f"invalidation/{index}"), **_invalidation_row(invalidation)}
            )

        async def unit() -> statements.Accepted:
            async with self._state.autocommit() as conn:
                return await statements.report(
                    conn,
                    org_id=self._settings.org_id,
                    fence={
                        "task": fence.task_id,
                        "attempt": fence.attempt,
                        "token": fence.lease_token,
                        "claim": token.claim_id,
                    },
                    events=events,
                    invalidations=invalidations,
                )

        accepted = await retrying(unit)
        if not accepted.known:
            audit.stale("events", [(fence.task_id, fence.attempt)])
            raise Stale(f"task {fence.task_id}, attempt {fence.attempt} is not leased with this token")
        self._announce(accepted, "task")
        if events or invalidations:
            return EventsResponse(accepted.events + accepted.invalidations)
        return EventsResponse(0, await self._unfinished(job.id))

    async def _unfinished(self, job_id: UUID) -> dict[str, int]:
        async def unit() -> dict[str, int]:
            async with self._state.autocommit() as conn:
                return await unfinished(conn, job_id=job_id)

        return await retrying(unit)

    async def relay(self, unpacked: Unpacked) -> int:
        """Accept rows of the source outbox; how many were for dataset versions that state knows."""

        async def unit() -> statements.Accepted:
            async with self._state.autocommit() as conn:
                return await statements.relay(conn, events=unpacked.events, invalidations=unpacked.invalidations)

        accepted = await retrying(unit)
        self._announce(accepted, "relay")
        return accepted.known

    def _announce(self, accepted: statements.Accepted, source: str) -> None:
        metrics.ROUTED.labels(source).inc(accepted.events)
        metrics.INVALIDATIONS.inc(accepted.invalidations)
        self._wakeups.publish(accepted.enqueued)


def unpack(rows: Sequence[SourceRow]) -> Unpacked:
    """Source rows sorted by kind, each with its place among all (pure). What has the wrong shape is listed, never
    half accepted."""
    unpacked = Unpacked([], [], [])
    for place, row in enumerate(rows):
        shared = {"place": place, "id": str(row.id), "version": str(row.dataset_version_id)}
        try:
            if row.kind == "Event":
                unpacked.events.append({**shared, "task_id": str(row.task_id), **_source_event(row)})
            else:
                unpacked.invalidations.append({**shared, **_source_invalidation(row)})
        except (msgspec.ValidationError, Refused) as error:
            unpacked.malformed.append((row.id, str(error)))
    return unpacked


def _source_event(row: SourceRow) -> dict[str, object]:
    event = msgspec.convert(row.payload, SourceEvent)
    part = event.partition
    if (event.cursor is None) == (part is None):
        raise Refused("the event has neither a cursor nor a partition, or both")
    if part is None:
        if event.final is None:
            return {"cursor": event.cursor}
        return {"cursor": event.cursor, "final": event.final}
    if event.final is not None:
        raise Refused("the event has a partition and says what is final, which goes with a cursor")
    _check_order(part.start, part.end)
    return {"key": part.key, "start": part.start, "end": part.end}


def _check_order(start: int, end: int) -> None:
    """Refuse what the statement could not take: it would fail for the whole batch, every time."""
    if start > end:
        raise Refused(f"start {start} is past end {end}")


def _source_invalidation(row: SourceRow) -> dict[str, object]:
    given = msgspec.convert(row.payload, SourceInvalidation)
    _check_order(given.start, given.end)
    return {
        "start": given.start,
        "end": given.end,
        "time_start": given.time_start,
        "time_end": given.time_end,
        "reason": given.reason,
        "detail": given.detail,
    }


def _invalidation_row(given: Invalidation) -> dict[str, object]:
    if given.start > given.end:
        raise Refused("invalidations: start is past end", code="BadInvalidation")
    row: dict[str, object] = {
        "output": given.output,
        "start": given.start,
        "end": given.end,
        "reason": given.reason,
        "detail": given.detail,
    }
    for name, value in (("time_start", given.time_start), ("time_end", given.time_end)):
        try:
            row[name] = None if value is None else datetime.fromisoformat(value)
        except ValueError as error:
            raise Refused(f"invalidations.{name}: not an RFC 3339 time", code="BadInvalidation") from error
    return row


def _item_id(request: EventsRequest, item: str) -> str:
    """Deterministic, and bound to the task: another task's report with the same id is another report."""
    return str(uuid.uuid5(UUID(request.fence.task_id), f"{request.id}/{item}"))
