"""Carries a plan out in an order that is safe to stop at any point, with writes that need no other side by side.

Every write is idempotent: deletions name a uid, pods have deterministic names, other objects are applied
server-side, leases are released by the exact worker that held them. So a controller that dies between any two
writes leaves a state from which the next one decides the rest; the crash points below are where drills kill it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

import structlog

from traceplane.drivers.kube import (
    ASSETS,
    DEPLOYMENTS,
    FIELD_MANAGER,
    POD_EVENTS,
    PODS,
    Conflict,
    Kube,
    Missing,
    Object,
    Rejected,
    Resource,
)
from traceplane.errors import Unavailable
from traceplane.kit import crash
from traceplane.observe import reconcile_metrics as metrics
from traceplane.observe import task_spans
from traceplane.reconcile import events, names, projection
from traceplane.reconcile.actions import Apply, Create, Delete, Disown, Note, Plan, Release, Status
from traceplane.reconcile.mirror import Mirror
from traceplane.store.engine import Database
from traceplane.store.statements import attempts
from traceplane.tasks.retries import RetryPolicy

RELEASED = crash.declare("reconcile.released")
DELETED = crash.declare("reconcile.deleted")
APPLIED = crash.declare("reconcile.applied")
CREATED = crash.declare("reconcile.created")
STATUS = crash.declare("reconcile.status")
POSTED = crash.declare("reconcile.posted")

_COUNTS_SECONDS = 5.0
"""A status of which only counts changed is written at most this often."""

_AT_ONCE = 8
"""Writes of one reconcile that are with the API server at a time: each waits for etcd to have it on disk."""

_EVENTS_SECONDS = 5.0
"""Events only explain: nothing waits longer for them."""

_Done = TypeVar("_Done")

log = structlog.get_logger()


class Applier:
    """Writes to the API server and to state for every kind."""

    def __init__(
        self, kube: Kube, mirror: Mirror, database: Database, org_id: UUID, instance: str, retry: RetryPolicy
    ) -> None:
        self._kube = kube
        self._mirror = mirror
        self._database = database
        self._org_id = org_id
        self._instance = instance
        self._retry = retry
        self._counted: dict[tuple[str, str], datetime] = {}
        """By kind and name: when a status was written last."""
        self._put_right: dict[str, int] = {}
        """By uid: the generation an object had after it was overwritten, so as not to do it again for nothing."""

    async def carry_out(self, plan: Plan, *, settled: bool) -> dict[str, str]:
        """All writes of a plan but statuses. Returns by job why its pods were not admitted.

        `settled`: the spec was brought about before, so a difference now was made by another writer.
        """
        refused: dict[str, str] = {}
        for release in plan.releases:
            await self._release(release)
        for delete in plan.deletes:
            await self.delete(delete)
        for disown in plan.disowned:
            await self._disown(disown)
        await _together([self._apply(apply, refused, settled=settled) for apply in plan.applies])
        for create in plan.creates:
            if create.job not in refused:
                await self._create(create, refused)
        if refused:
            plan.again_in(30.0)
        return refused

    async def delete(self, delete: Delete) -> None:
        """Remove exactly the object that was seen."""
        metadata = delete.live["metadata"]
        if metadata.get("deletionTimestamp") and not delete.now:
            return
        how = {"last": delete.last, "now": delete.now}
        try:
            await self._kube.delete(delete.resource, metadata["name"], uid=metadata["uid"], **how)
            log.info("deleted", kind=delete.resource.kind, name=metadata["name"], why=delete.why)
        except (Missing, Conflict):
            self._mirror.drop(delete.resource.kind, metadata["name"], metadata["uid"])
        crash.point(DELETED)

    async def statuses(self, wanted: Sequence[Status]) -> list[Status]:
        """Write statuses where they differ, the last one when the others are written; returns what was written."""
        *others, last = wanted
        written = [*await _together([self.status(status) for status in others]), await self.status(last)]
        return [status for status, done in zip(wanted, written, strict=True) if done]

    async def status(self, status: Status) -> bool:
        """Write a status where it differs; returns whether it was written."""
        live: Mapping[str, Any] = status.live.get("status") or {}
        differs = difference(live, status.status)
        key = (status.resource.kind, status.live["metadata"]["name"])
        now = datetime.now(UTC)
        if not differs:
            return False
        last = self._counted.get(key)
        if differs == "counts" and last and (now - last).total_seconds() < _COUNTS_SECONDS:
            return False
        metadata = {"name": status.live["metadata"]["name"], "uid": status.live["metadata"]["uid"]}
        body = {"apiVersion": "trace.dev/v1alpha1", "kind": status.resource.kind, "metadata": metadata}
        try:
            answer = await self._kube.apply(status.resource, {**body, "status": status.status}, "status")
        except Missing:
            return False  # deleted since: the deletion is a run of its own
        if len(self._counted) > 10_000:
            self._counted.clear()
        self._counted[key] = now
        self._mirror.observe(status.resource.kind, answer)
        crash.point(STATUS)
        return True

    async def post(self, notes: Sequence[Note]) -> None:
        """Post Kubernetes Events."""
        await events.post(self._kube, notes, self._instance, datetime.now(UTC))
        if notes:
            crash.point(POSTED)

    async def finalize(
        self, resource: Resource, name: str, uid: str, change: Callable[[list[str]], list[str]]
    ) -> None:
        """Change finalizers from what they are at this moment. Conflict where another writer was quicker."""
        try:
            live = await self._kube.get(resource, name)
        except Missing:
            return
        old = live["metadata"].get("finalizers") or []
        new = change(list(old))
        if live["metadata"]["uid"] != uid or new == old:
            return
        version = {"op": "test", "path": "/metadata/resourceVersion", "value": live["metadata"]["resourceVersion"]}
        await self._kube.json_patch(resource, name, [version, _member("finalizers", old, new)])

    async def warnings(self, pods: Sequence[Object]) -> dict[str, list[Object]]:
        """By uid: Events that warn of these pods. None where they cannot be read (soon): the pods then say less."""
        found = await asyncio.gather(*(self._warnings(pod) for pod in pods))
        return {pod["metadata"]["uid"]: events for pod, events in zip(pods, found, strict=True)}

    async def _warnings(self, pod: Object) -> list[Object]:
        try:
            async with asyncio.timeout(_EVENTS_SECONDS):
                selector = f"involvedObject.uid={pod['metadata']['uid']},type=Warning"
                return await self._kube.list_few(POD_EVENTS, selector)
        except (Rejected, Unavailable, TimeoutError) as error:
            log.warning("Events are not readable", pod=pod["metadata"]["name"], error=str(error))
            return []

    async def _release(self, release: Release) -> None:
        async with self._database.autocommit() as conn:
            ended = await attempts.end_worker(
                conn,
                org_id=self._org_id,
                worker_id=release.worker_id,
                reason=release.reason,
                message=release.message,
                spent=not release.blameless,
                retry=self._retry,
            )
        for attempt in ended:
            metrics.attempts.labels(*metrics.named.of(attempt.dag, attempt.job), attempt.result).inc()
            task_spans.ended((attempt.namespace, attempt.dag, attempt.job), attempt)
        log.info("released", worker_id=release.worker_id, reason=release.reason, tasks=len(ended))
        crash.point(RELEASED)

    async def _disown(self, disown: Disown) -> None:
        """Take the DAG's mark off an Asset that a user took over, so that it outlives the DAG."""
        metadata = disown.live["metadata"]
        labels = {k: v for k, v in (metadata.get("labels") or {}).items() if k not in names.labels("x", "x", "x")}
        references = [r for r in metadata.get("ownerReferences") or [] if not r.get("controller")]
        patch = [
            {"op": "test", "path": "/metadata/uid", "value": metadata["uid"]},
            {"op": "replace", "path": "/metadata/labels", "value": labels},
            {"op": "replace", "path": "/metadata/ownerReferences", "value": references},
        ]
        answer = await self._kube.json_patch(ASSETS, metadata["name"], patch)
        self._mirror.observe("Asset", answer)
        crash.point(APPLIED)

    async def _apply(self, apply: Apply, refused: dict[str, str], *, settled: bool) -> None:
        live = apply.live
        if live is not None and not projection.deviates(apply.wanted, live) and self._seen_foreign(live):
            return
        try:
            answer = await self._kube.apply(apply.resource, apply.wanted)
            if projection.deviates(apply.wanted, answer) or projection.foreign_fields(answer, FIELD_MANAGER):
                answer = await self._overwrite(apply, answer)
        except Rejected as error:
            job = apply.wanted["metadata"]["labels"].get(names.JOB)
            if apply.resource is not DEPLOYMENTS or job is None:
                raise
            refused[job] = error.message
            return
        self._mirror.observe(apply.resource.kind, answer)
        if live is not None and settled:
            metrics.drift.labels(apply.resource.kind).inc()
            log.info("put right", kind=apply.resource.kind, name=apply.wanted["metadata"]["name"])
        crash.point(APPLIED)

    async def _overwrite(self, apply: Apply, live: Object) -> Object:
        """Replace a spec whole: an apply leaves what others added beside the controller's fields."""
        metadata = {**live["metadata"], **apply.wanted["metadata"]}
        metadata["resourceVersion"] = live["metadata"]["resourceVersion"]
        for key in ("labels", "annotations"):
            metadata[key] = {**(live["metadata"].get(key) or {}), **(apply.wanted["metadata"].get(key) or {})}
        answer = await self._kube.replace(
            apply.resource, {**live, "metadata": metadata, "spec": apply.wanted["spec"]}
        )
        if len(self._put_right) > 10_000:
            self._put_right.clear()
        self._put_right[answer["metadata"]["uid"]] = answer["metadata"].get("generation", 0)
        return answer

    def _seen_foreign(self, live: Object) -> bool:
        """Whether this very generation was overwritten already: others still own fields, with the right values."""
        return bool(self._put_right.get(live["metadata"]["uid"]) == live["metadata"].get("generation", 0))

    async def _create(self, create: Create, refused: dict[str, str]) -> None:
        try:
            answer = await self._kube.create(PODS, create.pod)
        except Conflict:
            return  # it is there, or being deleted: the next look shows which
        except Rejected as error:
            # Quota, admission, Pod Security: shown on the Job, and tried again after a while.
            refused[create.job] = error.message
            return
        self._mirror.observe("Pod", answer)
        log.info("created", kind="Pod", name=create.pod["metadata"]["name"], job=create.job)
        crash.point(CREATED)


