"""The reconcile of one Asset (its policy goes to state, its status comes from there), of a Bundle, of a lone Job.

An Asset needs no DAG and a DAG no Asset: the policy is stored as soon as it is right, and whether anything can be
read under the name is what its condition Ready says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from traceplane import graph as graphs
from traceplane.drivers.kube import ASSETS, BUNDLES, JOBS, Object
from traceplane.graph import Problem
from traceplane.kinds import Asset
from traceplane.kinds.asset import MAX_UNVERIFIED
from traceplane.kit import crash
from traceplane.reconcile import apply, conditions, external, policies, written
from traceplane.reconcile.actions import Status
from traceplane.reconcile.conditions import Condition, false, true
from traceplane.reconcile.mirror import relevant
from traceplane.reconcile.retention import Retention
from traceplane.reconcile.scope import Scope
from traceplane.store.statements import asset_policies, controller_facts
from traceplane.store.statements import external as external_statements
from traceplane.store.statements.asset_policies import Stored
from traceplane.store.statements.controller_facts import AssetFacts
from traceplane.store.statements.external import Standing
from traceplane.versions import external as external_assets

STORED = crash.declare("asset.stored")


class Assets:
    """Reconciles Assets, declared and projected alike."""

    def __init__(self, scope: Scope, retention: Retention) -> None:
        self._scope = scope
        self._retention = retention
        self._seen: dict[str, tuple[str, AssetFacts | None, Stored | None]] = {}
        """By name, of a look that is shown: the object's version, what was published, what policy was stored."""

    async def reconcile(self, obj: Object) -> None:
        """Store the policy, show the state."""
        name = obj["metadata"]["name"]
        asset = graphs.parse("Asset", obj)
        facts, stored = await self._look(name, asset)
        standing, more = None, list[Condition]()
        problems = asset if isinstance(asset, list) else graphs.check_asset(asset)
        kept: Object = {}
        is_external = not isinstance(asset, list) and asset.spec.external is not None
        if not isinstance(asset, list) and not problems:
            problems = external.problems(asset, self._scope.sources)
        if not isinstance(asset, list) and not problems:
            # What is read now counts, not what a DAG's newest spec would publish: that one may be wrong.
            schemas = self._scope.manifests.published() | policies.running(facts)
            problems = graphs.check_federation(asset, schemas)
        if isinstance(asset, list) or problems:
            await self._close(obj, facts.get(name), stored)
            condition = false("Ready", "Invalid", conditions.listed([str(problem) for problem in problems]))
        else:
            await self._declare(asset, obj, facts.get(name), stored)
            standing = await self._standing(name) if is_external else None
            found = external.ready(asset, facts, standing) if is_external else None
            found = found or ready(asset, facts, policies.left_behind(obj, stored))
            # A misspelt readRoles leaves data open to everybody: it is said whether anything is published or not.
            said = (found.message, *written.lost_fields(obj))
            condition = replace(found, message="; ".join(filter(None, said)))
            more = external.fresh(standing) if is_external else []
            if asset.spec.retention is not None:
                kept = await self._retention.enforce(facts.get(name))
        status = _status(obj, [condition, *more], facts.get(name), self._scope.namespace)
        status |= _unverified(facts) | kept
        if is_external:
            status |= external.status(standing, facts.get(name))
        if not isinstance(asset, list) and asset.spec.federation is not None:
            federation = asset.spec.federation
            status |= _federated(facts.get(federation.hot), facts.get(federation.cold))
        await self._scope.applier.status(Status(ASSETS, obj, status))
        # Not counts that wait, since others were written just now; and not an object that came to be another.
        shown = self._scope.mirror.get("Asset", name) or obj
        is_shown = not apply.difference(shown.get("status") or {}, status)
        if is_shown and relevant("Asset", shown) == relevant("Asset", obj):
            self._seen[name] = _version(shown), facts.get(name), stored
        else:
            self._seen.pop(name, None)

    async def changed(self, objs: Iterable[Object]) -> list[str]:
        """Names of those that a look could find otherwise than the last one: all together in two statements."""
        by_name = {obj["metadata"]["name"]: obj for obj in objs}
        facts, stored = await self._read(list(by_name))
        return [
            name
            for name, obj in by_name.items()
            if self._seen.get(name) != (_version(obj), facts.get(name), stored.get(name)) or _depends_on_more(obj)
        ]

    async def forget(self, name: str) -> None:
        """The Asset was deleted: its policy goes, the data stays."""
        self._seen.pop(name, None)
        async with self._scope.database.transaction() as conn:
            org, namespace = self._scope.org_id, self._scope.namespace
            await asset_policies.delete(conn, org_id=org, namespace=namespace, name=name)
            await external_assets.retire(conn, org_id=org, namespace=namespace, asset=name)
        crash.point(STORED)

    async def _retire(self, name: str) -> None:
        """The Asset is not external any more: nothing is read under its name until a DAG publishes it."""
        async with self._scope.database.transaction() as conn:
            await external_assets.retire(
                conn, org_id=self._scope.org_id, namespace=self._scope.namespace, asset=name
            )

    async def _look(self, name: str, asset: Asset | list[Problem]) -> tuple[dict[str, AssetFacts], Stored | None]:
        """What is published under its name and those of its halves, and the policy that is stored."""
        federation = None if isinstance(asset, list) else asset.spec.federation
        wanted = [name, federation.hot, federation.cold] if federation else [name]
        facts, stored = await self._read(wanted)
        return facts, stored.get(name)

    async def _read(self, names: Sequence[str]) -> tuple[dict[str, AssetFacts], dict[str, Stored]]:
        """By name: what is published, and the stored policy."""
        org, namespace = self._scope.org_id, self._scope.namespace
        async with self._scope.database.transaction() as conn:
            facts = await controller_facts.asset_facts(conn, org_id=org, namespace=namespace, names=names)
            return facts, await asset_policies.stored(conn, org_id=org, namespace=namespace, names=names)

    async def _standing(self, name: str) -> Standing | None:
        """How an external asset stands."""
        dag = external_assets.key(self._scope.org_id, self._scope.namespace, name)
        async with self._scope.database.transaction() as conn:
            return await external_statements.standing(conn, dag, job=external_assets.REFRESH)

    async def _declare(self, asset: Asset, obj: Object, facts: AssetFacts | None, stored: Stored | None) -> None:
        external = asset.spec.external is not None
        storage = asset.spec.storage or ("S3" if external else facts.storage if facts else None)
        if not external and stored is not None and stored.policy.policy.get("external"):
            await self._retire(asset.metadata.name)
        if storage is None:
            return  # it takes the storage of what will be published under its name
        policy, keep = policies.declared(asset, obj, storage), policies.keeps_roles(obj)
        if policies.holds(policy, stored, keep_roles=keep):
            return
        async with self._scope.database.transaction() as conn:
            await asset_policies.declare(
                conn,
                org_id=self._scope.org_id,
                namespace=self._scope.namespace,
                policies=[policy],
                keep_roles=keep,
            )
        crash.point(STORED)

    async def _close(self, obj: Object, facts: AssetFacts | None, stored: Stored | None) -> None:
        """An Asset that is wrong opens nothing and changes nothing, but what was open it closes."""
        storage = facts.storage if facts else stored.policy.storage if stored else None
        if storage is None or (stored and stored.policy.read_roles):
            return  # there is nothing to read, or not for everybody
        policy = policies.closing(obj, storage, stored)
        if policy is None:
            return
        async with self._scope.database.transaction() as conn:
            await asset_policies.close(
                conn, org_id=self._scope.org_id, namespace=self._scope.namespace, policies=[policy]
            )
        crash.point(STORED)


