"""Make Postgres agree with a DAG: one transaction from an assembled graph to a current version.

The controller calls this at every look at a DAG, so the usual answer is "unchanged" and costs a few reads. A new
spec becomes a DAG version; jobs that state already has a generation of (by config hash) keep it, with its data,
cursors and queue; the rest get new generations and dataset versions with places of their own. Then the pointers
move. What the move leaves behind is canceled, what it brings back is caught up, hot tables are asked for through
the outbox. All of it is visible at once or not at all.

A spec that needs new generations replaces nothing that runs: it is refused until staging is supported.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from traceplane.errors import Refused, Stale
from traceplane.graph import Graph
from traceplane.kit.ids import uuid7
from traceplane.store.statements import versions as statements
from traceplane.versions import asset_policies, limits
from traceplane.versions.diff import Generation, refusal
from traceplane.versions.rows import (
    Names,
    Versions,
    generation_rows,
    input_rows,
    version_job_rows,
    version_rows,
)


@dataclass(frozen=True, slots=True)
class DeployedJob:
    """A job generation of the current version."""

    id: UUID
    name: str
    config_hash: str


@dataclass(frozen=True, slots=True)
class Deployment:
    """What a deploy came to. `result`: Created (first version), Updated, or Unchanged."""

    version_id: UUID
    spec_hash: str
    result: str
    jobs: tuple[DeployedJob, ...]


_NO_POLICIES = asset_policies.Policies()


class PublishedElsewhere(Refused):
    """An asset of this DAG is published by another one; nothing was changed."""

    code = "PublishedElsewhere"


async def deploy(
    conn: AsyncConnection,
    *,
    org_id: UUID,
    graph: Graph,
    resource_uid: str,
    generation: int,
    bucket: str,
    policies: asset_policies.Policies = _NO_POLICIES,
) -> Deployment:
    """Make `graph` the current version of its DAG, inside the caller's transaction.

    `generation` is the resource's `metadata.generation`; `bucket` is where cold datasets go; `policies` are those
    of the Assets declared for what the graph publishes: they hold from the moment it is published. Raises
    RebuildNotSupported, PublishedElsewhere, PrefixesTooLarge, or Stale where somebody else deployed a newer
    generation of the same resource or began to delete it; the caller's transaction must then roll back, and nothing
    has changed.
    """
    names = Names(org_id, graph.namespace, graph.dag)
    resource = {"uid": resource_uid, "generation": generation}
    await conn.execute(statements.MAKE_POINTER, names.key | resource)
    pointer = (await conn.execute(statements.LOCK_POINTER, names.key)).mappings().one()
    _refuse_stale(pointer, resource_uid, generation, graph.dag)
    active = pointer["active_version_id"] if pointer["deleted_at"] is None else None
    known = await _generations(conn, names, graph, active)
    if active is not None and pointer["spec_hash"] == graph.spec_hash:
        await conn.execute(statements.SEEN, names.key | resource)
        result, version_id, ids = "Unchanged", active, _ids(known)
    else:
        refused = refusal(graph, known) if active is not None else None
        if refused is not None:
            raise refused
        ids = _ids(known)
        version_id = await _define(conn, names, graph, ids, bucket)
        await _publish(conn, names, version_id)
        await asset_policies.declare(conn, org_id=org_id, namespace=names.namespace, policies=policies.declared)
        await asset_policies.close(conn, org_id=org_id, namespace=names.namespace, policies=policies.closing)
        await conn.execute(statements.ACTIVATE, names.key | resource | {"version": version_id})
        await _move_work(conn, version_id, graph, ids, known)
        result = "Created" if pointer["active_version_id"] is None else "Updated"
    jobs = tuple(DeployedJob(ids[job.name, job.config_hash], job.name, job.config_hash) for job in graph.jobs)
    await _ensure(conn, names, version_id, [job.id for job in jobs], announce=result != "Unchanged")
    return Deployment(version_id, graph.spec_hash, result, jobs)


def _refuse_stale(pointer: RowMapping, resource_uid: str, generation: int, dag: str) -> None:
    """Another controller may have seen more of this resource: it never comes back from deletion, nor gets older."""
    if pointer["resource_uid"] != resource_uid:
        return
    if pointer["deleted_at"] is not None:
        raise Stale(f"DAG {dag} is being deleted")
    if pointer["resource_generation"] > generation:
        raise Stale(f"generation {pointer['resource_generation']} of DAG {dag} is deployed already")


async def _generations(conn: AsyncConnection, names: Names, graph: Graph, active: UUID | None) -> list[Generation]:
    wanted = [{"name": job.name, "config_hash": job.config_hash} for job in graph.jobs]
    found = await conn.execute(statements.GENERATIONS, names.key | {"active": active, "rows": wanted})
    return [Generation(**row) for row in found.mappings()]


def _ids(known: list[Generation]) -> dict[tuple[str, str], UUID]:
    return {(generation.name, generation.config_hash): generation.id for generation in known}


async def _define(
    conn: AsyncConnection, names: Names, graph: Graph, ids: dict[tuple[str, str], UUID], bucket: str
) -> UUID:
    """Write the version and all it consists of; `ids` gains the new generations. Returns the version's id."""
    version: UUID = (
        await conn.execute(
            statements.UPSERT_VERSION,
            names.key | {"id": uuid7(), "spec_hash": graph.spec_hash, "rows": graph.spec},
        )
    ).scalar_one()
    for job in graph.jobs:
        ids.setdefault((job.name, job.config_hash), uuid7())
    org = {"org": names.org_id}
    await conn.execute(statements.UPSERT_JOBS, names.key | {"rows": generation_rows(graph, ids)})
    outputs = [
        {"job": job.name, "output": output.name, "storage": output.schema.storage.value}
        for job in graph.jobs
        for output in job.outputs
    ]
    datasets = {
        (row.job, row.output): row.id
        for row in await conn.execute(statements.UPSERT_DATASETS, names.key | {"rows": outputs})
    }
    rows = version_rows(names, graph, ids, datasets, bucket)
    made = (await conn.execute(statements.UPSERT_DATASET_VERSIONS, org | {"rows": rows})).all()
    cold = {row.dataset_id: row.location for row in made if row.storage == "S3"}
    refused = limits.refusal(graph, {name: cold[id_] for name, id_ in datasets.items() if id_ in cold})
    if refused is not None:
        raise refused
    versions = Versions(datasets, {row.dataset_id: row.id for row in made})
    held = org | {"version": version}
    await conn.execute(statements.INSERT_INPUTS, org | {"rows": input_rows(graph, ids, versions)})
    await conn.execute(statements.INSERT_VERSION_JOBS, held | {"rows": version_job_rows(graph, ids)})
    await conn.execute(statements.INSERT_VERSION_DATASETS, held | {"rows": versions.pointers()})
    assets = [{"asset": p.asset, "dataset_id": str(datasets[p.job, p.output])} for p in graph.publications]
    await conn.execute(statements.INSERT_VERSION_ASSETS, held | {"rows": assets})
    return version


