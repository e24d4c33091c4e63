"""Whether a DAG and its Jobs are well. Pure.

A condition is decided by a chain of checks, each of one cause. The first check that applies gives the condition,
so the order of a chain is the order of urgency: what a person has to mend first stands first. What comes of the
chain where no check applies is the good case.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from traceplane.reconcile import conditions, written
from traceplane.reconcile.actions import Input, WorkerView
from traceplane.reconcile.conditions import Condition, false, true
from traceplane.store.statements.controller_facts import JobFacts
from traceplane.tasks import failures
from traceplane.versions.readiness import Phase
from traceplane.versions.rollout import MANUAL

LOST_FIELDS = "FieldsDropped"
"""Reason of a condition Valid that holds, of an object whose author meant something else."""
_LISTED_BYTES = 1024
"""Of the jobs that a DAG's condition lists; each Job's own condition has the whole message."""


@dataclass(frozen=True, slots=True)
class JobState:
    """One job of the running version: its facts and pods. `refused`: why its pods were not admitted."""

    facts: JobFacts
    view: WorkerView | None
    refused: str | None


@dataclass(frozen=True, slots=True)
class JobConditions:
    """What a job shows."""

    ready: Condition
    degraded: Condition


Jobs = Mapping[str, JobConditions]
"""By name, the jobs of the running version."""
DagCheck = Callable[[Input, Jobs], Condition | None]
JobCheck = Callable[[JobState], Condition | None]


def of_job(job: JobState) -> JobConditions:
    """The conditions of one job."""
    return JobConditions(
        _first(JOB_READY, job) or true("Ready", "Running", ""),
        _first(JOB_DEGRADED, job) or false("Degraded", "AsExpected"),
    )


def of_dag(i: Input, jobs: Jobs, staged: Jobs) -> list[Condition]:
    """The conditions of the DAG. `staged` are the jobs that are built for the staged version."""
    return [
        valid(i.problems, written.lost_fields(i.dag)),
        _first(DAG_STAGED, i, jobs) or false("Staged", "NothingStaged", "the active version is the only one"),
        _first(DAG_READY, i, jobs) or true("Ready", "Running", f"{len(jobs)} jobs are ready"),
        _first(DAG_DEGRADED, i, {**jobs, **staged}) or false("Degraded", "AsExpected"),
    ]


def valid(problems: tuple[str, ...], lost: tuple[str, ...] = ()) -> Condition:
    """Whether the spec as applied is a graph that can run. `lost`: fields that the API server did not keep."""
    if problems:
        return false("Valid", "Invalid", conditions.listed((*problems, *lost)))
    return without_lost(lost) or true("Valid", "Accepted", "the spec is a graph that can run")


def without_lost(lost: tuple[str, ...]) -> Condition | None:
    """What is valid but for fields that nobody kept; None where there are none."""
    if not lost:
        return None
    return true("Valid", LOST_FIELDS, f"valid without fields that were dropped: {conditions.listed(lost)}")


# Is a new version built beside the running one?


def rebuild_failed(i: Input, _jobs: Jobs) -> Condition | None:
    """It cannot become whole by itself; what runs is not touched by that."""
    return false("Staged", Phase.FAILED, _staged(i)) if _phase(i) is Phase.FAILED else None


def rebuilding(i: Input, _jobs: Jobs) -> Condition | None:
    """The staged version catches up with what there is to be made."""
    return true("Staged", Phase.REBUILDING, _staged(i)) if _phase(i) is Phase.REBUILDING else None


def ready_to_cut_over(i: Input, _jobs: Jobs) -> Condition | None:
    """It has caught up. It takes over by itself, or when somebody approves."""
    if i.rollout is None or i.rollout.phase is not Phase.READY or i.facts is None:
        return None
    if i.rollout.refused is not None:
        said = f"{i.facts.staged_name} is ready and cannot take over: {i.rollout.refused}"
        return false("Staged", "CutOverRefused", said)
    # At the first look, what its jobs hand on to each other may be too young to count: it is asked for no approval
    # before every look for a while has found nothing left.
    if i.rollout.settled and waits_for_approval(i):
        said = f"{i.facts.staged_name} is ready: `tracectl rollout approve {i.name}` lets it take over"
        return true("Staged", "AwaitingApproval", said)
    return true("Staged", Phase.READY, f"{i.facts.staged_name} is ready to take over")


def preview_is_built(i: Input, _jobs: Jobs) -> Condition | None:
    """It has all of the sample range that the spec gives; the rest is built when that is removed."""
    if i.rollout is None or i.rollout.phase is not Phase.PREVIEW or i.facts is None:
        return None
    said = f"{i.facts.staged_name} is built over {_over(i)} only: `tracectl diff` compares that; remove "
    return true("Staged", Phase.PREVIEW, f"{said}spec.rollout.preview to have the rest built and it take over")


def waits_for_approval(i: Input) -> bool:
    """Whether the staged version takes over only when somebody says so."""
    return i.graph is not None and i.graph.cutover == MANUAL and i.facts is not None and not i.facts.approved


# Does the spec as applied run, and can it do its work?


def spec_invalid(i: Input, _jobs: Jobs) -> Condition | None:
    """Nothing else can hold for a spec that is no graph. The condition Valid has the reasons."""
    return false("Ready", "Invalid", f"the spec is not valid{_still_running(i)}") if i.problems else None


def rolled_back(i: Input, _jobs: Jobs) -> Condition | None:
    """Somebody went back to a version before; the spec is deployed again when it changes."""
    if not i.held or i.facts is None:
        return None
    back = f"{i.facts.active_name} runs, and the spec is held off until it changes"
    return false("Ready", "RolledBack", f"{back}: revert it, mend it, or `tracectl rollout resume {i.name}`")


def being_rebuilt(i: Input, jobs: Jobs) -> Condition | None:
    """The version of the spec is built beside the one that runs."""
    staged = _first(DAG_STAGED, i, jobs)
    if staged is None or i.facts is None:
        return None
    return false("Ready", staged.reason, f"{staged.message}; {i.facts.active_name} keeps running")


def not_deployed(i: Input, _jobs: Jobs) -> Condition | None:
    """State runs another version than the spec asks for, or none: a deployment is under way."""
    return None if i.current else false("Ready", "NotDeployed", "the spec is not deployed yet")


def jobs_not_ready(_i: Input, jobs: Jobs) -> Condition | None:
    """A DAG is as ready as its jobs. The reason is that of the first, so that a short output shows a cause."""
    waiting = {name: job.ready for name, job in jobs.items() if job.ready.status != "True"}
    return _of_jobs("False", waiting)


def all_paused(_i: Input, jobs: Jobs) -> Condition | None:
    """Ready as its jobs are, with their reason: the DAG does nothing because that is wanted."""
    paused_all = jobs and all(job.ready.reason == "Paused" for job in jobs.values())
    return true("Ready", "Paused", "dispatch of every job is paused") if paused_all else None


def catching_up(i: Input, _jobs: Jobs) -> Condition | None:
    """It serves and works, and has not taken up all yet that it missed while another version was active."""
    if i.facts is None or not i.facts.catching_up:
        return None
    return true("Ready", "CatchingUp", f"{i.facts.active_name} takes up what it missed while it was not active")


# Does something need a person, or is it being retried?


def rebuild_needs_a_person(i: Input, _jobs: Jobs) -> Condition | None:
    """The old version serves, but the change does not get through."""
    if _phase(i) is not Phase.FAILED:
        return None
    return true("Degraded", Phase.FAILED, f"{_staged(i)}; `tracectl retry` the tasks, or change the spec")


def jobs_degraded(_i: Input, jobs: Jobs) -> Condition | None:
    """What is wrong with a job is wrong with its DAG."""
    return _of_jobs("True", {name: job.degraded for name, job in jobs.items() if job.degraded.status == "True"})


# Can a job do its work?


def tables_missing(job: JobState) -> Condition | None:
    """Its tasks are not handed out before its tables exist."""
    return None if job.facts.provisioned else false("Ready", "Provisioning", "its tables are being made")


def source_unavailable(job: JobState) -> Condition | None:
    """A source is its pod. Workers of a reactive job come and go with its queue, and say nothing of readiness."""
    view = job.view
    if job.facts.activation != "Source" or job.facts.runtime != "Pod" or (view is not None and view.ready >= 1):
        return None
    if view is None or not view.trouble:
        return false("Ready", "SourceStarting", "its pod is not available yet")
    trouble = min(view.trouble, key=lambda fact: fact.fault)
    return false("Ready", trouble.reason, f"its pod is not available: {trouble.message[:512]}")


def paused(job: JobState) -> Condition | None:
    """Ready, with a reason of its own: a pause is wanted, and must not hold up `kubectl wait` for the DAG."""
    return true("Ready", "Paused", "dispatch is paused") if job.facts.paused else None


def source_stalled(job: JobState) -> Condition | None:
    """Its run says that it does not get on, and why. The next report that says otherwise makes it Ready again."""
    report = job.facts.report
    if report is None or report["healthy"]:
        return None
    return false("Ready", "SourceStalled", report["message"] or "it does not advance, and does not say why")


def source_failed(job: JobState) -> Condition | None:
    """A source has one task, whose run never ends: while that has failed, nothing is written."""
    facts = job.facts
    if facts.activation != "Source" or not (facts.retrying or facts.dead):
        return None
    then = "it is tried again" if facts.retrying else "it waits for `tracectl retry`"
    why = failures.words(last_error(facts), 1024)
    return false("Ready", "SourceStalled", f"its run failed and {then}: {why}")


def source_reporting(job: JobState) -> Condition | None:
    """All is well, in the source's own words: by which rules it reads its chain, say."""
    report = job.facts.report
    return None if report is None else true("Ready", "Running", report["message"])


