"""The reconcile of one Asset (its policy goes to state, its status comes from there), of a Bundle, of a lone Job.

An Asset needs no DAG and a DAG no Asset: the policy is stored as soon as it is right, and whether anything can be
read under the name is what its condition Ready says.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from traceplane import graph as graphs
from traceplane.dispatch import assets
from traceplane.drivers.kube import ASSETS, BUNDLES, JOBS
from traceplane.kinds import Asset
from traceplane.kit import crash
from traceplane.reconcile import conditions
from traceplane.reconcile.conditions import Condition, false, true
from traceplane.reconcile.dag import Object, Scope
from traceplane.reconcile.plan import Status
from traceplane.store.statements import observe
from traceplane.store.statements.observe import AssetFacts

STORED = crash.declare("asset.stored")


class Assets:
    """Reconciles Assets, declared and projected alike."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def reconcile(self, obj: Object) -> None:
        """Store the policy, show the state."""
        facts = await self._facts()
        asset = graphs.parse("Asset", obj)
        problems = asset if isinstance(asset, list) else graphs.check_asset(asset)
        if not isinstance(asset, list) and not problems:
            problems = graphs.check_federation(asset, self._scope.manifests.published())
        if isinstance(asset, list) or problems:
            lines = [str(problem) for problem in problems]
            condition = false("Ready", "Invalid", conditions.listed(lines))
        else:
            await self._store(asset, obj, facts)
            condition = ready(asset, facts)
        name = obj["metadata"]["name"]
        status = _status(obj, [condition], facts.get(name), self._scope.namespace)
        await self._scope.applier.status(Status(ASSETS, obj, status))

    async def gone(self, name: str) -> None:
        """Nobody declares that Asset any more: its policy goes, the data stays."""
        async with self._scope.database.transaction() as conn:
            await assets.delete_asset(conn, org_id=self._scope.org_id, namespace=self._scope.namespace, name=name)
        crash.point(STORED)

    async def _store(self, asset: Asset, obj: Object, facts: Mapping[str, AssetFacts]) -> None:
        spec, name = asset.spec, asset.metadata.name
        storage = spec.storage or (facts[name].storage if name in facts else None)
        if storage is None:
            return  # it takes the storage of what will be published under its name
        async with self._scope.database.transaction() as conn:
            await assets.upsert_asset(
                conn,
                org_id=self._scope.org_id,
                namespace=self._scope.namespace,
                name=name,
                resource_uid=obj["metadata"]["uid"],
                storage=storage,
                federation=spec.federation.model_dump() if spec.federation else None,
                description=spec.description or "",
                read_roles=spec.read_roles,
                policy={"deletionPolicy": spec.deletion_policy},
            )
        crash.point(STORED)

    async def _facts(self) -> dict[str, AssetFacts]:
        async with self._scope.database.transaction() as conn:
            return await observe.asset_facts(conn, org_id=self._scope.org_id, namespace=self._scope.namespace)


def ready(asset: Asset, facts: Mapping[str, AssetFacts]) -> Condition:
    """Whether readers can query the asset. Pure."""
    federation = asset.spec.federation
    if federation is None:
        found = facts.get(asset.metadata.name)
        if found is not None and asset.spec.storage not in (None, found.storage):
            said = f"spec.storage is {asset.spec.storage}, but what is published lives in {found.storage}"
            return false("Ready", "StorageMismatch", said)
        return _published({asset.metadata.name: found})
    parts = {federation.hot: "Postgres", federation.cold: "S3"}
    for part, storage in parts.items():
        found = facts.get(part)
        if found is not None and found.storage != storage:
            return false("Ready", "StorageMismatch", f"{part} lives in {found.storage}; it must be in {storage}")
    return _published({part: facts.get(part) for part in parts})


def _published(parts: Mapping[str, AssetFacts | None]) -> Condition:
    missing = [name for name, found in parts.items() if found is None]
    if missing:
        return false("Ready", "NotPublished", f"no active DAG version publishes {', '.join(missing)}")
    making = [name for name, found in parts.items() if found and not found.provisioned]
    if making:
        return false("Ready", "Provisioning", f"the table of {', '.join(making)} is being made")
    return true("Ready", "Published", "")


def _status(obj: Object, new: list[Condition], facts: AssetFacts | None, namespace: str) -> Object:
    old = (obj.get("status") or {}).get("conditions") or []
    generation = int(obj["metadata"].get("generation") or 0)
    table = f"{namespace}.{obj['metadata']['name']}".replace("-", "_")
    status: dict[str, Any] = {
        "observedGeneration": generation,
        "conditions": conditions.merged(old, new, generation, datetime.now(UTC)),
        "table": table,
    }
    if storage := (facts.storage if facts else obj["spec"].get("storage")):
        status["storage"] = storage
    if facts is None:
        return status
    at = facts.last_materialised_at
    shown = {
        "datasetId": str(facts.dataset_id),
        "currentVersion": str(facts.dataset_version_id),
        "producer": f"{facts.dag}/{facts.job}/{facts.output}",
        "cursor": facts.cursor,
        "partitions": facts.partitions if facts.storage == "S3" else None,
        "rows": facts.rows,
        "bytes": facts.bytes,
        "lastMaterialization": conditions.stamp(at.astimezone(UTC)) if at else None,
    }
    return status | {key: value for key, value in shown.items() if value is not None}


async def reconcile_bundle(scope: Scope, obj: Object) -> None:
    """Bundles are kept and not run: saying so is all there is to do."""
    bundle = graphs.parse("Bundle", obj)
    problems = bundle if isinstance(bundle, list) else graphs.check_bundle(bundle)
    new = [false("Valid", "NotSupported", conditions.listed([str(problem) for problem in problems]))]
    await scope.applier.status(Status(BUNDLES, obj, _conditions(obj, new)))


async def reconcile_lone_job(scope: Scope, obj: Object) -> None:
    """A hand-written Job whose DAG is not there."""
    said = f"spec.dag: there is no DAG {obj['spec'].get('dag')} in namespace {scope.namespace}"
    new = [false("Valid", "DagNotFound", said), false("Ready", "NotRunning", said)]
    await scope.applier.status(Status(JOBS, obj, _conditions(obj, new)))


def _conditions(obj: Object, new: list[Condition]) -> Object:
    old = (obj.get("status") or {}).get("conditions") or []
    generation = int(obj["metadata"].get("generation") or 0)
    merged = conditions.merged(old, new, generation, datetime.now(UTC))
    return {"observedGeneration": generation, "conditions": merged}
