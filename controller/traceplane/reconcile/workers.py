"""Worker pods of one reactive job: which to start, which to remove, which leases to end early. Pure.

A pod's end is kept as long as it matters: a failed worker stays for its backoff, so that a person can read its
log, and so that the time of its end is the controller's memory of when to try again. The next one waits by
anybody's fault: what ended the last may still be there. How often a slot failed in a row stands on the next pod as
an annotation. Nothing of it lives in the controller.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from traceplane.drivers.kube import PODS, Object
from traceplane.reconcile import names, podnews, podspec
from traceplane.reconcile.actions import Create, Delete, Input, Note, Plan, Release, WorkerView
from traceplane.reconcile.podfacts import Life, PodFact, fact_of
from traceplane.reconcile.podreasons import NODE_LOST, Fault
from traceplane.reconcile.scaling import Demand, free_slots, restart_delay, wanted_workers
from traceplane.store.statements.controller_facts import JobFacts

RESTARTS = "trace.dev/restarts"
"""Annotation of a pod: how many of its predecessors in the slot failed in a row."""
_STEADY_SECONDS = 600.0
"""A worker that lived this long failed for a new reason: its slot starts counting again."""
_LOST_SECONDS = 30.0
"""A pod that is still ending this long after its grace period is on a node that does not answer."""


@dataclass(slots=True)
class _Slots:
    """The pods of one generation, sorted by what they mean."""

    alive: list[Object] = field(default_factory=list)
    cooling: int = 0
    occupied: set[int] = field(default_factory=set)
    restarts: dict[int, int] = field(default_factory=dict)
    pending: int = 0
    ready: int = 0
    trouble: list[PodFact] = field(default_factory=list)


def worker(i: Input, job: JobFacts) -> podspec.Worker:
    """What a pod of the job is built from."""
    return podspec.Worker(
        dag=i.name,
        job=job.name,
        job_id=str(job.job_id),
        config_hash=job.config_hash,
        rpc_pools=i.rpc_pools.get(job.shown, ()),
        placement=job.placement,
        idle_timeout_seconds=job.idle_timeout_seconds,
    )


def look(i: Input, pod: Object, plan: Plan) -> PodFact:
    """The one thing to know about a pod, with what its kubelet warned of."""
    fact = fact_of(pod)
    if fact.life is Life.PENDING:
        # Events wake nobody.
        plan.again_in(podnews.PATIENCE_SECONDS)
    return podnews.explained(pod, fact, i.warnings.get(pod["metadata"]["uid"], ()), i.now)


def refusal(i: Input, job: JobFacts) -> PodFact | None:
    """Why no pod of the job is made: it asks for what the installation does not give to jobs."""
    why = podspec.refusal(worker(i, job), i.platform)
    return PodFact(Life.PENDING, "NotAllowed", why, Fault.SETUP) if why else None


def decide(i: Input, job: JobFacts, plan: Plan, owner: Object) -> None:
    """Bring the pods of one job generation to the wanted number."""
    slots = _sort(i, job, plan)
    if refused := refusal(i, job):
        plan.workers[job.shown] = WorkerView(
            0, len(slots.alive), slots.pending, slots.ready, (refused, *slots.trouble)
        )
        return
    wanted = wanted_workers(_demand(job))
    _retire(i, job, slots, wanted, plan)
    for slot in free_slots(wanted, len(slots.alive) + slots.cooling, slots.occupied, job.max_workers):
        plan.creates.append(Create(job.shown, _pod(i, job, slot, slots.restarts.get(slot, 0), owner)))
    plan.workers[job.shown] = WorkerView(wanted, len(slots.alive), slots.pending, slots.ready, tuple(slots.trouble))


def is_of(pod: Object, job: JobFacts, uid: str) -> bool:
    """Whether a pod is a worker of this generation of this life of the DAG."""
    labels = pod["metadata"].get("labels") or {}
    generation = names.hash8(job.config_hash)
    return (
        labels.get(names.JOB) == job.name
        and labels.get(names.GENERATION) == generation
        and names.owned_by(pod, uid)
    )


def _demand(job: JobFacts) -> Demand:
    return Demand(
        queued=job.queued if job.provisioned else 0,
        running=job.running,
        min_workers=job.min_workers,
        max_workers=job.max_workers,
        max_concurrency=job.max_concurrency,
        one_at_a_time=job.execution_strategy == "PerUpdate",
        paused=job.paused,
    )


def _sort(i: Input, job: JobFacts, plan: Plan) -> _Slots:
    slots = _Slots()
    for pod in (pod for pod in i.pods if is_of(pod, job, i.uid)):
        slot = names.slot_of(pod["metadata"]["name"])
        fact = look(i, pod, plan)
        if slot is not None:
            slots.occupied.add(slot)
        if fact.life in (Life.PENDING, Life.RUNNING):
            slots.alive.append(pod)
            slots.pending += fact.life is Life.PENDING
            slots.ready += fact.life is Life.RUNNING and not fact.reason
            slots.trouble += [fact] if fact.reason else []
        elif fact.life is Life.ENDING:
            release_if_lost(i, pod, plan)
            if fact.reason:
                note_end(i, pod, fact, plan)
        else:
            _reap(i, pod, slot, fact, slots, plan)
    return slots


def _reap(i: Input, pod: Object, slot: int | None, fact: PodFact, slots: _Slots, plan: Plan) -> None:
    """A pod that ended: its lease ends with it, and it goes, at once or after its backoff."""
    if fact.life is Life.FAILED:
        release(i, pod, fact, plan)
        note_end(i, pod, fact, plan)
        slots.trouble.append(fact)
        failures = 1 if _steady(fact) else restarts(pod) + 1
        left = restart_delay(failures) - since(i.now, fact.ended_at)
        if left > 0:
            slots.cooling += 1
            plan.again_in(left)
            return
        if slot is not None:
            slots.restarts[slot] = failures
    # The successor carries how often the slot failed. Were the name not free, because of a sidecar's grace, the pod
    # would go and its count with it.
    plan.deletes.append(Delete(PODS, pod, fact.reason or "Finished", now=fact.life is Life.FAILED))
    # The name is free once the pod is deleted; the next run starts its successor.
    if slot is not None:
        slots.occupied.discard(slot)


def _retire(i: Input, job: JobFacts, slots: _Slots, wanted: int, plan: Plan) -> None:
    """Idle pods that are too many for `maxWorkers`, or made from an older template, are deleted."""
    if not slots.alive:
        return  # as of most jobs, most of the time: their templates are not made for nothing
    ordered = sorted(slots.alive, key=lambda pod: pod["metadata"]["name"])
    surplus = len(ordered) - max(job.max_workers, wanted)
    digest = _digest(i, job)
    for pod in reversed(ordered):
        if is_busy(i, pod):
            continue
        outdated = (pod["metadata"].get("annotations") or {}).get(names.SPEC_HASH) not in digest
        if surplus > 0 or outdated:
            plan.deletes.append(Delete(PODS, pod, "Outdated" if outdated else "Surplus"))
            slots.alive.remove(pod)
            surplus -= 1


def _digest(i: Input, job: JobFacts) -> set[str]:
    """Hashes of the templates that a pod of this job may have: as a kept worker, or as one that idles out."""
    owner: Object = {}
    pods = (_pod(i, job, slot, 0, owner) for slot in (0, job.max_workers))
    return {pod["metadata"]["annotations"][names.SPEC_HASH] for pod in pods}


def _pod(i: Input, job: JobFacts, slot: int, failures: int, owner: Object) -> Object:
    built = worker(i, job)
    if slot < job.min_workers:
        # One of the kept ones: were it to leave when idle, it would only be started again.
        built = replace(built, idle_timeout_seconds=None)
    pod = podspec.pod(built, i.platform, slot, owner)
    if failures:
        pod["metadata"]["annotations"][RESTARTS] = str(failures)
    return pod


def is_busy(i: Input, pod: Object) -> bool:
    """Whether the worker in a pod holds a lease."""
    return i.facts is not None and worker_id(pod) in i.facts.busy_workers


def worker_id(pod: Object) -> str:
    """The id under which the worker in a pod claims."""
    return podspec.worker_id(pod["metadata"]["name"], pod["metadata"]["uid"])


def release(i: Input, pod: Object, fact: PodFact, plan: Plan) -> None:
    """End the attempt of a pod that is known to have ended, long before its lease would."""
    if is_busy(i, pod):
        plan.releases.append(Release(worker_id(pod), fact.reason, fact.message[:1024], fact.blameless))


def release_if_lost(i: Input, pod: Object, plan: Plan) -> None:
    """A pod that should have ended long ago, on a node that does not say so."""
    if is_lost(i, pod):
        release(
            i,
            pod,
            PodFact(Life.ENDING, NODE_LOST.reason, "the node of the pod does not answer", NODE_LOST.fault),
            plan,
        )


def is_lost(i: Input, obj: Object, grace: float = 0) -> bool:
    """Whether an object should have been gone for a while: deleted, and more than `grace` seconds over its time."""
    deadline = obj["metadata"].get("deletionTimestamp")
    return bool(deadline and (i.now - datetime.fromisoformat(deadline)).total_seconds() > grace + _LOST_SECONDS)


def note_end(i: Input, pod: Object, fact: PodFact, plan: Plan) -> None:
    """An Event on the DAG: a worker ended badly, or was taken away."""
    reason = "WorkerEvicted" if fact.fault is Fault.PLACE else "WorkerFailed"
    message = f"pod {pod['metadata']['name']}: {fact.reason}: {fact.message[:512]}"
    plan.notes.append(Note(i.dag, "Warning", reason, message))


def restarts(pod: Object) -> int:
    """How many predecessors of the pod failed in a row."""
    text = (pod["metadata"].get("annotations") or {}).get(RESTARTS, "0")
    return int(text) if text.isdigit() else 0


def _steady(fact: PodFact) -> bool:
    return bool(
        fact.started_at and fact.ended_at and (fact.ended_at - fact.started_at).total_seconds() > _STEADY_SECONDS
    )


def since(now: datetime, moment: datetime | None) -> float:
    """Seconds since `moment`; long ago where it is not known."""
    return (now - moment).total_seconds() if moment else float("inf")
