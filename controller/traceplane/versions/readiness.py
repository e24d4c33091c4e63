"""Whether a staged version may take the place of the active one.   (pure)

It may when the difference between what is there to be made and what it has made is empty, or no larger than what
its jobs lag by in ordinary work. A live chain never stands still, so "empty" alone would never hold: what counts is
that nothing waits longer than it does in the running version. A task that died is a rebuild that failed: the
running version stays until somebody retries it or changes the spec.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from traceplane.store.statements.rollouts import Standing

LAG_SECONDS = 10.0
"""A task this young is ordinary work, and no backlog."""
_FIRST_LAG_SECONDS = 60.0
"""The same of a job that the running version has not: nothing says what is ordinary for it."""
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

    @property
    def message(self) -> str:
        """What it waits for, in a line for a condition; empty where it is ready."""
        waiting = [job for job in self.jobs if job.waits and (job.failed or self.phase is not Phase.FAILED)]
        return "; ".join(f"{job.job}: {job.waits}" for job in waiting)


def assess(standing: Sequence[Standing]) -> Rollout:
    """How a staged version stands, given the generations that are built for it."""
    jobs = tuple(_progress(one) for one in standing)
    if any(job.failed for job in jobs):
        return Rollout(Phase.FAILED, jobs)
    return Rollout(Phase.REBUILDING if any(job.waits for job in jobs) else Phase.READY, jobs)


def _progress(one: Standing) -> Progress:
    if one.activation == "Source":
        done, total = one.position or 0, _goal(one)
    else:
        done, total = one.tasks - one.unfinished - one.dead, one.tasks
    return Progress(one.name, done, total, _waits(one), one.dead > 0)


def _waits(one: Standing) -> str | None:
    if one.dead:
        error = one.error or {}
        why = f"{error.get('code') or 'no code'}: {str(error.get('message') or '')[:256]}"
        return f"{one.dead} tasks failed for good, the last with {why}"
    if not one.provisioned:
        return "its tables are being made"
    if one.activation == "Source":
        return _source_waits(one)
    if one.unfinished and (one.oldest_seconds or 0.0) > _allowed(one):
        paused = "; its dispatch is paused" if one.paused else ""
        return f"{one.tasks - one.unfinished} of {one.tasks} tasks are done{paused}"
    return None


def _source_waits(one: Standing) -> str | None:
    if one.position is None:
        return "it has written nothing yet"
    goal = _goal(one)
    return f"it is at {one.position} of {goal}" if goal is not None and one.position < goal else None


def _goal(one: Standing) -> int | None:
    """How far a source has to come: as far as its namesake, and near the head that it knows itself."""
    head: int | None = (one.report or {}).get("head")
    if head is None:
        return one.goal
    # A namesake that follows something longer, another chain say, is no measure.
    return max(head - _SOURCE_LAG, one.goal if one.goal is not None and one.goal <= head else 0)


def _allowed(one: Standing) -> float:
    if not one.replaces:
        return _FIRST_LAG_SECONDS
    return LAG_SECONDS + (one.usual_seconds or 0.0)