# Does a job need a person, or is it being retried?


def pods_refused(job: JobState) -> Condition | None:
    """No pod, no work: a quota or an admission policy has to be changed first."""
    if job.refused is None:
        return None
    return true("Degraded", "PodsRefused", f"the API server admits no more pods: {job.refused[:1024]}")


def pods_failing(job: JobState) -> Condition | None:
    """Pods that ended or cannot start, by anybody's fault; what a person has to mend stands first."""
    if job.view is None or not job.view.trouble:
        return None
    trouble = min(job.view.trouble, key=lambda fact: fact.fault)
    return true("Degraded", trouble.reason, trouble.message[:1024])


def tasks_dead(job: JobState) -> Condition | None:
    """Tasks without attempts left wait for `tracectl retry`."""
    if not job.facts.dead:
        return None
    code = last_error(job.facts).get("code") or "no code"
    return true("Degraded", "TasksDead", f"{job.facts.dead} tasks failed for good, the last with {code}")


DAG_STAGED: tuple[DagCheck, ...] = (rebuild_failed, rebuilding, preview_is_built, ready_to_cut_over)
DAG_READY: tuple[DagCheck, ...] = (
    spec_invalid,
    rolled_back,
    being_rebuilt,
    not_deployed,
    jobs_not_ready,
    all_paused,
    catching_up,
)
DAG_DEGRADED: tuple[DagCheck, ...] = (rebuild_needs_a_person, jobs_degraded)
JOB_READY: tuple[JobCheck, ...] = (
    tables_missing,
    source_unavailable,
    paused,
    source_stalled,
    source_failed,
    source_reporting,
)
JOB_DEGRADED: tuple[JobCheck, ...] = (pods_refused, pods_failing, tasks_dead)


