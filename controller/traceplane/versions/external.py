"""External assets: what is published under a name though no job makes it, and how a refresh moves it.

An external asset is published by a DAG of its own that no object stands for: `prices` by `prices.external`. One
generation of it refreshes; its task carries the source as it was declared when the refresh was asked for. Each
content that a refresh finds is a version of that DAG, known by its hash, with a dataset version of its own. So all
that readers, rollback and garbage collection know of versions holds here, and the pointer moves as in any cutover.

A refresh commits under the lock of the pointer and the fence of its attempt, in one transaction. Where the content
is the current one already nothing is written; where it is a former one, the pointer goes back to it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from traceplane.errors import NotFound, Refused, Stale
from traceplane.kit import crash
from traceplane.kit.ids import uuid7
from traceplane.store.engine import Connection
from traceplane.store.statements import asset_policies, datasets, enqueue, external, notify, pointers, versions
from traceplane.store.statements.datasets import DatasetRow, DatasetVersionRow
from traceplane.store.statements.external import Committed
from traceplane.store.statements.pointers import DagKey, Pointer, Resource
from traceplane.store.statements.versions import VersionJobRow
from traceplane.versions import deletion, deploy, rows

OPERATOR = "external"
"""Whose tasks refresh. No job can name it: it is not registered as an operator."""
REFRESH, CONTENT = "refresh", "content"
"""Names of the generation that refreshes, and of those that stand for a content."""
KIND = "external"
"""`kind` in the scope of a refresh."""
TIMEOUT_SECONDS = 3600
MAX_ATTEMPTS = 5
HEARTBEAT_SECONDS = 60

COMMITTING = crash.declare("external.committing")

_DEFINITION: Mapping[str, Any] = {"config": {}}
_NOTHING = hashlib.sha256(b"").hexdigest()


class Outcome(StrEnum):
    """What a refresh came to."""

    UPDATED = "Updated"
    """The content is new: there is a version more, and readers get it."""
    UNCHANGED = "Unchanged"
    RESTORED = "Restored"
    """The content is that of a former version, which readers get again."""
    HELD = "Held"
    """Somebody rolled back from this content: readers keep the version that they get."""


class NotExternal(Refused):
    """The asset is made by a job, or nobody declares it. HTTP 409."""

    code = "NotExternal"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a content goes that is not there yet."""

    dataset: UUID
    output: str
    version: UUID
    location: str


@dataclass(frozen=True, slots=True)
class Found:
    """What a refresh read. `identity` is the hash of the content and of how it is read."""

    identity: str
    content: str
    source: str
    columns: Sequence[Mapping[str, Any]]
    committed: Committed


@dataclass(frozen=True, slots=True)
class Attempt:
    """The fence of a refresh."""

    task_id: UUID
    attempt: int
    lease_epoch: int


def key(org_id: UUID, namespace: str, asset: str) -> DagKey:
    """The DAG of an external asset."""
    return DagKey(org_id, namespace, asset + external.SUFFIX)


def asset_of(dag: str) -> str:
    """The asset of such a DAG."""
    return dag.removesuffix(external.SUFFIX)


def is_external(dag: str) -> bool:
    """Whether a DAG is that of an external asset."""
    return dag.endswith(external.SUFFIX)


async def request(
    conn: Connection, *, org_id: UUID, namespace: str, asset: str, unless_since: datetime | None = None
) -> UUID | None:
    """Ask for a refresh; the id of its task, which may have waited already.

    None where one was asked for at `unless_since` or later. Raises NotFound, NotExternal.
    """
    stored = (await asset_policies.stored(conn, org_id=org_id, namespace=namespace, names=[asset])).get(asset)
    if stored is None or stored.deleted:
        raise NotFound(f"there is no asset {asset!r} in namespace {namespace!r}")
    source = stored.policy.policy.get("external")
    if source is None:
        raise NotExternal(f"asset {asset!r} has no spec.external: a job makes it, and there is nothing to refresh")
    dag = key(org_id, namespace, asset)
    job_id = await _ready(conn, dag, Resource(stored.policy.resource_uid, 1))
    if unless_since is not None and await external.queued_since(conn, job_id=job_id, since=unless_since):
        return None
    scope = {"kind": KIND, "source": {name: source.get(name) for name in ("uri", "table", "columns")}}
    waiting = await external.queued(conn, job_id=job_id, scope=scope)
    if waiting is not None:
        return waiting
    task = f"refresh:{uuid7()}"
    made = await enqueue.one(conn, job_id=job_id, dedupe_key=task, scope=scope)
    await notify.jobs(conn, [job_id])
    return made


async def current(conn: Connection, dag: DagKey, identity: str, task_id: UUID) -> Outcome | None:
    """What a refresh that found this content comes to, without a look at its rows; None: it is new.

    Moves the pointer where a former version has it. Raises Stale.
    """
    pointer = await _locked(conn, dag)
    known = await external.known(conn, dag, identity=identity)
    if known is None:
        return None
    if known.id == pointer.active_version_id:
        # An attempt before may have committed it, and not lived to say so.
        return Outcome.UPDATED if known.made_by == task_id else Outcome.UNCHANGED
    if pointer.held_spec_hash == identity:
        return Outcome.HELD
    return Outcome.RESTORED


async def place(conn: Connection, dag: DagKey, bucket: str) -> Place:
    """Where a new content's files go. What comes of it is decided at the commit."""
    named = await datasets.put_datasets(conn, dag, [DatasetRow(CONTENT, _output(dag), "S3")])
    version = uuid7()
    location = f"s3://{bucket}/{dag.org_id}/{dag.namespace}/{dag.dag}/{CONTENT}/{_output(dag)}/{version}/"
    return Place(named[CONTENT, _output(dag)], _output(dag), version, location)


