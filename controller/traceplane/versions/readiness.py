"""Whether a staged version may take the place of the active one.   (pure)

It may when the difference between what is there to be made and what it has made is empty, or no larger than what
its jobs lag by in ordinary work. A live chain never stands still, so "empty" alone would never hold: what counts is
that nothing waits that was announced longer ago than it may be, and that every look finds so for as long. By then
what was young at the first look is not any more: so nothing that was there then is left undone.

A task that died is a rebuild that failed: the running version stays until somebody retries it or changes the spec.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

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
    if any(job.failed for job in jobs):
        return Rollout(Phase.FAILED, jobs)
    hold = max((_allowed(one) for one in standing), default=LAG_SECONDS)
    return Rollout(Phase.REBUILDING if any(job.waits for job in jobs) else Phase.READY, jobs, hold)


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
    if one.unfinished and (one.oldest_seconds or 0.0) > _allowed(one):
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
    """How far a source has to come: as far as its namesake, and near the head that it knows itself."""
    head: int | None = (one.report or {}).get("head")
    if head is None:
        return one.goal
    # A namesake that follows something longer, another chain say, is no measure.
    return max(head - _SOURCE_LAG, one.goal if one.goal is not None and one.goal <= head else 0)


def _allowed(one: Standing) -> float:
    if one.activation == "Source":  # its one task runs for ever
        return LAG_SECONDS
    return LAG_SECONDS + min(one.usual_seconds or 0.0, _USUAL_SECONDS)
