"""From an Asset object to the policy that state stores, and what of it counts.   (pure)

Three kinds of Assets give three answers. A valid one that a user wrote decides everything. The projection of a
publication is a view that nobody wrote: it has no say in who may read, so roles that a deleted Asset left behind
go on holding. An invalid one decides nothing, with one exception: data that any reader may read is closed to the
roles it names, because their author relies on it, and to wait for a correct spelling of another field would
leave the data open.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from traceplane import graph as graphs
from traceplane.drivers.kube import Object
from traceplane.graph import Graph
from traceplane.kinds import Asset
from traceplane.kinds.fields import seconds
from traceplane.reconcile import names
from traceplane.store.statements.asset_policies import Policy, Stored
from traceplane.store.statements.controller_facts import AssetFacts
from traceplane.versions.asset_policies import Policies
from traceplane_sdk.operator import OutputSchema, Storage


def declared(asset: Asset, obj: Object, storage: str) -> Policy:
    """The policy of a valid Asset; `storage` is where its data lives, where the Asset does not say it."""
    spec = asset.spec
    return Policy(
        name=asset.metadata.name,
        resource_uid=obj["metadata"]["uid"],
        storage=spec.storage or storage,
        federation=spec.federation.model_dump() if spec.federation else None,
        description=spec.description or "",
        read_roles=tuple(spec.read_roles),
        policy={"deletionPolicy": spec.deletion_policy}
        | ({"readNamespaces": spec.read_namespaces} if spec.read_namespaces else {})
        | _retention(asset)
        | _external(asset),
    )


def _retention(asset: Asset) -> dict[str, Any]:
    """As statements judge by it; nothing where the Asset keeps everything."""
    given = asset.spec.retention
    if given is None:
        return {}
    kept = {"versions": given.versions, "age_seconds": None if given.age is None else seconds(given.age)}
    return {"retention": {name: value for name, value in kept.items() if value is not None}}


def _external(asset: Asset) -> dict[str, Any]:
    """What a refresh reads, and when, of an external asset; nothing of another."""
    external, schema = asset.spec.external, asset.spec.schema_
    if external is None:
        return {}
    columns = [column.model_dump(mode="json") for column in schema.columns] if schema else None
    return {"external": external.model_dump(by_alias=True) | {"columns": columns}}


def closing(obj: Object, storage: str, stored: Stored | None = None) -> Policy | None:
    """What an invalid Asset closes; None where it names no roles. The API server saw to it that they are texts."""
    roles = (obj.get("spec") or {}).get("readRoles") or []
    if not roles:
        return None
    return Policy(
        name=obj["metadata"]["name"],
        resource_uid=obj["metadata"]["uid"],
        storage=stored.policy.storage if stored else storage,
        federation=stored.policy.federation if stored else None,
        read_roles=tuple(roles),
    )


def of_publications(graph: Graph, assets: Iterable[Object]) -> Policies:
    """The policies that must hold when `graph` is published. `assets`: what users wrote under its names."""
    lives_in = {
        publication.asset: output.schema.storage.value
        for publication in graph.publications
        for output in graph.job(publication.job).outputs
        if output.name == publication.output
    }
    valid, other = [], []
    for obj in assets:
        asset, storage = graphs.parse("Asset", obj), lives_in[obj["metadata"]["name"]]
        if isinstance(asset, Asset) and not graphs.check_asset(asset):
            valid.append(declared(asset, obj, storage))
        elif (roles := closing(obj, storage)) is not None:
            other.append(roles)
    return Policies(tuple(valid), tuple(other))


def keeps_roles(obj: Object) -> bool:
    """Whether the Asset has no say in who may read: nobody wrote it."""
    return names.projected(obj) and not (obj.get("spec") or {}).get("readRoles")


def left_behind(obj: Object, stored: Stored | None) -> str:
    """What to say of roles that nobody declares any more but that hold; empty where there are none."""
    if stored is None or not stored.policy.read_roles or not keeps_roles(obj):
        return ""
    roles = ", ".join(stored.policy.read_roles)
    return (
        f"only {roles} may read, as a deleted Asset of this name required; apply an Asset of this name to change it"
    )


def holds(policy: Policy, stored: Stored | None, *, keep_roles: bool) -> bool:
    """Whether state has that policy already."""
    if stored is None or stored.deleted:
        return False
    roles = stored.policy.read_roles if keep_roles else policy.read_roles
    return stored.policy == replace(policy, read_roles=roles)


def running(facts: Mapping[str, AssetFacts]) -> dict[str, OutputSchema]:
    """The schema of each published asset as it is read now, whatever its DAG's newest spec says."""
    return {
        name: OutputSchema(
            storage=Storage(found.storage),
            columns=graphs.columns_of(found.columns),
            unique_key=(),
            scope_column=found.scope_column,
            sort_by=(),
        )
        for name, found in facts.items()
    }
