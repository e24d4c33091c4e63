"""External assets in state: the pointer's own rows, the task of a refresh, and what a refresh committed.

An external asset is published by a DAG that no object stands for (`versions.external`): one generation does the
refreshing, and each content is a version with a generation and a dataset version of its own. What is here is what
such a DAG has and others do not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from traceplane.kit.ids import event_id
from traceplane.store.documents import document
from traceplane.store.engine import Connection
from traceplane.store.rows import column, named
from traceplane.store.statements.pointers import DagKey
from traceplane.store.statements.versions import NAME

SUFFIX = ".external"
"""Ends the name of the DAG of an external asset. No DAG object has a dot in its name."""

PUT_NOTHING = """
INSERT INTO dag_versions (id, org_id, namespace, dag, spec_hash, spec, number)
VALUES (%(id)s, %(org)s, %(namespace)s, %(dag)s, %(spec_hash)s, '{}', 0)
ON CONFLICT (org_id, namespace, dag, spec_hash) DO UPDATE SET spec_hash = excluded.spec_hash
RETURNING id
"""
"""Version 0: nothing was read yet. It holds the generation that refreshes, and publishes nothing."""

NEVER_ACTIVE = "UPDATE dag_versions SET activated_at = NULL WHERE id = %(version)s"
"""Nobody rolls back to nothing."""

PUT_GENERATION = """
INSERT INTO jobs (id, org_id, namespace, dag, name, config_hash, operator, activation, execution_strategy,
                  update_strategy, definition, provisioned_at)
VALUES (%(id)s, %(org)s, %(namespace)s, %(dag)s, %(name)s, %(config_hash)s, %(operator)s, 'Reactive',
        'PerPartition', 'Replace', %(definition)s::jsonb, statement_timestamp())
ON CONFLICT (org_id, namespace, dag, name, config_hash) DO UPDATE SET config_hash = excluded.config_hash
RETURNING id
"""
"""A generation by name and hash, new or known."""

QUEUED = """
SELECT id FROM tasks WHERE job_id = %(job)s AND status = 'Queued' AND scope = %(scope)s::jsonb LIMIT 1
"""
"""A refresh of the same source that nobody has begun: it will see what is there now."""

QUEUED_SINCE = "SELECT 1 FROM tasks WHERE job_id = %(job)s AND queued_at >= %(since)s LIMIT 1"
"""Whether a refresh was asked for since then."""

HELD = """
SELECT 1 FROM tasks
WHERE id = %(task)s AND attempt = %(attempt)s AND lease_epoch = %(lease)s AND status = 'Running'
FOR SHARE
"""
"""The fence of an attempt: what it commits is refused once another one owns the task."""

KNOWN = """
SELECT v.id, d.dataset_version_id AS dataset_version, p.task_id AS made_by
FROM dag_versions v
JOIN dag_version_datasets d ON d.dag_version_id = v.id
JOIN partition_versions p ON p.dataset_version_id = d.dataset_version_id AND p.superseded_at IS NULL
WHERE v.org_id = %(org)s AND v.namespace = %(namespace)s AND v.dag = %(dag)s AND v.spec_hash = %(identity)s
"""
"""The version of a content whose rows are still there; a purged one has none."""

COMMIT = """
WITH committed AS (
    INSERT INTO partition_versions (org_id, dataset_id, dataset_version_id, partition_key, range_start, range_end,
                                    location, files, rows, bytes, manifest_sha256, task_id, attempt)
    SELECT v.org_id, v.dataset_id, v.id, %(key)s, %(start)s, %(end)s, %(location)s, %(files)s::jsonb, %(rows)s,
           %(bytes)s, %(manifest)s, %(task)s, %(attempt)s
    FROM dataset_versions v WHERE v.id = %(version)s
    RETURNING *
)
INSERT INTO events (id, org_id, dataset_id, dataset_version_id, kind, partition_key, range_start, range_end,
                    producer_task_id)
SELECT %(event)s, org_id, dataset_id, dataset_version_id, 'Partition', partition_key, range_start, range_end,
       task_id
FROM committed
"""
"""Point at the files of a new content, and announce it to jobs that will read that version."""

DESCRIBE = "UPDATE dag_versions SET spec = %(spec)s::jsonb WHERE id = %(version)s"
"""What a version was read from; a content that comes back may come from elsewhere."""

STANDING = f"""
SELECT c.namespace, c.dag, CASE WHEN v.number > 0 THEN {NAME.format(v="v")} END AS version,
       CASE WHEN v.number > 0 THEN v.spec ELSE '{{}}' END AS content, v.activated_at,
       coalesce(p.rows, 0)::int8 AS rows, coalesce(p.bytes, 0)::int8 AS bytes, l.id AS task, l.status, l.error,
       l.queued_at, l.finished_at, l.next_retry_at,
       (SELECT o.value FROM operator_state o WHERE o.job_id = j.id AND o.key = 'last') AS last
FROM dag_current_versions c
JOIN dag_versions v ON v.id = c.active_version_id
JOIN jobs j ON (j.org_id, j.namespace, j.dag) = (c.org_id, c.namespace, c.dag) AND j.name = %(job)s
LEFT JOIN LATERAL (
    SELECT sum(x.rows) AS rows, sum(x.bytes) AS bytes
    FROM dag_version_datasets d
    JOIN partition_versions x ON x.dataset_version_id = d.dataset_version_id AND x.superseded_at IS NULL
    WHERE d.dag_version_id = v.id) p ON true
LEFT JOIN LATERAL (
    SELECT t.* FROM tasks t
    WHERE t.job_id = j.id AND t.org_id = j.org_id AND (%(task)s::uuid IS NULL OR t.id = %(task)s)
    ORDER BY t.id DESC LIMIT 1) l ON true
