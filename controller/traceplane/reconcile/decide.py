"""All that follows from one look at a DAG: objects to make, put right and remove. Pure.

The chain of `STEPS` is the whole of it; each step decides about one kind of object and adds to the plan. Order
matters only for reading. What runs follows from state (the active version, and the one staged beside it), never
from a spec that has not been deployed: an invalid or refused spec changes nothing here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from traceplane.drivers.kube import ASSETS, DEPLOYMENTS, FIELD_MANAGER, JOBS, PODS, Object, Resource
from traceplane.reconcile import names, podspec, projection, workers, written
from traceplane.reconcile.actions import Apply, Delete, Disown, Input, Note, Plan, WorkerView
from traceplane.reconcile.podfacts import Life, PodFact, fact_of
from traceplane.reconcile.podreasons import Fault
from traceplane.store.statements.controller_facts import JobFacts

_ENDED_SECONDS = 300.0
"""How long an ended pod of a source is kept, and its reason shown."""


def decide(i: Input) -> Plan:
    """The plan for one DAG that is not being deleted."""
    plan = Plan()
    for step in STEPS:
        step(i, plan)
    return plan


def remove_former_life(i: Input, plan: Plan) -> None:
    """What belongs to a deleted DAG of the same name goes: it is never adopted, whatever its labels say."""
    owned: tuple[tuple[Resource, tuple[Object, ...]], ...] = (
        (PODS, i.pods),
        (DEPLOYMENTS, i.deployments),
        (JOBS, tuple(i.jobs.values())),
        (ASSETS, tuple(i.assets.values())),
    )
    for resource, objects in owned:
        for obj in objects:
            former = _of_dag(i, obj) and not names.owned_by(obj, i.uid)
            if former and not obj["metadata"].get("deletionTimestamp"):
                plan.deletes.append(Delete(resource, obj, "FormerLife", last=resource is DEPLOYMENTS))


def project_jobs(i: Input, plan: Plan) -> None:
    """Each inline job of the running version is shown as a Job object, and put right where it was changed."""
    if not i.current or i.graph is None:
        return
    wanted = [projection.job(i.dag, node) for node in i.graph.jobs if node.declared_by is None]
    for obj in wanted:
        _project(i, plan, JOBS, obj, i.jobs.get(obj["metadata"]["name"]))
    _prune(i, plan, JOBS, i.jobs, {obj["metadata"]["name"] for obj in wanted})


def project_assets(i: Input, plan: Plan) -> None:
    """Each publication without an Asset of a user's gets one; an Asset that a user took over is left to him."""
    if not i.current or i.graph is None:
        return
    published: set[str] = set()
    for publication in i.graph.publications:
        live = i.assets.get(publication.asset)
        published.add(publication.asset)
        if live is not None and names.owned_by(live, i.uid) and _taken_over(live):
            plan.disowned.append(Disown(live))
        elif live is None or names.projected(live):
            _project(i, plan, ASSETS, projection.asset(i.dag, i.graph, publication), live)
    _prune(i, plan, ASSETS, i.assets, published)


def run_sources(i: Input, plan: Plan) -> None:
    """An AlwaysOn source of the running version has a Deployment; one of a former version, or name, is stopped."""
    wanted = set()
    for job in _jobs(i, "Source"):
        obj = podspec.deployment(workers.worker(i, job), i.platform, names.owner(i.dag, "DAG"))
        name = obj["metadata"]["name"]
        wanted.add(name)
        _reap_source(i, job, plan)
        live = next((d for d in i.deployments if d["metadata"]["name"] == name), None)
        if refused := workers.refusal(i, job):
            # What it did before goes on: its former Deployment stays until its successor may start.
            wanted |= {d["metadata"]["name"] for d in i.deployments if _serves(d, job)}
            view = _source_view(i, job, live, plan)
            plan.workers[job.shown] = replace(view, trouble=(refused, *view.trouble))
            continue
        if live is None and (before := _predecessors(i, job)):
            plan.again_in(2.0)
            plan.notes += [_waits(i, job, pod) for pod in before if _kept_by_others(pod)][:1]
            plan.workers[job.shown] = _source_view(i, job, live, plan)
            continue
        if live is None:
            plan.notes.append(
                Note(i.dag, "Normal", "SourceStarted", f"source {job.name} runs as Deployment {name}")
            )
        _project(i, plan, DEPLOYMENTS, projection.restarted_as(live, obj), live)
        plan.workers[job.shown] = _source_view(i, job, live, plan)
    if i.facts is not None:
        owned = {d["metadata"]["name"]: d for d in i.deployments}
        # It goes after its pods, so that its being gone says that they are.
        _prune(i, plan, DEPLOYMENTS, owned, wanted, last=True)


