"""What a DAG and its Jobs show: conditions, counts, the last few failures. Pure, and bounded in size.

A status is the answer to "is it well, and if not, what do I do". So conditions carry the reason in the words of
whatever caused it (`OOMKilled`, `ImagePullBackOff`, the quota's own message), counts come from state, and
everything else stays where it is and is only pointed at: a status of a DAG with thousands of jobs is as small as
that of one with three.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from traceplane.drivers.kube import DAGS, JOBS
from traceplane.reconcile import conditions, names
from traceplane.reconcile.actions import Input, Note, Plan, Status, WorkerView
from traceplane.reconcile.conditions import Condition, false, true, unknown
from traceplane.store.statements.controller_facts import JobFacts

Object = dict[str, Any]

_FAILURES = 5
_TRANSITIONS = {
    ("DAG", "Valid", "False"): ("Warning", "Invalid"),
    ("DAG", "Ready", "True"): ("Normal", "Ready"),
    ("DAG", "Degraded", "True"): ("Warning", "Degraded"),
    ("Job", "Degraded", "True"): ("Warning", "Degraded"),
}
"""Transitions that become Kubernetes Events: type and reason."""


def statuses(i: Input, plan: Plan, refused: Mapping[str, str]) -> list[Status]:
    """The status of every Job of the DAG, then its own: whoever waits for the DAG finds its Jobs told.

    `refused`: by job name, why its pods were not admitted.
    """
    facts = {job.name: job for job in i.facts.jobs} if i.facts is not None else {}
    verdicts = {name: _job_conditions(i, job, plan.workers.get(name), refused) for name, job in facts.items()}
    found = []
    for obj in i.jobs.values():
        if obj["spec"].get("dag") != i.name or obj["metadata"].get("deletionTimestamp"):
            continue
        if names.projected(obj) and not names.owned_by(obj, i.uid):
            continue
        name = obj["spec"].get("name") or obj["metadata"]["name"]
        found.append(Status(JOBS, obj, _job(i, obj, facts.get(name), plan.workers.get(name), verdicts.get(name))))
    return [*found, Status(DAGS, i.dag, _dag(i, facts.values(), verdicts))]


def transitions(status: Status) -> list[Note]:
    """Events for what changed between the status an object has and the one it should have."""
    old = (status.live.get("status") or {}).get("conditions") or []
    new = [Condition(c["type"], c["status"], c["reason"], c["message"]) for c in status.status["conditions"]]
    notes = []
    for condition in conditions.changed(old, new):
        told = _TRANSITIONS.get((status.resource.kind, condition.type, condition.status))
        if condition.type == "Staged" and condition.reason == "RebuildNotSupported":
            told = ("Warning", "RebuildNotSupported")
        if told:
            said = f"{condition.reason}: {condition.message}" if told[1] != condition.reason else condition.message
            notes.append(Note(status.live, *told, conditions.bounded(said, 1000)))
    return notes


def state_unavailable(dag: Object, problems: Sequence[str], error: str, now: datetime) -> Object:
    """Status of a DAG while the state database is away: what was known stays, and what is wrong is said."""
    old: Object = dag.get("status") or {}
    kept = [
        Condition(c["type"], c["status"], c["reason"], c["message"])
        for c in old.get("conditions") or []
        if c["type"] in ("Staged", "Ready")
    ]
    new = [_valid(tuple(problems)), *kept, true("Degraded", "StateUnavailable", error)]
    return {
        **{key: value for key, value in old.items() if key != "conditions"},
        # Not `observedGeneration`: this generation was looked at, and nothing could be done about it yet.
        "conditions": conditions.merged(old.get("conditions") or [], new, _generation(dag), now),
    }


def _dag(i: Input, facts: Iterable[JobFacts], verdicts: Mapping[str, list[Condition]]) -> Object:
    jobs = list(facts)
    ready = sum(_holds(verdict, "Ready") for verdict in verdicts.values())
    old = (i.dag.get("status") or {}).get("conditions") or []
    new = [_valid(i.problems), _staged(i), _dag_ready(i, verdicts), _dag_degraded(jobs, verdicts)]
    status: Object = {
        "observedGeneration": _generation(i.dag),
        "conditions": conditions.merged(old, new, _generation(i.dag), i.now),
        "jobs": len(jobs),
        "jobsReady": ready,
        "tasks": {
            "queued": sum(job.queued for job in jobs),
            "running": sum(job.running for job in jobs),
            "retrying": sum(job.retrying for job in jobs),
            "dead": sum(job.dead for job in jobs),
        },
        "failures": _failures(jobs),
    }
    if i.facts is not None and i.facts.active_version_id is not None:
        status["activeVersion"] = str(i.facts.active_version_id)
        status["specHash"] = i.facts.active_spec_hash
    if i.facts is not None and i.facts.staged_version_id is not None:
        status["stagedVersion"] = str(i.facts.staged_version_id)
    return status


def _job(
    i: Input, obj: Object, facts: JobFacts | None, view: WorkerView | None, verdict: list[Condition] | None
) -> Object:
    old = (obj.get("status") or {}).get("conditions") or []
    mine = tuple(p for p in i.problems if p.startswith(f"Job/{obj['metadata']['name']}:"))
    if i.problems:
        shared = f"DAG {i.name} is not valid; its condition Valid says why"
        valid = false("Valid", "Invalid", conditions.listed(mine) if mine else shared)
    else:
        valid = true("Valid", "Accepted", f"part of DAG {i.name}")
    new = [valid, *(verdict or [false("Ready", "NotRunning", f"no running version of DAG {i.name} has this job")])]
    status: Object = {
        "observedGeneration": _generation(obj),
        "conditions": conditions.merged(old, new, _generation(obj), i.now),
    }
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
        if view is not None:
            status |= {"workers": view.actual, "desiredWorkers": view.wanted}
    return status


def _valid(problems: tuple[str, ...]) -> Condition:
    if problems:
        return false("Valid", "Invalid", conditions.listed(problems))
    return true("Valid", "Accepted", "the spec is a graph that can run")


def _staged(i: Input) -> Condition:
    if i.refusal is not None:
        return false("Staged", "RebuildNotSupported", i.refusal)
    return false("Staged", "NothingStaged", "the active version is the only one")


def _dag_ready(i: Input, verdicts: Mapping[str, list[Condition]]) -> Condition:
    """True where the spec as applied runs and can do its work."""
    running = i.facts is not None and i.facts.active_version_id is not None and i.facts.deleted_at is None
    kept = "; the version that was active before keeps running" if running else ""
    if i.problems:
        return false("Ready", "Invalid", f"the spec is not valid{kept}")
    if i.refusal is not None:
        return false("Ready", "RebuildNotSupported", f"the spec is not deployed{kept}")
    if not i.current:
        return false("Ready", "NotDeployed", "the spec is not deployed yet")
    waiting = {name: _of(verdict, "Ready") for name, verdict in verdicts.items() if not _holds(verdict, "Ready")}
    if waiting:
        first = next(iter(waiting.values()))
        lines = [f"{name}: {condition.message}" for name, condition in waiting.items()]
        return false("Ready", first.reason, conditions.listed(lines, 1024))
    return true("Ready", "Running", f"{len(verdicts)} jobs are ready")


def _dag_degraded(jobs: Sequence[JobFacts], verdicts: Mapping[str, list[Condition]]) -> Condition:
    bad = {name: _of(verdict, "Degraded") for name, verdict in verdicts.items() if _holds(verdict, "Degraded")}
    if not bad:
        return false("Degraded", "AsExpected")
    first = next(iter(bad.values()))
    return true(
        "Degraded", first.reason, conditions.listed([f"{name}: {c.message}" for name, c in bad.items()], 1024)
    )


def _job_conditions(
    i: Input, job: JobFacts, view: WorkerView | None, refused: Mapping[str, str]
) -> list[Condition]:
    return [_job_ready(job, view), _job_degraded(job, view, refused.get(job.name))]


def _job_ready(job: JobFacts, view: WorkerView | None) -> Condition:
    if not job.provisioned:
        return false("Ready", "Provisioning", "its tables are being made")
    if job.activation == "Source" and job.runtime == "Pod" and (view is None or view.ready < 1):
        trouble = view.trouble[0] if view and view.trouble else None
        if trouble:
            return false("Ready", trouble.reason, f"its pod is not available: {trouble.message[:512]}")
        return false("Ready", "SourceStarting", "its pod is not available yet")
    if job.paused:
        return true("Ready", "Paused", "dispatch is paused")
    return true("Ready", "Running", "")


def _job_degraded(job: JobFacts, view: WorkerView | None, refused: str | None) -> Condition:
    """The most urgent thing that is wrong with a job."""
    if refused is not None:
        return true("Degraded", "PodsRefused", f"the API server admits no more pods: {refused[:1024]}")
    trouble = [fact for fact in view.trouble if not fact.blameless] if view else []
    if trouble:
        return true("Degraded", trouble[0].reason, trouble[0].message[:1024])
    if job.dead:
        code = _error(job).get("code", "")
        return true("Degraded", "TasksDead", f"{job.dead} tasks failed for good, the last with {code or 'no code'}")
    return false("Degraded", "AsExpected")


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
            "code": str(_error(job).get("code", "Unknown"))[:64],
            "message": conditions.bounded(str(_error(job).get("message", "")), 256),
            "time": str(failure["time"])[:64],
        }
        for job, failure in failed[:_FAILURES]
    ]


def _error(job: JobFacts) -> Mapping[str, Any]:
    return (job.last_failure or {}).get("error") or {}


def _of(verdict: list[Condition], kind: str) -> Condition:
    return next((c for c in verdict if c.type == kind), unknown(kind, "Unknown"))


def _holds(verdict: list[Condition], kind: str) -> bool:
    return _of(verdict, kind).status == "True"


def _generation(obj: Object) -> int:
    return int(obj["metadata"].get("generation") or 0)
