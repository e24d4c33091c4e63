"""The controller of a namespace: how changes become keys of the work queue, and keys become reconciles.

Changes come from kopf's watches (of the cluster), from notifications of Postgres (of the queue, or of a
deployment), and from a full list at intervals, which finds what the other two missed. All of them only add keys
to the queue. The queue's workers reconcile one object each at a time. Only the holder of the Lease gets that far,
and a holder that loses it stops.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection, Iterable, Mapping

import structlog

from traceplane.drivers.kube import Kube, Object
from traceplane.errors import Unavailable
from traceplane.graph import AssetRef, Checker, Found
from traceplane.kit.loops import Loop
from traceplane.observe import reconcile_metrics as metrics
from traceplane.reconcile import gather, names
from traceplane.reconcile.apply import Applier
from traceplane.reconcile.asset import Assets, reconcile_bundle, reconcile_lone_job
from traceplane.reconcile.dag import Dags
from traceplane.reconcile.deletion import Deletions
from traceplane.reconcile.external import Sources
from traceplane.reconcile.handlers import LABELLED, WATCHED
from traceplane.reconcile.health import Pulse
from traceplane.reconcile.mirror import Mirror, relevant
from traceplane.reconcile.queue import Key, WorkQueue
from traceplane.reconcile.retention import Retention
from traceplane.reconcile.scope import Scope
from traceplane.settings import ControllerSettings
from traceplane.store.engine import Database
from traceplane.store.migrate import check
from traceplane.store.statements import controller_facts
from traceplane.store.statements import notify as notifications
from traceplane.tasks.retries import RetryPolicy
from traceplane.versions import asset_inputs
from traceplane_sdk.operator import Operator

_NOTIFY_SECONDS = 0.05
"""A burst of notifications about one DAG becomes one reconcile of it."""

log = structlog.get_logger()


class Controller:
    """The reconcilers of one namespace, and what queues their keys."""

    def __init__(
        self,
        settings: ControllerSettings,
        operators: Mapping[str, Operator],
        kube: Kube,
        database: Database,
        identity: str,
        checker: Checker,
        queue: WorkQueue,
        lag: metrics.Lag,
        pods: metrics.PodCounts,
    ) -> None:
        self.settings = settings
        self.kube = kube
        self.database = database
        self.mirror = Mirror()
        self.pulse = Pulse(settings.watch_stale_seconds)
        self._lag = lag
        self._starts = metrics.PodStarts()
        self._queue = queue
        retry = RetryPolicy(settings.retry_base_seconds, settings.retry_max_seconds)
        self.scope = Scope(
            org_id=settings.org_id,
            namespace=kube.namespace,
            database=database,
            mirror=self.mirror,
            manifests=gather.Manifests(self.mirror, operators, checker, self._look_up),
            applier=Applier(kube, self.mirror, database, settings.org_id, identity, retry),
            sources=Sources(settings.s3_bucket, settings.allowed_buckets(settings.s3_bucket)),
        )
        self._dags = Dags(
            self.scope,
            bucket=settings.s3_bucket,
            platform=gather.platform(settings),
            operators=operators,
            pods=pods,
            requeue_assets=self._requeue_assets,
        )
        self._deletions = Deletions(self.scope, settings.drain_seconds)
        self._assets = Assets(self.scope, Retention(self.scope, delay_seconds=settings.longest_query_seconds))
        self._notified: set[asyncio.Task[None]] = set()
        """Keys being added for a notification: a task that nothing refers to may be collected before it ran."""
        self._schema_known = False

    # What changed

    async def observe(self, kind: str, event: str | None, obj: Object) -> None:
        """One event of a watch; `event` None stands for an object of the first list."""
        deleted = event == "DELETED"
        changed = self.mirror.forget(kind, obj) if deleted else self.mirror.observe(kind, obj)
        if changed:
            self._note_generation(kind, obj, deleted=deleted)
            if kind == "Pod":
                self._note_start(obj, deleted=deleted)
            await self._add(self._keys(kind, obj))

    async def resync(self) -> int:
        """List everything and look at everything again. Returns 0: there is never more to do at once."""
        for resource in WATCHED:
            items, version = await self.kube.list_all(resource, names.OWNED if resource in LABELLED else None)
            self.mirror.replace(resource.kind, items, version)
            for item in items:
                self._note_generation(resource.kind, item, deleted=False)
        self.pulse.beat("resync")
        spread = self.settings.reconcile_seconds / 3 if self.pulse.synced else 0.0
        self.pulse.synced = True
        for kind in ("DAG", "Bundle", "Job"):
            for obj in self.mirror.all(kind):
                if kind != "Job" or not names.projected(obj):
                    # Spread out, so that a resync of many objects is no burst on API server and database.
                    await self._add(self._keys(kind, obj), random.random() * spread)  # noqa: S311
        await self._check_schema()
        for name in await self._changed_assets(list(self.mirror.all("Asset"))):
            await self._add([Key("Asset", name)], random.random() * spread)  # noqa: S311
        await self._add_orphans()
        return 0

    def notify(self, channel: str, payload: str) -> None:
        """A notification of the state database. An empty payload: any may have been missed."""
        if not payload:
            dags = [obj["metadata"]["name"] for obj in self.mirror.all("DAG")]
        elif channel == notifications.DEPLOY_CHANNEL:
            namespace, _, dag = payload.rpartition("/")
            dags = [dag] if namespace == self.scope.namespace else []
        else:
            owner = self._dags.of_generation(payload)
            dags = [owner] if owner else []
        task = asyncio.ensure_future(self._add((Key("DAG", name) for name in dags), _NOTIFY_SECONDS))
        self._notified.add(task)
        task.add_done_callback(self._notified.discard)

    def resync_loop(self) -> Loop:
        """The full list at intervals."""
        return Loop("resync", self.resync, self.settings.reconcile_seconds)

    # What is done about it

    async def reconcile(self, key: Key) -> float | None:
        """Reconcile one object; seconds until it should run again, or None."""
        obj = self.mirror.get(key.kind, key.name)
        generation = int(obj["metadata"].get("generation") or 0) if obj else 0
        after = await self._dispatch(key, obj)
        if obj is not None:
            self._achieved(key, generation)
        now = self.mirror.get(key.kind, key.name)
        # The answer to a write may bring an edit before its event does, which then says nothing new.
        edited = obj is not None and now is not None and relevant(key.kind, now) != relevant(key.kind, obj)
        return 0.0 if edited else after

    async def _dispatch(self, key: Key, obj: Object | None) -> float | None:
        deleted = obj is not None and obj["metadata"].get("deletionTimestamp")
        if key.kind == "DAG":
            if obj is None:
                await self._retire(key.name)
                return None
            return await (self._deletions.reconcile(obj) if deleted else self._dags.reconcile(obj))
        if obj is None or deleted:
            if key.kind == "Asset" and obj is None:
                await self._assets.forget(key.name)
            return None
        if key.kind == "Asset":
            await self._assets.reconcile(obj)
        elif key.kind == "Bundle":
            await reconcile_bundle(self.scope, obj)
        elif self.mirror.get("DAG", obj["spec"].get("dag", "")) is None:
            await reconcile_lone_job(self.scope, obj)
        return None

    async def _retire(self, name: str) -> None:
        """There is no DAG of that name: what state still runs of it is retired."""
        async with self.database.transaction() as conn:
            known = await controller_facts.known_dags(
                conn, org_id=self.scope.org_id, namespace=self.scope.namespace
            )
        for dag, uid in known:
            if dag == name:
                await self._deletions.orphan(name, uid)
        self._dags.forget(name)
        self._lag.forget("DAG", self._full(name))

    async def _look_up(self, dag: str, refs: Collection[AssetRef]) -> Found:
        async with self.database.transaction() as conn:
            return await asset_inputs.look_up(conn, self.scope.dag_key(dag), refs)

    async def _add_orphans(self) -> None:
        """DAGs and Assets that state knows and the API server, just listed, does not."""
        async with self.database.transaction() as conn:
            where = self.scope
            dags = await controller_facts.known_dags(conn, org_id=where.org_id, namespace=where.namespace)
            assets = await controller_facts.known_assets(conn, org_id=where.org_id, namespace=where.namespace)
        wanted = [Key("DAG", dag) for dag, _ in dags] + [Key("Asset", asset) for asset in assets]
        await self._add(key for key in wanted if self.mirror.get(key.kind, key.name) is None)

    def _keys(self, kind: str, obj: Object) -> list[Key]:
        """The keys to reconcile when an object changes."""
        name = obj["metadata"]["name"]
        if kind == "DAG":
            lone = [job for job in self.mirror.all("Job") if job["spec"].get("dag") == name]
            left = [Key("Job", job["metadata"]["name"]) for job in lone if self.mirror.get("DAG", name) is None]
            return [Key("DAG", name), *left]
        if kind == "Job":
            dag = str(obj["spec"].get("dag", ""))
            return [Key("Job", name) if self.mirror.get("DAG", dag) is None else Key("DAG", dag)]
        if kind == "Asset":
            return [Key("Asset", name), *self._related(name, obj)]
        if kind == "Bundle":
            return [Key("Bundle", name)]
        return [Key("DAG", (obj["metadata"].get("labels") or {}).get(names.DAG, ""))]

    def _related(self, asset: str, obj: Object | None = None) -> Iterable[Key]:
        """DAGs that publish an asset or, by its object, a half of it, and Assets that are federated over it."""
        halves = (((obj or {}).get("spec") or {}).get("federation") or {}).values()
        for dag in self.mirror.all("DAG"):
            if any(entry.get("asset") in (asset, *halves) for entry in dag["spec"].get("publish") or []):
                yield Key("DAG", dag["metadata"]["name"])
        yield from self._federated_over((asset,))

    async def _requeue_assets(self, dag: str) -> None:
        obj = self.mirror.get("DAG", dag)
        published = [entry["asset"] for entry in obj["spec"].get("publish") or []] if obj else []
        found = [self.mirror.get("Asset", name) for name in published]
        wanted = await self._changed_assets([asset for asset in found if asset is not None])
        await self._add([*(Key("Asset", name) for name in wanted), *self._federated_over(published)])

    async def _changed_assets(self, objs: list[Object]) -> list[str]:
        """Names of those that are to be looked at: all, where state is away."""
        try:
            return await self._assets.changed(objs) if objs else []
        except Unavailable:
            return [obj["metadata"]["name"] for obj in objs]

    def _federated_over(self, halves: Collection[str]) -> Iterable[Key]:
        for asset in self.mirror.all("Asset"):
            federation = (asset.get("spec") or {}).get("federation") or {}
            if federation.get("hot") in halves or federation.get("cold") in halves:
                yield Key("Asset", asset["metadata"]["name"])

    async def _add(self, keys: Iterable[Key], delay: float = 0.02) -> None:
        # A decision needs the whole picture. The first list adds what is left out here.
        for key in keys if self.pulse.synced else ():
            await self._queue.add(key._replace(namespace=self.scope.namespace), delay)

    async def _check_schema(self) -> None:
        """Refuse a schema of another release. A database that does not answer is checked at the next resync."""
        if not self._schema_known:
            await asyncio.to_thread(check, self.database.dsn)
            self._schema_known = True

    # What is reported

    def _note_generation(self, kind: str, obj: Object, *, deleted: bool) -> None:
        if kind not in metrics.KINDS:
            return
        name = obj["metadata"]["name"]
        if deleted:
            self._lag.forget(kind, self._full(name))
        else:
            self._lag.desired(kind, self._full(name), int(obj["metadata"].get("generation") or 0))

    def _note_start(self, pod: Object, *, deleted: bool) -> None:
        labels = pod["metadata"].get("labels") or {}
        if deleted or (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
            self._starts.forget(pod)
        else:
            self._starts.observe(labels.get(names.DAG, ""), labels.get(names.JOB, ""), pod)

    def _achieved(self, key: Key, generation: int) -> None:
        self._lag.achieved(key.kind, self._full(key.name), generation)
        for job in self.mirror.all("Job") if key.kind == "DAG" else ():
            if job["spec"].get("dag") == key.name:
                name = self._full(job["metadata"]["name"])
                self._lag.achieved("Job", name, int(job["metadata"].get("generation") or 0))

    def _full(self, name: str) -> str:
        """The name of an object among those of all namespaces, for metrics that are the process's."""
        return f"{self.scope.namespace}/{name}"


def report_run(key: Key, seconds: float, error: BaseException | None) -> None:
    """Count a run of the queue, and log its error."""
    metrics.reconciles.labels(key.kind, "error" if error else "ok").inc()
    metrics.duration.labels(key.kind).observe(seconds)
    if error is not None:
        code = getattr(error, "code", type(error).__name__)
        message = getattr(error, "message", None)
        # Without a message it is a defect: then the trace is what helps.
        log.warning("reconcile failed", **key._asdict(), code=code, error=message, exc_info=message is None)


def report_loop(name: str, *, done: int, seconds: float, error: BaseException | None) -> None:
    """Log a loop's errors; what it did shows in the metrics of what it led to."""
    if error is not None:
        message = getattr(error, "message", None)
        log.warning("loop failed", loop=name, seconds=round(seconds, 3), error=message, exc_info=message is None)