def _predecessors(i: Input, job: JobFacts) -> list[Object]:
    """What may still run of a job that has no Deployment as wanted: its successor starts when that has ended.

    A Deployment may be gone before its pods are. Bounded: a pod on a node that does not answer keeps nobody
    waiting. The lease fences it.
    """
    # The time of deletion of a pod is when its grace is over, that of a Deployment when it was asked for.
    deployments = [d for d in i.deployments if _precedes(i, d, job) and _of_dag(i, d)]
    left = [d for d in deployments if not workers.is_lost(i, d, i.platform.grace_seconds)]
    ended = (Life.FINISHED, Life.FAILED)
    pods = [p for p in i.pods if _precedes(i, p, job) and fact_of(p).life not in ended]
    return [*left, *(pod for pod in pods if not workers.is_lost(i, pod))]


def _precedes(i: Input, obj: Object, job: JobFacts) -> bool:
    """Whether an object serves a job and no other generation of it that runs: two versions work side by side."""
    others = {names.hash8(other.config_hash) for other in _jobs(i, "Source") if other.job_id != job.job_id}
    # A generation may follow itself, after its Deployment was deleted or its DAG applied anew.
    beside = names.owned_by(obj, i.uid) or (names.controller_of(obj) or {}).get("kind") == "ReplicaSet"
    return _serves(obj, job) and not (beside and obj["metadata"]["labels"].get(names.GENERATION) in others)


def _kept_by_others(obj: Object) -> bool:
    """Whether a pod without a Deployment is not going: its ReplicaSet was left behind (`--cascade=orphan`)."""
    reference = names.controller_of(obj)
    replicated = reference is not None and reference.get("kind") == "ReplicaSet"
    return replicated and not obj["metadata"].get("deletionTimestamp")


def _waits(i: Input, job: JobFacts, pod: Object) -> Note:
    name, owner = pod["metadata"]["name"], (names.controller_of(pod) or {}).get("name")
    message = f"source {job.name} starts when pod {name} has ended; if it stays, delete ReplicaSet {owner}"
    return Note(i.dag, "Normal", "SourceWaits", message)


def _serves(obj: Object, job: JobFacts) -> bool:
    return bool((obj["metadata"].get("labels") or {}).get(names.JOB) == job.name)


def _of_dag(i: Input, obj: Object) -> bool:
    """Whether this DAG, or a deleted one of its name, controls an object."""
    reference = names.controller_of(obj)
    return reference is not None and (reference.get("kind"), reference.get("name")) == ("DAG", i.name)


def run_workers(i: Input, plan: Plan) -> None:
    """A reactive job with runtime Pod has as many workers as its queue asks for."""
    for job in _jobs(i, "Reactive"):
        workers.decide(i, job, plan, names.owner(i.dag, "DAG"))


def drain_former_generations(i: Input, plan: Plan) -> None:
    """Workers of generations that run no more finish what they hold, and go when they hold nothing."""
    if i.facts is None:
        return
    for pod in i.pods:
        former = names.owned_by(pod, i.uid) and not any(
            workers.is_of(pod, job, i.uid) for job in i.facts.running_jobs
        )
        if not former:
            continue
        fact = fact_of(pod)
        if fact.life is Life.ENDING:
            workers.release_if_lost(i, pod, plan)
        elif fact.life in (Life.FINISHED, Life.FAILED) or not workers.is_busy(i, pod):
            if fact.life is Life.FAILED:
                workers.release(i, pod, fact, plan)
            plan.deletes.append(Delete(PODS, pod, "FormerGeneration"))


