"""Make Postgres agree with a DAG: one transaction from an assembled graph to a version that runs.

The controller calls this at every look at a DAG, so the usual result is "unchanged" and costs a few reads. A new
spec becomes a DAG version; jobs that state already has a generation of (by config hash) keep it, with its data,
cursors and queue; the rest get new generations and dataset versions with places of their own.

Where everything is built already the pointers move at once. Otherwise the version is staged: the new generations
run beside the active version, which goes on working and serving until `rollout.cut_over`. All of a deploy is
visible at once or not at all.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from traceplane.errors import Refused, Stale
from traceplane.graph import Graph
from traceplane.kit.ids import uuid7
from traceplane.store.engine import Connection
from traceplane.store.statements import datasets, notify, pointers, previews, publications, versions, views
from traceplane.store.statements.pointers import DagKey, Pointer, Resource
from traceplane.store.statements.publications import Taken
from traceplane.store.statements.versions import StoredGeneration
from traceplane.versions import asset_inputs, diff, limits, rows, work
from traceplane.versions.asset_policies import Policies, put_in_force


@dataclass(frozen=True, slots=True)
class DeployedJob:
    """A job generation of the deployed version."""

    id: UUID
    name: str
    config_hash: str


@dataclass(frozen=True, slots=True)
class Deployment:
    """What a deploy came to. `result`: Created (first version), Updated, Staged (it is built beside the active
    one), Preview (the range over which that is built is another), Unchanged, or Held (somebody rolled this spec
    back)."""

    version_id: UUID
    spec_hash: str
    result: str
    jobs: tuple[DeployedJob, ...]
    rebuilds: tuple[diff.Rebuild, ...] = ()
    """Of a version that was staged now: the jobs that are made anew."""


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
    """Make `graph` the version of its DAG that runs or is staged, inside the caller's transaction.

    `generation` is the resource's `metadata.generation`; `bucket` is where cold datasets go; `policies` are those
    of the Assets declared for what the graph publishes: they hold from the moment it is published. Raises
    PublishedElsewhere, PrefixesTooLarge, or Stale where a newer generation of the same resource is deployed
    already, the resource is being deleted, or what it reads of another DAG was purged meanwhile; the caller's
    transaction must then roll back, and nothing has changed.
    """
    dag, resource = DagKey(org_id, graph.namespace, graph.dag), Resource(resource_uid, generation)
    pointer = await pointers.lock(conn, dag, resource)
    _refuse_stale(pointer, resource, graph.dag)
    await pointers.record_resource(conn, dag, resource)
    active, staged = pointer.running
    wanted = [(job.name, job.config_hash) for job in graph.jobs]
    known = await versions.generations(conn, dag, active=active, staged=staged, wanted=wanted)
    ids = {(generation.name, generation.config_hash): generation.id for generation in known}
    if active is not None and graph.written_hash == pointer.held_spec_hash and graph.spec_hash != pointer.spec_hash:
        await work.ensure(conn, dag, work.running(known), announce=False)
        return Deployment(active, graph.spec_hash, "Held", ())
    ids |= {key: uuid7() for key in wanted if key not in ids}
    rebuilds: tuple[diff.Rebuild, ...] = ()
    if active is not None and graph.spec_hash == pointer.spec_hash:
        version_id, result = active, await _back_to_active(conn, dag, pointer, known)
    elif staged is not None and graph.spec_hash == pointer.staged_spec_hash:
        version_id, result = staged, await _preview(conn, staged, active, known, graph.preview)
    else:
        version_id = await _define(conn, dag, graph, ids, bucket)
        job_ids = [ids[key] for key in wanted]
        if active is not None and (rebuilds := diff.scope(graph, known)):
            await _stage(conn, dag, version_id, active, known, job_ids, graph.preview)
            result = "Staged"
        else:
            await activate(conn, dag, version_id, known, job_ids, policies)
            result = "Created" if pointer.active_version_id is None else "Updated"
    jobs = tuple(DeployedJob(ids[job.name, job.config_hash], job.name, job.config_hash) for job in graph.jobs)
    beside = work.serving(known) if result == "Staged" or version_id == staged else set()
    await work.ensure(conn, dag, beside.union(job.id for job in jobs), announce=result != "Unchanged")
    return Deployment(version_id, graph.spec_hash, result, jobs, rebuilds)


async def activate(
    conn: Connection,
    dag: DagKey,
    version_id: UUID,
    known: Collection[StoredGeneration],
    job_ids: Collection[UUID],
    policies: Policies = _NO_POLICIES,
    held: str | None = None,
) -> None:
    """Make a version with the generations `job_ids` the one that works and serves, under the pointer's lock.

    `known` are those that ran before. Raises PublishedElsewhere.
    """
    _refuse_taken(await publications.replace(conn, dag, version_id))
    await put_in_force(conn, dag, policies)
    await pointers.activate(conn, dag, version_id, held=held)
    await versions.apply(conn, version_id, but=None)
    short = await previews.clear(conn, job_ids=list(job_ids))
    await work.move(conn, before=work.running(known).difference(short), after=job_ids, active=version_id)
    await asset_inputs.wake_readers(conn, dag)
    await views.request(conn, dag.org_id, dag.namespace, [dag.dag])


async def _stage(
    conn: Connection,
    dag: DagKey,
    version_id: UUID,
    active: UUID,
    known: Collection[StoredGeneration],
    job_ids: Collection[UUID],
    preview: previews.Range | None,
) -> None:
    """Build a version beside the active one, in the place of what was staged before; of `preview`, that only."""
    _refuse_taken(await publications.taken(conn, dag, version_id))
    await pointers.stage(conn, dag, version_id)
    # What the active version runs stays as that says, until the cutover.
    await versions.apply(conn, version_id, but=active)
    after = work.serving(known).union(job_ids)
    changed = await previews.put(conn, staged=version_id, active=active, preview=preview)
    await work.move(conn, before=work.running(known).difference(changed), after=after, active=active)


async def _preview(
    conn: Connection,
    staged: UUID,
    active: UUID | None,
    known: Collection[StoredGeneration],
    preview: previews.Range | None,
) -> str:
    """Build what is staged over another range than before, or whole: what is missing of that is made now."""
    changed = await previews.put(conn, staged=staged, active=active, preview=preview)
    if not changed or active is None:
        return "Unchanged"
    running = work.running(known)
    await work.move(conn, before=running.difference(changed), after=running, active=active)
    await notify.jobs(conn, changed)  # sources, which may have been held back
    return "Preview"


async def _back_to_active(
    conn: Connection, dag: DagKey, pointer: Pointer, known: Collection[StoredGeneration]
) -> str:
    """The spec is the one that runs: nothing is staged beside it, nor held off, any more."""
    if pointer.active_version_id is None or (pointer.staged_version_id or pointer.held_spec_hash) is None:
        return "Unchanged"
    await pointers.stage(conn, dag, None)
    await versions.apply(conn, pointer.active_version_id, but=None)
    active = pointer.active_version_id
    await work.move(conn, before=work.running(known), after=work.serving(known), active=active)
    return "Updated"


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
    await asset_inputs.hold(conn, graph)
    version = await versions.put_version(
        conn, dag, version_id=uuid7(), spec_hash=graph.spec_hash, written_hash=graph.written_hash, spec=graph.spec
    )
    await versions.put_generations(conn, dag, rows.generation_rows(graph, ids))
    named = await datasets.put_datasets(conn, dag, rows.dataset_rows(graph))
    written = rows.version_rows(dag, graph, ids, named, bucket)
    placed = await datasets.put_versions(conn, dag.org_id, written)
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
        marks=rows.marks(written),
        assets={published.asset: named[published.job, published.output] for published in graph.publications},
    )
    return version


def _refuse_taken(taken: Sequence[Taken]) -> None:
    if taken:
        by = ", ".join(f"{asset} (by DAG {other})" for asset, other in taken)
        raise PublishedElsewhere(f"already published: {by}. Choose other asset names in spec.publish")