async def restore(conn: Connection, dag: DagKey, identity: str, fence: Attempt) -> None:
    """Point at the version with this content that `current` found in this transaction. Raises Stale,
    PublishedElsewhere."""
    await _fenced(conn, dag, fence)
    known = await external.known(conn, dag, identity=identity)
    assert known is not None  # under the pointer's lock, which `current` took, nothing is purged
    await _activate(conn, dag, known.id)


async def commit(conn: Connection, dag: DagKey, found: Found, place: Place, fence: Attempt) -> None:
    """Make the content a version, and let readers get it. Raises Stale, PublishedElsewhere."""
    await _fenced(conn, dag, fence)
    spec = {
        "source": found.source,
        "content": found.content,
        "columns": list(found.columns),
        "task": str(fence.task_id),
    }
    version = await versions.put_version(
        conn, dag, version_id=uuid7(), spec_hash=found.identity, written_hash=found.identity, spec=spec
    )
    await external.describe(
        conn, version_id=version, spec=spec
    )  # a purged version keeps its number, and comes back
    job_id = await external.put_generation(
        conn,
        dag,
        job_id=uuid7(),
        name=CONTENT,
        config_hash=found.identity,
        operator=OPERATOR,
        definition=_DEFINITION,
    )
    row = _version_row(found, place, job_id)
    placed = await datasets.put_versions(conn, dag.org_id, [row])
    refresh = await _refreshing(conn, dag)
    await versions.put_members(
        conn,
        dag.org_id,
        version,
        jobs=[_job_row(refresh), _job_row(job_id)],
        datasets={row.dataset_id: placed[0].id},
        marks=rows.marks([row]),
        assets={asset_of(dag.dag): row.dataset_id},
    )
    await external.commit(
        conn,
        dataset_version=placed[0].id,
        committed=found.committed,
        task_id=fence.task_id,
        attempt=fence.attempt,
    )
    await _activate(conn, dag, version)
    crash.point(COMMITTING)


async def retire(conn: Connection, *, org_id: UUID, namespace: str, asset: str) -> None:
    """Nobody declares the asset as external any more: it is not read, nor refreshed, and its data stays."""
    dag = key(org_id, namespace, asset)
    pointer = await pointers.lock_known(conn, dag)
    if pointer is not None and pointer.deleted_at is None:
        await deletion.finish(conn, dag, pointer.resource_uid)
        await notify.deployed(conn, f"{dag.namespace}/{dag.dag}")


async def _ready(conn: Connection, dag: DagKey, resource: Resource) -> UUID:
    """The generation that refreshes, able to run; the pointer is locked."""
    pointer = await pointers.lock(conn, dag, resource)
    await pointers.record_resource(conn, dag, resource)
    job_id = await _refreshing(conn, dag)
    if pointer.deleted_at is None and pointer.active_version_id is not None:
        return job_id
    nothing = await external.put_nothing(conn, dag, version_id=uuid7(), spec_hash=_NOTHING)
    await versions.put_members(conn, dag.org_id, nothing, jobs=[_job_row(job_id)], datasets={}, marks={}, assets={})
    await pointers.activate(conn, dag, nothing)
    await external.never_active(conn, nothing)
    await notify.deployed(conn, f"{dag.namespace}/{dag.dag}")
    return job_id


async def _refreshing(conn: Connection, dag: DagKey) -> UUID:
    return await external.put_generation(
        conn, dag, job_id=uuid7(), name=REFRESH, config_hash=_NOTHING, operator=OPERATOR, definition=_DEFINITION
    )


async def _locked(conn: Connection, dag: DagKey) -> Pointer:
    pointer = await pointers.lock_known(conn, dag)
    # second guard: what retires an asset ends its tasks, so no attempt holds one any more.
    if pointer is None or pointer.deleted_at is not None:
        raise Stale(f"asset {asset_of(dag.dag)} is not external any more")
    return pointer


async def _fenced(conn: Connection, dag: DagKey, fence: Attempt) -> None:
    await _locked(conn, dag)
    held = await external.holds(conn, task_id=fence.task_id, attempt=fence.attempt, lease_epoch=fence.lease_epoch)
    if not held:
        raise Stale(f"another attempt owns task {fence.task_id}")


async def _activate(conn: Connection, dag: DagKey, version: UUID) -> None:
    job_ids = await versions.job_ids(conn, version)
    await deploy.activate(conn, dag, version, (), job_ids)
    await notify.deployed(conn, f"{dag.namespace}/{dag.dag}")


def _output(dag: DagKey) -> str:
    return asset_of(dag.dag).replace("-", "_")[:63]


def _version_row(found: Found, place: Place, job_id: UUID) -> DatasetVersionRow:
    shape = repr([(column["name"], column["type"], column["nullable"]) for column in found.columns])
    return DatasetVersionRow(
        id=place.version,
        dataset_id=place.dataset,
        job_id=job_id,
        config_hash=found.identity,
        schema_hash=hashlib.sha256(shape.encode()).hexdigest(),
        storage="S3",
        location=place.location,
        columns=[dict(column) for column in found.columns],
        unique_key=(),
        scope_column="",  # its one partition is a whole content, and no range of a column
        sort_by=(),
        indexes=(),
        finality_depth=None,
        first_value=None,
        sparse=False,
        unverified=(),
    )


def _job_row(job_id: UUID) -> VersionJobRow:
    return VersionJobRow(
        job_id=job_id,
        runtime="Dispatcher",
        priority=0,
        max_attempts=MAX_ATTEMPTS,
        timeout_seconds=TIMEOUT_SECONDS,
        heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
        max_concurrency=1,
        min_workers=0,
        max_workers=0,
        idle_timeout_seconds=None,
        placement={},
        definition=_DEFINITION,
    )
