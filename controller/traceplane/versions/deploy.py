"""Make Postgres agree with a DAG: one transaction from an assembled graph to a current version.

The controller calls this at every look at a DAG, so the usual result is "unchanged" and costs a few reads. A new
spec becomes a DAG version; jobs that state already has a generation of (by config hash) keep it, with its data,
cursors and queue; the rest get new generations and dataset versions with places of their own. Then the pointers
move. What the move leaves behind is canceled, what it brings back is caught up, hot tables are requested through
the outbox. All of it is visible at once or not at all.

A spec that needs new generations replaces nothing that runs: it is refused until staging is supported.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from uuid import UUID

from traceplane.errors import Refused, Stale
from traceplane.graph import Graph
from traceplane.kit.ids import uuid7
from traceplane.store.engine import Connection
from traceplane.store.statements import (
    cancel,
    datasets,
    enqueue,
    hot_tables,
    notify,
    pointers,
    publications,
    versions,
)
from traceplane.store.statements.pointers import DagKey, Pointer, Resource
from traceplane.store.statements.versions import StoredGeneration
from traceplane.versions import diff, limits, rows
from traceplane.versions.asset_policies import Policies, put_in_force


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


_NO_POLICIES = Policies()


class PublishedElsewhere(Refused):
    """An asset of this DAG is published by another one; nothing was changed."""

    code = "PublishedElsewhere"


async def deploy(
    conn: Connection,
    *,
    org_id: UUID,
    graph: Graph,
    resource_uid: str,
    generation: int,
    bucket: str,
    policies: Policies = _NO_POLICIES,
) -> Deployment:
    """Make `graph` the current version of its DAG, inside the caller's transaction.

    `generation` is the resource's `metadata.generation`; `bucket` is where cold datasets go; `policies` are those
    of the Assets declared for what the graph publishes: they hold from the moment it is published. Raises
    RebuildNotSupported, PublishedElsewhere, PrefixesTooLarge, or Stale where a newer generation of the same
    resource is deployed already or the resource is being deleted; the caller's transaction must then roll back, and
    nothing has changed.
    """
    dag, resource = DagKey(org_id, graph.namespace, graph.dag), Resource(resource_uid, generation)
    pointer = await pointers.lock(conn, dag, resource)
    _refuse_stale(pointer, resource, graph.dag)
    active = pointer.active_version_id if pointer.deleted_at is None else None
    wanted = [(job.name, job.config_hash) for job in graph.jobs]
    known = await versions.generations(conn, dag, active=active, wanted=wanted)
    ids = {(generation.name, generation.config_hash): generation.id for generation in known}
    if active is not None and pointer.spec_hash == graph.spec_hash:
        await pointers.record_resource(conn, dag, resource)
        result, version_id = "Unchanged", active
    else:
        if active is not None and (refused := diff.refusal(graph, known)) is not None:
            raise refused
        ids |= {key: uuid7() for key in wanted if key not in ids}
        version_id = await _define(conn, dag, graph, ids, bucket)
        await _publish(conn, dag, version_id)
        await put_in_force(conn, dag, policies)
        # The pointer moves before the work does: tasks are made for what runs by the pointer.
        await pointers.activate(conn, dag, resource, version_id)
        await _move_work(conn, version_id, current={ids[key] for key in wanted}, known=known)
        result = "Created" if pointer.active_version_id is None else "Updated"
    jobs = tuple(DeployedJob(ids[job.name, job.config_hash], job.name, job.config_hash) for job in graph.jobs)
    await _ensure(conn, dag, [job.id for job in jobs], announce=result != "Unchanged")
    return Deployment(version_id, graph.spec_hash, result, jobs)


def _refuse_stale(pointer: Pointer, resource: Resource, dag: str) -> None:
    """Another controller may have seen more of this resource: it never comes back from deletion, nor gets older."""
    if pointer.resource_uid != resource.uid:
        return
    if pointer.deleted_at is not None:
        raise Stale(f"DAG {dag} is being deleted")
    if pointer.resource_generation > resource.generation:
        raise Stale(f"generation {pointer.resource_generation} of DAG {dag} is deployed already")


async def _define(
    conn: Connection, dag: DagKey, graph: Graph, ids: Mapping[tuple[str, str], UUID], bucket: str
) -> UUID:
    """Write the version and all it consists of, as far as it is new. Returns the version's id."""
    version = await versions.put_version(conn, dag, version_id=uuid7(), spec_hash=graph.spec_hash, spec=graph.spec)
    await versions.put_generations(conn, dag, rows.generation_rows(graph, ids))
    named = await datasets.put_datasets(conn, dag, rows.dataset_rows(graph))
    placed = await datasets.put_versions(conn, dag.org_id, rows.version_rows(dag, graph, ids, named, bucket))
    # Only here are all places known: those of known versions lie where an earlier deploy put them.
    cold = {row.dataset_id: row.location for row in placed if row.storage == "S3"}
    refused = limits.refusal(graph, {name: cold[id_] for name, id_ in named.items() if id_ in cold})
    if refused is not None:
        raise refused
    current = {row.dataset_id: row.id for row in placed}
    await datasets.put_inputs(conn, dag.org_id, rows.input_rows(graph, ids, named, current))
    await versions.put_members(
        conn,
        dag.org_id,
        version,
        jobs=rows.version_job_rows(graph, ids),
        datasets=current,
        assets={published.asset: named[published.job, published.output] for published in graph.publications},
    )
    return version


async def _publish(conn: Connection, dag: DagKey, version_id: UUID) -> None:
    taken = await publications.replace(conn, dag, version_id)
    if taken:
        by = ", ".join(f"{asset} (by DAG {other})" for asset, other in taken)
        raise PublishedElsewhere(f"already published: {by}. Choose other asset names in spec.publish")


async def _move_work(
    conn: Connection, version_id: UUID, *, current: Collection[UUID], known: Collection[StoredGeneration]
) -> None:
    """Cancel the work of generations left behind; take up that of generations that become current."""
    active = {generation.id for generation in known if generation.active}
    left = list(active.difference(current))
    # A generation that is new here may read a dataset version whose events are older than itself.
    back = list(set(current).difference(active))
    await cancel.waiting(conn, job_ids=left)
    await cancel.request_stop(conn, job_ids=left)
    await cancel.withdraw_stop(conn, job_ids=back)
    await notify.jobs(conn, await enqueue.missed_events(conn, job_ids=back))
    await enqueue.reprioritise(conn, version_id=version_id)


async def _ensure(conn: Connection, dag: DagKey, job_ids: list[UUID], *, announce: bool) -> None:
    """Hot tables are requested and sources have their task, at every look: what was lost is put right."""
    requested = await hot_tables.request(conn, job_ids)
    started = await enqueue.sources(conn, job_ids=job_ids)
    await notify.jobs(conn, started)
    if announce or requested or started:
        await notify.deployed(conn, f"{dag.namespace}/{dag.dag}")
