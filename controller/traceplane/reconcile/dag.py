"""The reconcile of one DAG: gather, decide, apply.

Level-based: it looks at what is wanted and what is there, and does what is missing, whatever triggered it. The
order of writes makes it safe to be killed anywhere: the finalizer first (from then on a deletion waits for the
controller), then state (one transaction, idempotent by the spec's hash), then objects, statuses and Events.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import structlog

from traceplane.drivers.kube import ASSETS, DAGS, Object
from traceplane.errors import Refused, Stale, Unavailable
from traceplane.graph import Graph
from traceplane.kit import crash
from traceplane.observe import reconcile_metrics as metrics
from traceplane.reconcile import decide, gather, names, podfacts, podnews, status
from traceplane.reconcile.actions import Input, Note, Status
from traceplane.reconcile.podspec import Platform
from traceplane.reconcile.scope import Scope
from traceplane.store.statements import controller_facts
from traceplane.versions import deploy as deployment
from traceplane.versions import pause, rollout
from traceplane.versions.asset_policies import Policies
from traceplane.versions.readiness import Phase, Rollout

FINALIZER = crash.declare("reconcile.finalizer")
DEPLOYED = crash.declare("reconcile.deployed")
SWAPPED = crash.declare("reconcile.swapped")
PAUSED = crash.declare("reconcile.paused")

_STAGED_SECONDS = 2.0
"""A staged version is looked at this often: that a task is done wakes nobody here."""
_UNCHECKED_SECONDS = 10.0
"""A spec whose statements could not be checked is read again this often."""
_REDEPLOY_SECONDS = 60.0
"""A deployed spec is deployed again this often: that makes tables and source tasks again that were lost."""
_ASKED = 8
"""Pods that do not start whose Events are read in one run."""

RequeueAssets = Callable[[str], Awaitable[None]]
"""Reconcile those Assets that a DAG publishes that changed with it, and those federated over them."""

log = structlog.get_logger()


class Dags:
    """Reconciles DAGs that are not being deleted."""

    def __init__(
        self,
        scope: Scope,
        *,
        bucket: str,
        platform: Platform,
        operators: gather.Operators,
        pods: metrics.PodCounts,
        requeue_assets: RequeueAssets,
    ) -> None:
        self._scope = scope
        self._bucket = bucket
        self._platform = platform
        self._operators = operators
        self._requeue_assets = requeue_assets
        self._pods = pods
        self._owners: dict[str, str] = {}
        """DAG by id of a live job generation."""
        self._deployed: dict[str, tuple[str, float]] = {}
        """By DAG: the uid that was deployed last, and when."""

    def of_generation(self, job_id: str) -> str | None:
        """The DAG of a live job generation, which is what the dispatcher's notifications name."""
        return self._owners.get(job_id)

    async def reconcile(self, dag: Object) -> float | None:
        """Bring one DAG about; seconds until the next look, or None."""
        scope = self._scope
        metadata = dag["metadata"]
        if names.FINALIZER not in (metadata.get("finalizers") or []):
            await scope.applier.finalize(
                DAGS, metadata["name"], metadata["uid"], lambda old: sorted({*old, names.FINALIZER})
            )
            crash.point(FINALIZER)
        try:
            written = await scope.manifests.read(dag)
        except Unavailable as error:  # what it reads of other DAGs is in state
            await self._say_unavailable(dag, None, error)
            raise
        staged: Rollout | None = None
        try:
            facts, notes = await self._deploy_if_changed(dag, written)
            facts, staged, more = await self._roll_out(dag, written, facts)
            notes += more
        except Unavailable as error:
            await self._say_unavailable(dag, written.problems, error)
            raise
        except Stale:
            raise  # the mirror is older than state: the next look sees more
        except Refused as error:
            line = f"DAG/{metadata['name']}: spec: {error.message} [{error.code}]"
            written = replace(written, graph=None, problems=(*written.problems, line))
            facts, notes = await self._facts(metadata["name"]), []
        gathered = await self._explained(self._input(dag, written, facts, staged))
        after = await self._bring_objects(gathered, notes)
        if staged is not None:
            after = min(after or _STAGED_SECONDS, _STAGED_SECONDS)
        return min(after or _UNCHECKED_SECONDS, _UNCHECKED_SECONDS) if written.unchecked else after

    def forget(self, name: str) -> None:
        """The DAG was deleted."""
        self._pods.forget(self._scope.namespace, name)
        self._scope.manifests.forget(name)
        self._owners = {job_id: dag for job_id, dag in self._owners.items() if dag != name}
        self._deployed.pop(name, None)

    async def _say_unavailable(self, dag: Object, problems: Sequence[str] | None, error: Unavailable) -> None:
        shown = status.state_unavailable(dag, problems, error.message, datetime.now(UTC))
        await self._scope.applier.status(Status(DAGS, dag, shown))

    async def _bring_objects(self, i: Input, deployed: list[Note]) -> float | None:
        """Make objects, statuses and Events as decided; seconds until the next look. `deployed`: Events so far."""
        applier = self._scope.applier
        settled = (i.dag.get("status") or {}).get("observedGeneration") == i.dag["metadata"].get("generation")
        plan = decide.decide(i)
        refused = await applier.carry_out(plan, settled=settled and not deployed)
        self._pods.set(
            self._scope.namespace,
            i.name,
            {
                job: metrics.PodCount(view.wanted, view.actual, view.pending, view.ready)
                for job, view in plan.workers.items()
            },
        )
        notes = deployed + plan.notes
        changed = any(apply.resource is ASSETS for apply in plan.applies)
        statuses = status.statuses(replace(i, jobs=self._objects("Job")), plan, refused)
        for written in await applier.statuses(statuses):
            notes += status.transitions(written)
            changed = changed or written.resource is DAGS
        if changed:
            # What readers may see of its assets changes with the DAG.
            await self._requeue_assets(i.name)
        await applier.post(notes)
        return plan.next_in

    async def _deploy_if_changed(
        self, dag: Object, written: gather.Written
    ) -> tuple[controller_facts.DagFacts | None, list[Note]]:
        """Deploy the spec where it is neither the running nor the staged one; facts after that, and Events."""
        name, graph = dag["metadata"]["name"], written.graph
        facts = await self._facts(name)
        uid, at = self._deployed.get(name, ("", 0.0))
        recent = uid == dag["metadata"]["uid"] and time.monotonic() - at < _REDEPLOY_SECONDS
        if graph is None or (recent and _is_deployed(dag, graph, facts)):
            await self._pause(graph, facts)
            return facts, []
        done = await self._deploy(dag, graph, written.policies)
        self._deployed[name] = (dag["metadata"]["uid"], time.monotonic())
        facts = await self._facts(name)
        await self._pause(graph, facts)
        return facts, _notes(dag, done, facts, graph.preview)

    async def _deploy(self, dag: Object, graph: Graph, policies: Policies) -> deployment.Deployment:
        metadata = dag["metadata"]
        async with self._scope.database.transaction() as conn:
            done = await deployment.deploy(
                conn,
                org_id=self._scope.org_id,
                graph=graph,
                resource_uid=metadata["uid"],
                generation=metadata.get("generation", 0),
                bucket=self._bucket,
                policies=policies,
            )
        crash.point(DEPLOYED)
        log.info("deployed", dag=metadata["name"], result=done.result, version=str(done.version_id))
        return done

    async def _roll_out(
        self, dag: Object, written: gather.Written, facts: controller_facts.DagFacts | None
    ) -> tuple[controller_facts.DagFacts | None, Rollout | None, list[Note]]:
        """Let a staged version that is ready take over; facts after that, how it stands otherwise, and Events."""
        if facts is None or facts.staged_version_id is None:
            return facts, None, []
        name, graph = dag["metadata"]["name"], written.graph
        key = self._scope.dag_key(name)
        async with self._scope.database.transaction() as conn:
            active, staged = facts.active_version_id, facts.staged_version_id
            found = await rollout.observe(conn, key, active=active, staged=staged)
        if graph is None or graph.spec_hash != facts.staged_spec_hash or found.phase is not Phase.READY:
            return facts, found, []
        try:
            async with self._scope.database.transaction() as conn:
                done = await rollout.cut_over(
                    conn, key, graph.spec_hash, cutover=graph.cutover, policies=written.policies
                )
        except Refused as error:
            return facts, replace(found, refused=error.message), []
        if not done:
            return facts, found, []
        crash.point(SWAPPED)
        log.info("cut over", dag=name, version=facts.staged_name)
        said = f"{facts.staged_name} is active; {facts.active_name} is kept for a rollback"
        return await self._facts(name), None, [Note(dag, "Normal", "CutOver", said)]

    async def _pause(self, graph: Graph | None, facts: controller_facts.DagFacts | None) -> None:
        """Set `paused` on the running generations: it is not part of a version."""
        wanted = {job.name: job.paused for job in graph.jobs} if graph else {}
        for job in facts.running_jobs if facts else ():
            if wanted.get(job.name, job.paused) != job.paused:
                async with self._scope.database.transaction() as conn:
                    dag = self._scope.dag_key(graph.dag if graph else "")
                    await pause.set_paused(conn, dag, job=job.name, paused=wanted[job.name])
                crash.point(PAUSED)

    async def _facts(self, dag: str) -> controller_facts.DagFacts | None:
        async with self._scope.database.transaction() as conn:
            facts = await controller_facts.dag_facts(conn, self._scope.dag_key(dag))
        self._owners.update({str(job.job_id): dag for job in (facts.running_jobs if facts else ())})
        return facts

    async def _explained(self, i: Input) -> Input:
        """With what kubelets tell of pods that do not start, of one of each job: the others wait for the same."""
        stuck = [pod for pod in i.pods if podnews.is_stuck(pod, podfacts.fact_of(pod), i.now)]
        asked = list({pod["metadata"]["labels"].get(names.JOB): pod for pod in stuck}.values())[:_ASKED]
        return replace(i, warnings=await self._scope.applier.warnings(asked))

    def _input(
        self,
        dag: Object,
        written: gather.Written,
        facts: controller_facts.DagFacts | None,
        staged: Rollout | None,
    ) -> Input:
        mirror, name = self._scope.mirror, dag["metadata"]["name"]
        return Input(
            now=datetime.now(UTC),
            dag=dag,
            graph=written.graph,
            problems=written.problems,
            rollout=staged,
            facts=facts,
            jobs=self._objects("Job"),
            assets=self._objects("Asset"),
            pods=tuple(mirror.of_dag("Pod", name)),
            deployments=tuple(mirror.of_dag("Deployment", name)),
            platform=self._platform,
            rpc_pools=gather.rpc_pools(facts, self._operators),
        )

    def _objects(self, kind: str) -> dict[str, Object]:
        return {obj["metadata"]["name"]: obj for obj in self._scope.mirror.all(kind)}


