"""Whether a staged version may take the place of the active one.   (pure)

It may when the difference between what is there to be made and what it has made is empty, or no larger than what
its jobs lag by in ordinary work. A live chain never stands still, so "empty" alone would never hold: what counts is
that nothing waits that was announced longer ago than it may be, and that every look finds so for as long. By then
what was young at the first look is not any more: so nothing that was there then is left undone. What was
written to hot tables is no task of anybody before it is relayed from the data database, so the relay may not be
further behind either.

A task that died is a rebuild that failed: the running version stays until somebody retries it or changes the spec.

What is built over a sample range only (`spec.rollout.preview`) is never ready: with nothing left to do in the range
it is a preview, for people to look at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from traceplane.store.statements.previews import Range
from traceplane.store.statements.rollouts import Standing
from traceplane.tasks import failures

LAG_SECONDS = 10.0
"""What was announced this lately is ordinary work, and no backlog."""
_USUAL_SECONDS = 300.0
"""A job may lag by as much as its namesake of the running version does, up to this: that one may be stuck."""
_SOURCE_LAG = 16
"""Values by which a source may be behind the head that it knows."""


class Phase(StrEnum):
    """How a staged version stands."""

    REBUILDING = "Rebuilding"
    FAILED = "RebuildFailed"
    PREVIEW = "Preview"
    READY = "ReadyToCutOver"


@dataclass(frozen=True, slots=True)
class Progress:
    """One generation that is being built. `done` of `total` are tasks, or values of a source; `waits` is None once
    it is ready."""

    job: str
    done: int
    total: int | None
    waits: str | None
    failed: bool


@dataclass(frozen=True, slots=True)
class Rollout:
    """A staged version's phase, and its jobs."""

    phase: Phase
    jobs: tuple[Progress, ...]
    hold_seconds: float = LAG_SECONDS
    """How long it has to be ready at every look before it takes over."""
    settled: bool = False
    """Whether it was for as long."""
    refused: str | None = None
    """Why it could not take over when it was ready."""
    preview: Range | None = None
    """The range that it is built over for now, inclusive; None: whole."""

    @property
    def message(self) -> str:
        """What it waits for, in a line for a condition; empty where it is ready."""
        waiting = [job for job in self.jobs if job.waits and (job.failed or self.phase is not Phase.FAILED)]
        return "; ".join(f"{job.job}: {job.waits}" for job in waiting)


def share(jobs: Sequence[Progress]) -> float:
    """How much is done of what is known so far, in percent; a job of which nothing is known counts for nothing."""
    parts = [min(job.done / job.total, 1.0) for job in jobs if job.total]
    return 100 * sum(parts) / len(parts) if parts else 0.0


def assess(standing: Sequence[Standing]) -> Rollout:
    """How a staged version stands, given the generations that are built for it."""
    jobs = tuple(_progress(one) for one in standing)
    preview = next((range_ for one in standing if (range_ := _preview(one)) is not None), None)
    if any(job.failed for job in jobs):
        return Rollout(Phase.FAILED, jobs, preview=preview)
    hold = max((_allowed(one) for one in standing), default=LAG_SECONDS)
    built = Phase.READY if preview is None else Phase.PREVIEW
    return Rollout(Phase.REBUILDING if any(job.waits for job in jobs) else built, jobs, hold, preview=preview)


def _preview(one: Standing) -> Range | None:
    if one.preview_start is None or one.preview_end is None:
        return None
    return one.preview_start, one.preview_end


def _progress(one: Standing) -> Progress:
    if one.activation == "Source":
        done, total = one.position or 0, _goal(one)
    else:
        done, total = one.tasks - one.unfinished - one.dead, one.tasks
    return Progress(one.name, done, total, _waits(one), one.dead > 0)


def _waits(one: Standing) -> str | None:
    if one.dead:
        return f"{one.dead} tasks failed for good, the last with {failures.words(one.error, 256)}"
    if not one.provisioned:
        return "its tables are being made"
    if one.activation == "Source":
        return _source_waits(one)
    if (one.unrelayed_seconds or 0.0) > LAG_SECONDS:
        return f"events of hot tables, of all DAGs, are relayed up to {one.unrelayed_seconds:.0f} s ago only"
    if one.short:
        return f"it has not come to {one.preview_end} yet"
    # Of a sample everything is to be done, since people look at it next, and nothing comes to it any more.
    sample = one.preview_end is not None and one.execution_strategy == "PerPartition"
    if one.unfinished and (sample or (one.oldest_seconds or 0.0) > _allowed(one)):
        paused = "; its dispatch is paused" if one.paused else ""
        return f"{one.tasks - one.unfinished} of {one.tasks} tasks are done{paused}"
    return None


def _source_waits(one: Standing) -> str | None:
    goal = _goal(one)
    if one.position is None:
        return "it has written nothing yet"
    if goal is None and not one.replaces:
        return "it has not said how far its chain is"
    return f"it is at {one.position} of {goal}" if goal is not None and one.position < goal else None


def _goal(one: Standing) -> int | None:
    """How far a source has to come: as far as its namesake, and near the head that it knows itself; of a preview no
    further than the end of that."""
    head: int | None = (one.report or {}).get("head")
    goal = one.goal
    if head is not None:
        # A namesake that follows something longer, another chain say, is no measure.
        goal = max(head - _SOURCE_LAG, goal if goal is not None and goal <= head else 0)
    return min((at for at in (goal, one.preview_end) if at is not None), default=None)


def _allowed(one: Standing) -> float:
    if one.activation == "Source":  # its one task runs for ever
        return LAG_SECONDS
    return LAG_SECONDS + min(one.usual_seconds or 0.0, _USUAL_SECONDS)