def _version(obj: Object) -> str:
    return str(obj["metadata"].get("resourceVersion"))


def _depends_on_more(obj: Object) -> bool:
    """Whether the time, or other assets, decide what is to be done and shown as well."""
    return not (obj.get("spec") or {}).keys().isdisjoint(("federation", "external", "retention"))


def ready(asset: Asset, facts: Mapping[str, AssetFacts], remark: str = "") -> Condition:
    """Whether readers can query the asset; `remark` is what else they should know. Pure."""
    federation = asset.spec.federation
    if federation is None:
        found = facts.get(asset.metadata.name)
        if found is not None and asset.spec.storage not in (None, found.storage):
            mismatch = f"spec.storage is {asset.spec.storage}, but what is published lives in {found.storage}"
            return false("Ready", "StorageMismatch", mismatch)
        return _published({asset.metadata.name: found}, remark)
    parts = {federation.hot: "Postgres", federation.cold: "S3"}
    for part, storage in parts.items():
        found = facts.get(part)
        if found is not None and found.storage != storage:
            return false("Ready", "StorageMismatch", f"{part} lives in {found.storage}; it must be in {storage}")
    return _published({part: facts.get(part) for part in parts}, remark)


def _published(parts: Mapping[str, AssetFacts | None], remark: str) -> Condition:
    missing = [name for name, found in parts.items() if found is None]
    if missing:
        return false("Ready", "NotPublished", f"no active DAG version publishes {', '.join(missing)}")
    making = [name for name, found in parts.items() if found and not found.provisioned]
    if making:
        return false("Ready", "Provisioning", f"the table of {', '.join(making)} is being made")
    return true("Ready", "Published", remark)


