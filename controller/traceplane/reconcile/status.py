"""What a DAG and its Jobs show: conditions, counts, the last few failures. Pure, and bounded in size.

A status answers "is it well, and if not, what do I do". Conditions (`readiness`) carry the reason in the words of
its cause (`OOMKilled`, `ImagePullBackOff`, the quota's own message), counts come from state, and everything else
is only pointed at: the status of a DAG with thousands of jobs is as small as that of one with three.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from traceplane.drivers.kube import DAGS, JOBS, Object
from traceplane.reconcile import conditions, names, readiness, written
from traceplane.reconcile.actions import Input, Note, Plan, Status, WorkerView
from traceplane.reconcile.conditions import false, true
from traceplane.reconcile.readiness import JobConditions, Jobs, JobState
from traceplane.store.statements.controller_facts import JobFacts
from traceplane.versions.readiness import share

_FAILURES = 5
_TRANSITIONS = {
    ("DAG", "Valid", "False"): ("Warning", "Invalid"),
    ("DAG", "Ready", "True"): ("Normal", "Ready"),
    ("DAG", "Degraded", "True"): ("Warning", "Degraded"),
    ("Job", "Degraded", "True"): ("Warning", "Degraded"),
}
"""Transitions that become Kubernetes Events: type and reason."""
_TRANSITIONS_TO = {
    ("Staged", "RebuildFailed"): "Warning",
    ("Staged", "AwaitingApproval"): "Normal",
    ("Staged", "Preview"): "Normal",
    ("Valid", readiness.LOST_FIELDS): "Warning",
}
"""The same by type and reason, whatever the status: the type of an Event of that reason."""


def statuses(i: Input, plan: Plan, refused: Mapping[str, str]) -> list[Status]:
    """The status of every Job of the DAG, then the DAG's: once it is Ready, its Jobs show that they are.

    `refused`: by the job's `shown`, why its pods were not admitted.
    """
    shown = {
        job.shown: readiness.of_job(JobState(job, plan.workers.get(job.shown), refused.get(job.shown)))
        for job in (i.facts.running_jobs if i.facts is not None else ())
    }
    facts = {job.name: job for job in i.facts.jobs} if i.facts is not None else {}
    jobs = {name: shown[name] for name in facts}
    staged = {name: conditions for name, conditions in shown.items() if name not in facts}
    found = []
    for obj in i.jobs.values():
        if obj["spec"].get("dag") != i.name or obj["metadata"].get("deletionTimestamp"):
            continue
        if names.projected(obj) and not names.owned_by(obj, i.uid):
            continue  # of a former DAG of this name
        name = obj["spec"].get("name") or obj["metadata"]["name"]
        found.append(Status(JOBS, obj, _job(i, obj, facts.get(name), plan.workers.get(name), jobs.get(name))))
    return [*found, Status(DAGS, i.dag, _dag(i, list(facts.values()), jobs, staged))]


def transitions(status: Status) -> list[Note]:
    """Events for what changed between the status an object has and the one it should have."""
    old = (status.live.get("status") or {}).get("conditions") or []
    notes = []
    for condition in conditions.changed(old, conditions.parsed(status.status["conditions"])):
        event = _TRANSITIONS.get((status.resource.kind, condition.type, condition.status))
        if (condition.type, condition.reason) in _TRANSITIONS_TO:
            event = (_TRANSITIONS_TO[condition.type, condition.reason], condition.reason)
        if event:
            prefix = f"{condition.reason}: " if event[1] != condition.reason else ""
            notes.append(Note(status.live, *event, conditions.bounded(prefix + condition.message, 1000)))
    return notes


def state_unavailable(dag: Object, problems: Sequence[str] | None, error: str, now: datetime) -> Object:
    """Status of a DAG while the state database is away: what was known stays, and the outage is added.

    `problems` are None where it takes the database to find them."""
    kept = ("Staged", "Ready") if problems is not None else ("Valid", "Staged", "Ready")
    known = [c for c in conditions.of(dag) if c["type"] in kept]
    new = [
        *([] if problems is None else [readiness.valid(tuple(problems))]),
        *conditions.parsed(known),
        true("Degraded", "StateUnavailable", error),
    ]
    return {
        **(dag.get("status") or {}),
        # Not `observedGeneration`: this generation was looked at, and nothing could be done about it yet.
        "conditions": conditions.merged(dag, new, now),
    }


def _dag(i: Input, facts: Sequence[JobFacts], jobs: Jobs, staged: Jobs) -> Object:
    status: Object = {
        **conditions.observed(i.dag, readiness.of_dag(i, jobs, staged), i.now),
        "jobs": len(facts),
        "jobsReady": sum(job.ready.status == "True" for job in jobs.values()),
        "tasks": {
            "queued": sum(job.queued for job in facts),
            "running": sum(job.running for job in facts),
            "retrying": sum(job.retrying for job in facts),
            "dead": sum(job.dead for job in facts),
        },
        "failures": _failures(facts),
    }
    if i.facts is not None and i.facts.active_version_id is not None:
        status["activeVersion"] = i.facts.active_name
        status["specHash"] = i.facts.active_spec_hash
    if i.facts is not None and i.facts.staged_version_id is not None:
        status["stagedVersion"] = i.facts.staged_name
        status["progress"] = f"{int(share(i.rollout.jobs if i.rollout else ()))}%"
    return status


def _job(
    i: Input, obj: Object, facts: JobFacts | None, view: WorkerView | None, shown: JobConditions | None
) -> Object:
    mine = tuple(p for p in i.problems if p.startswith(f"Job/{obj['metadata']['name']}:"))
    if i.problems:
        shared = f"DAG {i.name} is not valid; its condition Valid says why"
        valid = false("Valid", "Invalid", conditions.listed(mine) if mine else shared)
    else:
        lost = readiness.without_lost(written.lost_fields(obj))
        valid = lost or true("Valid", "Accepted", f"part of DAG {i.name}")
    missing = false("Ready", "NotRunning", f"no running version of DAG {i.name} has this job")
    new = [valid, shown.ready, shown.degraded] if shown else [valid, missing]
    status = conditions.observed(obj, new, i.now)
    if facts is not None:
        status |= {
            "jobId": str(facts.job_id),
            "configHash": facts.config_hash,
            "queued": facts.queued,
            "running": facts.running,
            "retrying": facts.retrying,
            "failed": facts.dead,
            "lagSeconds": int(facts.oldest_queued_seconds or 0),
            "failures": _failures([facts]),
        }
        if (why := waiting(facts, shown)) is not None:
            status["waiting"] = why
        if view is not None:
            status |= {"workers": view.actual, "desiredWorkers": view.wanted}
    return status


def waiting(facts: JobFacts, shown: JobConditions | None) -> str | None:
    """Why a job does not get on, in one word; None while it does."""
    if shown is not None and (shown.ready.status != "True" or facts.paused):
        return shown.ready.reason
    if shown is not None and shown.degraded.status == "True":
        return shown.degraded.reason
    if facts.queued and not facts.running:
        return "WorkersStarting" if facts.runtime == "Pod" else "Queued"
    return "Retrying" if facts.retrying and not facts.running else None


def _failures(jobs: Iterable[JobFacts]) -> list[Object]:
    """The newest failures, one a job, at most five."""
    failed = sorted(
        ((job, job.last_failure) for job in jobs if job.last_failure),
        key=lambda pair: str(pair[1]["time"]),
        reverse=True,
    )
    return [
        {
            "job": job.name,
            "task": str(failure["task"]),
            "attempt": failure["attempt"],
            "code": str(readiness.last_error(job).get("code", "Unknown"))[:64],
            "message": conditions.bounded(str(readiness.last_error(job).get("message", "")), 256),
            "time": str(failure["time"])[:64],
        }
        for job, failure in failed[:_FAILURES]
    ]