WHERE c.org_id = %(org)s AND c.namespace = %(namespace)s AND c.dag = %(dag)s AND c.deleted_at IS NULL
"""
"""How an external asset stands: its content, and its last refresh or the named one."""

SCHEDULED = """
SELECT a.namespace, a.name, a.policy -> 'external' ->> 'schedule' AS schedule,
       coalesce(a.policy -> 'external' ->> 'timeZone', 'UTC') AS time_zone,
       greatest(a.updated_at, (
           SELECT max(t.queued_at) FROM tasks t JOIN jobs j ON j.id = t.job_id
           WHERE j.org_id = a.org_id AND j.namespace = a.namespace AND j.dag = a.name || %(suffix)s
             AND j.name = %(job)s)) AS since,
       statement_timestamp() AS now
FROM assets a
WHERE a.org_id = %(org)s AND a.deleted_at IS NULL AND a.policy -> 'external' ->> 'schedule' IS NOT NULL
ORDER BY random()  -- none is behind the same others for ever
LIMIT %(limit)s
"""
"""Assets that refresh on a schedule, and since when the next time counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A version whose content is there. `made_by` is the task that committed it."""

    id: UUID
    dataset_version: UUID
    made_by: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How an external asset stands. `version` and what belongs to it: None or empty before its first content.

    `task` and what follows are of a refresh; `last` is what the last one that succeeded came to.
    """

    namespace: str
    dag: str
    version: str | None
    content: Mapping[str, Any]
    activated_at: datetime | None
    rows: int
    bytes: int
    task: UUID | None
    status: str | None
    error: Mapping[str, Any] | None
    queued_at: datetime | None
    finished_at: datetime | None
    next_retry_at: datetime | None
    last: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduled:
    """An asset with a schedule; `now` is the database's."""

    namespace: str
    name: str
    schedule: str
    time_zone: str
    since: datetime
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """The files of a content, as a refresh wrote them."""

    key: str
    start: int
    end: int
    location: str
    files: Sequence[Mapping[str, Any]]
    rows: int
    bytes: int
    manifest: str


async def put_nothing(conn: Connection, dag: DagKey, *, version_id: UUID, spec_hash: str) -> UUID:
    """The id of version 0."""
    found: list[UUID] = await column(conn, PUT_NOTHING, dag.parameters | {"id": version_id, "spec_hash": spec_hash})
    return found[0]


async def never_active(conn: Connection, version_id: UUID) -> None:
    """Leave a version out of those that a rollback goes to."""
    await conn.execute(NEVER_ACTIVE, {"version": version_id})


async def put_generation(
    conn: Connection,
    dag: DagKey,
    *,
    job_id: UUID,
    name: str,
    config_hash: str,
    operator: str,
    definition: Mapping[str, Any],
) -> UUID:
    """The id of a generation: `job_id` where it is new."""
    row = {"id": job_id, "name": name, "config_hash": config_hash, "operator": operator}
    found: list[UUID] = await column(
        conn, PUT_GENERATION, dag.parameters | row | {"definition": document(definition)}
    )
    return found[0]


async def queued(conn: Connection, *, job_id: UUID, scope: Mapping[str, Any]) -> UUID | None:
    """The refresh with this scope that waits."""
    found: list[UUID] = await column(conn, QUEUED, {"job": job_id, "scope": document(scope)})
    return found[0] if found else None


async def queued_since(conn: Connection, *, job_id: UUID, since: datetime) -> bool:
    """Whether a refresh was asked for at `since` or later."""
    return bool(await column(conn, QUEUED_SINCE, {"job": job_id, "since": since}))


async def holds(conn: Connection, *, task_id: UUID, attempt: int, lease_epoch: int) -> bool:
    """Whether an attempt still owns its task, which it does until the transaction ends."""
    fence = {"task": task_id, "attempt": attempt, "lease": lease_epoch}
    return bool(await column(conn, HELD, fence))


async def known(conn: Connection, dag: DagKey, *, identity: str) -> Known | None:
    """The version of a content, where its rows are there."""
    found = await named(conn, Known, KNOWN, dag.parameters | {"identity": identity})
    return found[0] if found else None


async def commit(
    conn: Connection, *, dataset_version: UUID, committed: Committed, task_id: UUID, attempt: int
) -> None:
    """Point a dataset version at its files."""
    row = {
        "version": dataset_version,
        "event": event_id(task_id, attempt, 0),
        "key": committed.key,
        "start": committed.start,
        "end": committed.end,
        "location": committed.location,
        "files": document(committed.files),
        "rows": committed.rows,
        "bytes": committed.bytes,
        "manifest": committed.manifest,
        "task": task_id,
        "attempt": attempt,
    }
    await conn.execute(COMMIT, row)


async def describe(conn: Connection, *, version_id: UUID, spec: Mapping[str, Any]) -> None:
    """Say what a version was read from."""
    await conn.execute(DESCRIBE, {"version": version_id, "spec": document(spec)})


async def standing(conn: Connection, dag: DagKey, *, job: str, task_id: UUID | None = None) -> Standing | None:
    """How an external asset stands; None where it was never refreshed, or is not there any more."""
    found = await named(conn, Standing, STANDING, dag.parameters | {"job": job, "task": task_id})
    return found[0] if found else None


async def scheduled(conn: Connection, *, org_id: UUID, job: str, limit: int) -> list[Scheduled]:
    """Assets that refresh on a schedule, in no order."""
    page = {"org": org_id, "job": job, "suffix": SUFFIX, "limit": limit}
    return await named(conn, Scheduled, SCHEDULED, page)
