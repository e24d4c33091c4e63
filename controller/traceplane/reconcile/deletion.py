"""The deletion of a DAG: out of service at once, removed when its work is done or its time is over.

The finalizer holds a deleted DAG until its sources are stopped, its queue is canceled and what runs has finished or
expired; its data stays. The time is bounded, from the moment of deletion by the API server's own timestamp: after
`drain_seconds` the DAG is removed whatever state says, and even when state does not answer. What state then still
holds is put right by the sweep of orphans: DAGs that state knows and the API server does not.
"""

from __future__ import annotations

from datetime import UTC, datetime

import structlog

from traceplane.drivers.kube import ASSETS, DAGS, DEPLOYMENTS, JOBS, PODS, Object
from traceplane.errors import Unavailable
from traceplane.kit import crash
from traceplane.reconcile import conditions, names, workers
from traceplane.reconcile.actions import Delete, Note, Status
from traceplane.reconcile.scope import Scope
from traceplane.store.statements import controller_facts
from traceplane.versions import deletion

BEGUN = crash.declare("deletion.begun")
STOPPED = crash.declare("deletion.stopped")
FINISHED = crash.declare("deletion.finished")
RELEASED = crash.declare("deletion.released")

_LOOK_SECONDS = 1.0
_STATE_AWAY_SECONDS = 3.0

log = structlog.get_logger()


class Deletions:
    """Takes deleted DAGs out of service, step by step; every step may be repeated."""

    def __init__(self, scope: Scope, drain_seconds: float) -> None:
        self._scope = scope
        self._drain_seconds = drain_seconds

    async def reconcile(self, dag: Object) -> float | None:
        """One look at a DAG that is being deleted."""
        if names.FINALIZER not in (dag["metadata"].get("finalizers") or []):
            return None  # Trace's finalizer is off already: the object waits for another controller's
        left = _seconds_left(dag, self._drain_seconds)
        try:
            running, busy = await self._leave_state(dag)
        except Unavailable as error:
            if left > 0:
                await self._show(dag, f"the state database does not answer: {error.message}")
                # Which workers are busy is not known, so all stop: their leases expire, and nothing is lost.
                await self._remove_objects(dag, frozenset(), everything=False)
                return min(left, _STATE_AWAY_SECONDS)
            log.warning("deleted without the state database", dag=dag["metadata"]["name"], error=error.message)
            running, busy = 0, frozenset()
        if running and left > 0:
            await self._show(dag, f"{running} tasks still run; they have {left:.0f} s")
            await self._remove_objects(dag, busy, everything=False)
            return min(left, _LOOK_SECONDS)
        await self._end(dag, canceled=running)
        return None

    async def orphan(self, name: str, resource_uid: str) -> None:
        """A DAG that state knows and the API server does not: its finalizer was taken off by hand."""
        async with self._scope.database.transaction() as conn:
            canceled = await deletion.finish(conn, self._scope.dag_key(name), resource_uid)
        log.info("orphan retired", dag=name, canceled=canceled)
        crash.point(FINISHED)
        for resource in (DEPLOYMENTS, PODS):
            for obj in self._scope.mirror.of_dag(resource.kind, name):
                if names.controller_of(obj) is None or names.projected(obj):
                    await self._scope.applier.delete(Delete(resource, obj, "Orphan", last=resource is DEPLOYMENTS))

    async def _leave_state(self, dag: Object) -> tuple[int, frozenset[str]]:
        """Begin, or look again: how many tasks still run, and which workers hold them."""
        key = self._scope.dag_key(dag["metadata"]["name"])
        async with self._scope.database.transaction() as conn:
            if not await deletion.begin(conn, key, dag["metadata"]["uid"]):
                return 0, frozenset()
            running = await deletion.running(conn, key)
            facts = await controller_facts.dag_facts(conn, key)
        crash.point(BEGUN)
        return running, facts.busy_workers if facts else frozenset()

    async def _remove_objects(self, dag: Object, busy: frozenset[str], *, everything: bool) -> None:
        """Stop sources and idle workers; busy ones end their task. With `everything`, all objects of the DAG."""
        scope, uid, name = self._scope, dag["metadata"]["uid"], dag["metadata"]["name"]
        for obj in scope.mirror.of_dag("Deployment", name):
            if names.owned_by(obj, uid):
                await scope.applier.delete(Delete(DEPLOYMENTS, obj, "Drain", last=True))
        for pod in scope.mirror.of_dag("Pod", name):
            if names.owned_by(pod, uid) and (everything or workers.worker_id(pod) not in busy):
                await scope.applier.delete(Delete(PODS, pod, "Drain"))
        for resource in (JOBS, ASSETS) if everything else ():
            for obj in scope.mirror.of_dag(resource.kind, name):
                if names.owned_by(obj, uid):
                    await scope.applier.delete(Delete(resource, obj, "Drain"))
        crash.point(STOPPED)

    async def _end(self, dag: Object, *, canceled: int) -> None:
        metadata = dag["metadata"]
        try:
            async with self._scope.database.transaction() as conn:
                await deletion.finish(conn, self._scope.dag_key(metadata["name"]), metadata["uid"])
            crash.point(FINISHED)
        except Unavailable:
            # After its time the object goes without state, and the sweep of orphans cleans up there.
            if _seconds_left(dag, self._drain_seconds) > 0:
                raise
        await self._remove_objects(dag, frozenset(), everything=True)
        canceled_too = f"; {canceled} running tasks were canceled" if canceled else ""
        await self._scope.applier.post([Note(dag, "Normal", "Drained", f"deleted{canceled_too}; its data is kept")])
        await self._scope.applier.finalize(
            DAGS, metadata["name"], metadata["uid"], lambda old: [f for f in old if f != names.FINALIZER]
        )
        crash.point(RELEASED)
        log.info("deleted", dag=metadata["name"], canceled=canceled)

    async def _show(self, dag: Object, message: str) -> None:
        kept = conditions.parsed(c for c in conditions.of(dag) if c["type"] in ("Valid", "Staged", "Degraded"))
        new = [*kept, conditions.false("Ready", "Draining", message)]
        status = {**(dag.get("status") or {}), "conditions": conditions.merged(dag, new, datetime.now(UTC))}
        await self._scope.applier.status(Status(DAGS, dag, status))


def _seconds_left(dag: Object, drain_seconds: float) -> float:
    """Seconds until the DAG is removed, whatever still runs."""
    deleted = datetime.fromisoformat(dag["metadata"]["deletionTimestamp"])
    return drain_seconds - (datetime.now(UTC) - deleted).total_seconds()