def _is_deployed(dag: Object, graph: Graph, facts: controller_facts.DagFacts | None) -> bool:
    """Whether state already says what this generation of this DAG object asks for."""
    metadata = dag["metadata"]
    return (
        facts is not None
        and facts.deleted_at is None
        # What is held off, else staged, else active: a spec that is another ends the hold, or what is staged.
        and (
            facts.holds(spec_hash=graph.spec_hash, written_hash=graph.written_hash)
            if facts.held_spec_hash is not None
            else graph.spec_hash == (facts.staged_spec_hash or facts.active_spec_hash)
        )
        and facts.resource_uid == metadata["uid"]
        and facts.resource_generation == metadata.get("generation", 0)
    )


def _notes(
    dag: Object,
    done: deployment.Deployment,
    facts: controller_facts.DagFacts | None,
    preview: tuple[int, int] | None,
) -> list[Note]:
    """The Event of a deploy that changed something."""
    if facts is None or done.result in ("Unchanged", "Held"):
        return []
    over = "" if preview is None else f" over {preview[0]}-{preview[1]} only (spec.rollout.preview)"
    if done.result == "Preview":
        then = f"{over}, and does not take over before that is removed" if over else " whole, and takes over then"
        return [Note(dag, "Normal", "Preview", f"{facts.staged_name} is built{then}")]
    if done.result == "Staged":
        scope = "; ".join(str(rebuild) for rebuild in done.rebuilds)
        said = f"{facts.staged_name} is built{over} beside {facts.active_name}, which keeps running: {scope}"
        return [Note(dag, "Normal", "Staged", said[:1000])]
    said = f"version {facts.active_name} with {len(done.jobs)} jobs is active"
    return [Note(dag, "Normal", "Deployed", said)]