def last_error(job: JobFacts) -> Mapping[str, Any]:
    """The error of the job's newest failure; empty where there is none."""
    return (job.last_failure or {}).get("error") or {}


def _first(chain: tuple[Callable[..., Condition | None], ...], *about: object) -> Condition | None:
    return next((condition for check in chain if (condition := check(*about)) is not None), None)


def _phase(i: Input) -> Phase | None:
    return i.rollout.phase if i.rollout is not None else None


def _staged(i: Input) -> str:
    """The staged version and what it waits for."""
    assert i.rollout is not None, "asked only where something is staged"
    over = f" (over {_over(i)} only, as spec.rollout.preview says)" if i.rollout.preview else ""
    return f"{i.facts.staged_name if i.facts else None}{over}: {i.rollout.message}"


def _over(i: Input) -> str:
    """The range of the preview."""
    return "{}-{}".format(*i.rollout.preview) if i.rollout is not None and i.rollout.preview else ""


def _still_running(i: Input) -> str:
    running = i.facts is not None and i.facts.active_version_id is not None and i.facts.deleted_at is None
    return "; the version that was active before keeps running" if running else ""


def _of_jobs(status: str, found: Mapping[str, Condition]) -> Condition | None:
    """The DAG's condition of the type and with the first reason of those of its jobs; None where there are none."""
    for first in found.values():
        lines = [f"{name}: {condition.message}" for name, condition in found.items()]
        return Condition(first.type, status, first.reason, conditions.listed(lines, _LISTED_BYTES))
    return None
