"""For how long the former versions of a dataset are kept, by `spec.retention` of its Assets.   (pure)

A policy keeps the newest `versions` (the current one is the first of them), and what was current less than `age`
ago; with both, what either keeps. Of several Assets over one output the most generous counts, and one that says
nothing keeps everything until somebody collects garbage. The outputs of a job go together. What was built and never
taken over is no version that readers had: only an age keeps it. A generation that is kept keeps all that it reads;
one that nobody published follows those that read it, and stays where none of them has a policy.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from traceplane.store.statements.retention import Held

_SIBLING = "another output of its job is kept"
_READ = "what is kept reads it"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the policies say of one output of a generation."""

    output: Held
    kept: bool
    until: datetime | None = None
    """When its age does not keep it any longer; None where no time lets it go, or it may go now."""
    last: bool = False
    """The next version that takes over lets it go."""
    needed: str = ""
    """No policy keeps it, but what one keeps needs it: why."""

    @property
    def due(self) -> bool:
        """A policy lets it go, and none keeps it."""
        return not self.kept and bool(self.output.policies)

    def __str__(self) -> str:
        if self.output.active or self.output.staged:
            return "active" if self.output.active else "staged"
        if self.needed:
            return self.needed
        if not self.output.policies or None in self.output.policies:
            return "until tracectl gc"
        if self.due:
            return "is purged next"
        if self.until is not None:
            return f"until {self.until.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
        return "until another version takes over" if self.last else "as one of the newest"


@dataclass(frozen=True, slots=True)
class Assessed:
    """All outputs of a DAG. `kept` and `due`: generations that must stay, and that a policy lets go."""

    verdicts: tuple[Verdict, ...]
    kept: frozenset[UUID]
    due: frozenset[UUID]


def assess(held: Collection[Held]) -> Assessed:
    """What the policies of a DAG's Assets keep."""
    by_dataset: dict[UUID, list[Held]] = {}
    for output in held:
        by_dataset.setdefault(output.dataset_id, []).append(output)
    alone = [verdict for outputs in by_dataset.values() for verdict in _dataset(outputs)]
    first = {verdict.output.job_id for verdict in alone if verdict.kept}
    kept = _with_upstream(first, held)
    verdicts = [
        replace(one, kept=True, needed=_SIBLING if one.output.job_id in first else _READ)
        if not one.kept and one.output.job_id in kept
        else one
        for one in alone
    ]
    return Assessed(tuple(verdicts), kept, frozenset(one.output.job_id for one in verdicts if one.due))


def _dataset(outputs: Sequence[Held]) -> list[Verdict]:
    """The generations of one output, the newest first: as they were left."""
    current = [one for one in outputs if one.active]
    former = sorted((one for one in outputs if not one.active and not one.staged), key=_left)
    verdicts = [Verdict(one, kept=True) for one in outputs if one.active or one.staged]
    newer = len(current)
    for one in former:
        verdict = _assess(one, newer)
        last = verdict.kept and verdict.until is None and not _assess(one, newer + 1).kept
        verdicts.append(replace(verdict, last=last))
        newer += one.built
    return verdicts


def _assess(output: Held, newer: int) -> Verdict:
    """A former generation; `newer`: how many versions that readers had are newer."""
    found = [_one(output, policy, newer) for policy in output.policies]
    keeping = [until for kept, until in found if kept]
    if not keeping:
        return Verdict(output, kept=False)
    times = [until for until in keeping if until is not None]
    return Verdict(output, kept=True, until=max(times) if len(times) == len(keeping) else None)


def _one(output: Held, policy: Mapping[str, Any] | None, newer: int) -> tuple[bool, datetime | None]:
    """Whether one policy keeps it, and until when; None: until something but time changes."""
    if policy is None:
        return True, None
    if output.built and newer < policy.get("versions", 0):
        return True, None
    age = policy.get("age_seconds", 0)
    return age > _left(output), output.left_at and output.left_at + timedelta(seconds=age)


def _left(output: Held) -> float:
    return output.left_seconds or 0.0


def _with_upstream(jobs: Collection[UUID], held: Collection[Held]) -> frozenset[UUID]:
    reads: dict[UUID, Sequence[UUID]] = {one.job_id: one.reads for one in held}
    found, ahead = set(jobs), list(jobs)
    while ahead:
        more = set(reads.get(ahead.pop(), ())) - found
        found |= more
        ahead += more
    return frozenset(found)