STEPS: tuple[Callable[[Input, Plan], None], ...] = (
    remove_former_life,
    project_jobs,
    project_assets,
    run_sources,
    run_workers,
    drain_former_generations,
)


def _jobs(i: Input, activation: str) -> list[JobFacts]:
    """Jobs of the running and the staged version that run in pods."""
    if i.facts is None or i.facts.deleted_at is not None:
        return []
    return [job for job in i.facts.running_jobs if job.activation == activation and job.runtime == "Pod"]


def _project(i: Input, plan: Plan, resource: Resource, wanted: Object, live: Object | None) -> None:
    """Make a projected object as wanted; leave it alone where the name is another's or still being freed."""
    if live is not None and not names.owned_by(live, i.uid):
        reference = names.controller_of(live)
        if reference is None or reference.get("name") != i.name:
            message = f"{resource.kind} {live['metadata']['name']} exists and is not this DAG's: it is left alone"
            plan.notes.append(Note(i.dag, "Warning", "NameTaken", message))
        plan.again_in(1.0 if reference else 60.0)
        return
    if live is not None and live["metadata"].get("deletionTimestamp"):
        plan.again_in(1.0)
        return
    if live is None or projection.deviates(wanted, live) or projection.foreign_fields(live, FIELD_MANAGER):
        plan.applies.append(Apply(resource, wanted, live))


def _prune(
    i: Input, plan: Plan, resource: Resource, live: Mapping[str, Object], keep: set[str], *, last: bool = False
) -> None:
    """Remove owned objects that are no longer wanted; with `last`, each after what belongs to it."""
    for name, obj in live.items():
        if name not in keep and names.owned_by(obj, i.uid) and not obj["metadata"].get("deletionTimestamp"):
            plan.deletes.append(Delete(resource, obj, "Unwanted", last))


def _taken_over(asset: Object) -> bool:
    """Whether a user applied an Asset of this name: he owns fields of its spec, or kubectl left its mark."""
    marked = written.manifest(asset) is not None
    return marked or bool(projection.foreign_fields(asset, FIELD_MANAGER))


def _source_view(i: Input, job: JobFacts, live: Object | None, plan: Plan) -> WorkerView:
    """How a source stands: its Deployment says whether it is available, its pods say why not."""
    pods = [pod for pod in i.pods if _of_source(pod, job)]
    facts = [workers.look(i, pod, plan) for pod in pods]
    trouble = tuple(fact for fact in facts if fact.reason and fact.life is not Life.ENDING)
    status = (live or {}).get("status") or {}
    for condition in status.get("conditions") or []:
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            refused = PodFact(Life.PENDING, "PodsRefused", condition.get("message", ""), Fault.SETUP)
            trouble = (refused, *trouble)
    pending = sum(fact.life is Life.PENDING for fact in facts)
    return WorkerView(1, len(pods), pending, int(status.get("availableReplicas") or 0), trouble)


def _reap_source(i: Input, job: JobFacts, plan: Plan) -> None:
    """Pods of a source that ended, which its Deployment replaces: their run ends with them, and they go in time."""
    for pod in i.pods:
        fact = fact_of(pod)
        if not _of_source(pod, job) or fact.life not in (Life.FINISHED, Life.FAILED):
            continue
        if fact.life is Life.FAILED:
            workers.release(i, pod, fact, plan)
            workers.note_end(i, pod, fact, plan)
        left = _ENDED_SECONDS - workers.since(i.now, fact.ended_at)
        if left <= 0:
            plan.deletes.append(Delete(PODS, pod, fact.reason or "Finished"))
        else:
            plan.again_in(left)


def _of_source(pod: Object, job: JobFacts) -> bool:
    labels = pod["metadata"].get("labels") or {}
    return _serves(pod, job) and labels.get(names.GENERATION) == names.hash8(job.config_hash)