async def _together(writes: Sequence[Coroutine[Any, Any, _Done]]) -> list[_Done]:
    """Do writes of which none needs another, `_AT_ONCE` at a time. After an error no other is begun; it is raised
    when those that were begun have ended."""
    done: dict[int, _Done] = {}
    waiting = enumerate(writes)

    async def work() -> None:
        for place, write in waiting:
            try:
                done[place] = await write
            except BaseException:
                for _, unwanted in waiting:
                    unwanted.close()
                raise

    ended = await asyncio.gather(*(work() for _ in writes[:_AT_ONCE]), return_exceptions=True)
    for error in filter(None, ended):
        raise error
    return [done[place] for place in range(len(writes))]


def _member(field: str, old: list[str], new: list[str]) -> Object:
    """A JSON patch operation that sets a list in metadata, which may be absent."""
    return {"op": "replace" if old else "add", "path": f"/metadata/{field}", "value": new}


def difference(live: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """How a status differs: not at all (empty), in counts only, or in content, which is written at once."""
    ours = {entry["type"]: entry for entry in wanted["conditions"]}
    theirs = {entry["type"]: entry for entry in live.get("conditions") or []}
    if any(theirs.get(kind) != entry for kind, entry in ours.items()):
        return "content"
    rest, old = dict(wanted), dict(live)
    del rest["conditions"]
    old.pop("conditions", None)
    if rest == old:
        return ""
    content = ("observedGeneration", "activeVersion", "stagedVersion", "specHash", "jobId", "currentVersion")
    return "content" if any(rest.get(key) != old.get(key) for key in content) else "counts"