def _status(obj: Object, new: list[Condition], facts: AssetFacts | None, namespace: str) -> Object:
    table = f"{namespace}.{obj['metadata']['name']}".replace("-", "_")
    status: Object = {**conditions.observed(obj, new, datetime.now(UTC)), "table": table}
    if storage := (facts.storage if facts else obj["spec"].get("storage")):
        status["storage"] = storage
    if facts is None:
        return status
    at = facts.last_materialised_at
    shown = {
        "datasetId": str(facts.dataset_id),
        "currentVersion": str(facts.dataset_version_id),
        "producer": None if external_assets.is_external(facts.dag) else f"{facts.dag}/{facts.job}/{facts.output}",
        "cursor": facts.cursor,
        "partitions": facts.partitions if facts.storage == "S3" else None,
        "rows": facts.rows,
        "bytes": facts.bytes,
        "lastMaterialization": conditions.stamp(at.astimezone(UTC)) if at else None,
    }
    return status | {key: value for key, value in shown.items() if value is not None}


def _federated(hot: AssetFacts | None, cold: AssetFacts | None) -> Object:
    """How far a Federated asset is: as its hot half, with what its cold half holds. State knows no hot rows."""
    at = max(
        (found.last_materialised_at for found in (hot, cold) if found and found.last_materialised_at), default=None
    )
    shown = {
        "cursor": hot.cursor if hot else None,
        "partitions": cold.partitions if cold else None,
        "rows": cold.rows if cold else None,
        "bytes": cold.bytes if cold else None,
        "lastMaterialization": conditions.stamp(at.astimezone(UTC)) if at else None,
    }
    return {key: value for key, value in shown.items() if value is not None}


def _unverified(facts: Mapping[str, AssetFacts]) -> Object:
    """What nobody checked of the rows behind the name; a Federated asset's, of both halves."""
    rules = sorted({rule for found in facts.values() for rule in found.unverified})
    return {"unverified": rules[:MAX_UNVERIFIED]} if rules else {}


async def reconcile_bundle(scope: Scope, obj: Object) -> None:
    """Bundles are stored and not run: their status says so."""
    bundle = graphs.parse("Bundle", obj)
    problems = bundle if isinstance(bundle, list) else graphs.check_bundle(bundle)
    new = [false("Valid", "NotSupported", conditions.listed([str(problem) for problem in problems]))]
    await scope.applier.status(Status(BUNDLES, obj, conditions.observed(obj, new, datetime.now(UTC))))


async def reconcile_lone_job(scope: Scope, obj: Object) -> None:
    """A hand-written Job whose DAG is not there."""
    message = f"spec.dag: there is no DAG {obj['spec'].get('dag')} in namespace {scope.namespace}"
    new = [false("Valid", "DagNotFound", message), false("Ready", "NotRunning", message)]
    await scope.applier.status(Status(JOBS, obj, conditions.observed(obj, new, datetime.now(UTC))))