async def _publish(conn: AsyncConnection, names: Names, version: UUID) -> None:
    parameters = names.key | {"version": version}
    await conn.execute(statements.UNPUBLISH, parameters)
    await conn.execute(statements.PUBLISH, parameters)
    taken: list[RowMapping] = list((await conn.execute(statements.PUBLISHED_ELSEWHERE, parameters)).mappings())
    if taken:
        by = ", ".join(f"{row['asset']} (by DAG {row['dag']})" for row in taken)
        raise PublishedElsewhere(f"already published: {by}. Choose other asset names in spec.publish")


async def _move_work(
    conn: AsyncConnection,
    version: UUID,
    graph: Graph,
    ids: dict[tuple[str, str], UUID],
    known: list[Generation],
) -> None:
    """Cancel the work of generations left behind; take up that of generations that are current again."""
    current = {ids[job.name, job.config_hash] for job in graph.jobs}
    left = [generation.id for generation in known if generation.active and generation.id not in current]
    back = [generation.id for generation in known if not generation.active and generation.id in current]
    for cancel in (statements.CANCEL_WAITING, statements.CANCEL_RUNNING):
        await conn.execute(cancel, {"jobs": left})
    await conn.execute(statements.KEEP_RUNNING, {"jobs": back})
    routed = (await conn.execute(statements.ROUTE_MISSED, {"jobs": back, "version": version})).scalars()
    await conn.execute(statements.WAKE, {"jobs": list(set(routed))})
    await conn.execute(statements.REPRIORITISE, {"version": version})


async def _ensure(conn: AsyncConnection, names: Names, version: UUID, jobs: list[UUID], *, announce: bool) -> None:
    """Hot tables are asked for and sources have their task, at every look: what was lost is put right."""
    asked = (await conn.execute(statements.PROVISION, {"jobs": jobs})).all()
    parameters = {"jobs": jobs, "version": version}
    started = list((await conn.execute(statements.ENSURE_SOURCES, parameters)).scalars())
    if started:
        await conn.execute(statements.WAKE, {"jobs": started})
    if announce or asked or started:
        await conn.execute(statements.NOTIFY, {"dag": f"{names.namespace}/{names.dag}"})
