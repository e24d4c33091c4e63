"""What the controller reads: how a DAG, its jobs and the published assets stand.

One statement answers one question, whatever the number of jobs, and each count is answered by a partial index of
the queue: looking costs as much as what is alive, and nothing for what is finished. Nothing here locks: what is
read is advice for pods and statuses, and every write that follows from it is fenced where it is made.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from traceplane.store.engine import Connection
from traceplane.store.rows import column, named
from traceplane.store.statements import publications
from traceplane.store.statements.pointers import DagKey
from traceplane.store.statements.rollouts import CATCHING_UP
from traceplane.store.statements.versions import NAME


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFacts:
    """One job generation of the active or the staged version. Counts are tasks; ages and timeouts are seconds."""

    job_id: UUID
    name: str
    config_hash: str
    operator: str
    activation: str
    runtime: str
    execution_strategy: str | None
    config: Mapping[str, Any]
    paused: bool
    provisioned: bool
    """Its hot tables exist; until then nothing of it is claimed."""
    min_workers: int
    max_workers: int
    max_concurrency: int | None
    idle_timeout_seconds: int | None
    placement: Mapping[str, Any]
    queued: int
    running: int
    retrying: int
    dead: int
    oldest_queued_seconds: float | None
    last_failure: Mapping[str, Any] | None
    """`task`, `attempt`, `error`, `time` of the newest failed task; None where none is failed now."""
    report: Mapping[str, Any] | None
    """What a running source said of itself last (`wire.SourceReport`), for as long as its lease holds."""
    staged: bool = False
    """The staged version alone holds it: it is built beside its namesake of the active version."""

    @property
    def shown(self) -> str:
        """Its name where both versions are spoken of."""
        return f"{self.name} (staged)" if self.staged else self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class DagFacts:
    """A DAG as state knows it. `active_name` and `staged_name` are what people see of the versions."""

    active_version_id: UUID | None
    staged_version_id: UUID | None
    active_spec_hash: str | None
    active_name: str | None = None
    staged_spec_hash: str | None = None
    staged_name: str | None = None
    staged_at: datetime | None = None
    approved: bool = False
    """Somebody approved that the staged version takes over."""
    held_spec_hash: str | None = None
    """The written hash of the spec that was applied when somebody rolled back."""
    catching_up: bool = False
    """The active version has not taken up yet all that it missed while it was not active."""
    resource_uid: str
    resource_generation: int
    deleted_at: datetime | None
    jobs: tuple[JobFacts, ...] = ()
    """Of the active version."""
    staged_jobs: tuple[JobFacts, ...] = ()
    """Those of the staged version that the active one has not."""
    busy_workers: frozenset[str] = field(default_factory=frozenset)
    """Workers that hold a lease of any generation of the DAG."""

    def holds(self, *, spec_hash: str, written_hash: str) -> bool:
        """Whether a spec is held off, since somebody rolled it back."""
        return written_hash == self.held_spec_hash and spec_hash != self.active_spec_hash

    @property
    def running_jobs(self) -> tuple[JobFacts, ...]:
        """Every generation that may run now."""
        return (*self.jobs, *self.staged_jobs)


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetFacts:
    """A published asset. `rows` and `bytes` count committed partitions; None for a hot table."""

    dag: str
    job: str
    output: str
    dataset_id: UUID
    dataset_version_id: UUID
    storage: str
    provisioned: bool
    cursor: int | None
    partitions: int
    rows: int | None
    bytes: int | None
    last_materialised_at: datetime | None
    columns: Sequence[Mapping[str, Any]]
    """`name`, `type`, `nullable`, `pii` of each."""
    scope_column: str
    unverified: Sequence[str]
    """Rules that hold where the rows come from but are not checked."""


DAG = f"""
SELECT c.active_version_id, v.spec_hash AS active_spec_hash, {NAME.format(v="v")} AS active_name,
       c.staged_version_id, s.spec_hash AS staged_spec_hash, {NAME.format(v="s")} AS staged_name, c.staged_at,
       coalesce(c.approved_version_id = c.staged_version_id, false) AS approved, c.held_spec_hash,
       {CATCHING_UP} AS catching_up,
       c.resource_uid, c.resource_generation, c.deleted_at
FROM dag_current_versions c
LEFT JOIN dag_versions v ON v.id = c.active_version_id
LEFT JOIN dag_versions s ON s.id = c.staged_version_id
WHERE c.org_id = %(org)s AND c.namespace = %(namespace)s AND c.dag = %(dag)s
"""
"""A DAG's pointer."""

JOBS = """
SELECT j.id AS job_id, j.name, j.config_hash, j.operator, j.activation, d.runtime, j.execution_strategy,
       coalesce(j.definition -> 'config', '{}'::jsonb) AS config, j.paused,
       j.provisioned_at IS NOT NULL AND NOT EXISTS (
           SELECT FROM dataset_versions v WHERE v.job_id = j.id AND v.provisioned_at IS NULL) AS provisioned,
       d.min_workers, d.max_workers, d.max_concurrency, d.idle_timeout_seconds, d.placement,
       queue.queued, queue.oldest AS oldest_queued_seconds, running.running, failed.retrying, failed.dead,
       newest.failure AS last_failure, source.report, d.dag_version_id IS DISTINCT FROM %(version)s AS staged
FROM dag_version_jobs d
JOIN jobs j ON j.id = d.job_id
-- LATERAL, one for each status: so the planner answers each from the partial index of that status.
CROSS JOIN LATERAL (
    SELECT count(*) AS queued, extract(epoch FROM statement_timestamp() - min(queued_at))::float8 AS oldest
    FROM tasks WHERE job_id = j.id AND status = 'Queued') queue
CROSS JOIN LATERAL (SELECT count(*) AS running FROM tasks WHERE job_id = j.id AND status = 'Running') running
CROSS JOIN LATERAL (
    -- A failed task either waits for its next attempt or is dead; never both.
    SELECT count(*) FILTER (WHERE next_retry_at IS NOT NULL) AS retrying,
           count(*) FILTER (WHERE finished_at IS NOT NULL) AS dead
    FROM tasks WHERE job_id = j.id AND status = 'Failed') failed
LEFT JOIN LATERAL (
    SELECT jsonb_build_object('task', id, 'attempt', attempt, 'error', error,
                              'time', coalesce(finished_at, heartbeat_at, queued_at)) AS failure
    FROM tasks WHERE job_id = j.id AND status = 'Failed'
    -- Tasks that are retried have not finished: they come first, and then the task that died last.
    ORDER BY finished_at DESC NULLS FIRST LIMIT 1) newest ON true
LEFT JOIN LATERAL (
    SELECT report FROM tasks
    WHERE job_id = j.id AND status = 'Running' AND j.activation = 'Source' AND report IS NOT NULL
      AND lease_expires_at > statement_timestamp()
    ORDER BY heartbeat_at DESC LIMIT 1) source ON true
WHERE d.dag_version_id = %(version)s
   OR (d.dag_version_id = %(staged)s AND NOT EXISTS (
           SELECT FROM dag_version_jobs a WHERE a.dag_version_id = %(version)s AND a.job_id = d.job_id))
ORDER BY j.name
"""
"""The jobs of a version with their queues, and those that are built for the staged one."""

BUSY = """
SELECT DISTINCT t.worker_id
FROM jobs j
JOIN tasks t ON t.job_id = j.id AND t.status = 'Running'
WHERE j.org_id = %(org)s AND j.namespace = %(namespace)s AND j.dag = %(dag)s
"""
"""Workers that hold a lease, of generations of former versions too: their pods must not be stopped."""

ASSETS = f"""
SELECT p.asset, d.dag, d.job, d.output, d.id AS dataset_id, v.id AS dataset_version_id, v.storage,
       v.provisioned_at IS NOT NULL AS provisioned, furthest.cursor_value AS cursor, current.partitions,
       current.rows, current.bytes, greatest(current.last_commit, furthest.created_at) AS last_materialised_at,
       v.columns, v.scope_column, v.unverified
FROM {publications.CURRENT}
LEFT JOIN LATERAL (
    SELECT cursor_value, created_at FROM events
    WHERE dataset_version_id = v.id AND cursor_value IS NOT NULL
    ORDER BY cursor_value DESC LIMIT 1) furthest ON true
CROSS JOIN LATERAL (
    SELECT count(*) AS partitions, sum(rows)::bigint AS rows, sum(bytes)::bigint AS bytes,
           max(committed_at) AS last_commit
    FROM partition_versions WHERE dataset_version_id = v.id AND superseded_at IS NULL) current
WHERE p.org_id = %(org)s AND p.namespace = %(namespace)s AND p.asset = ANY(%(names)s::text[])
"""
"""What is published under some names, and how far it is."""

KNOWN_DAGS = """
SELECT dag, resource_uid FROM dag_current_versions
WHERE org_id = %(org)s AND namespace = %(namespace)s AND deleted_at IS NULL
  AND dag NOT LIKE '%%.external'  -- no object stands for the DAG of an external asset (`versions.external`)
"""
"""DAGs that must have an object in the API server; one that has none is an orphan, and is deleted."""

KNOWN_ASSETS = """
SELECT name FROM assets WHERE org_id = %(org)s AND namespace = %(namespace)s AND deleted_at IS NULL
"""
"""Assets that must have an object in the API server."""


async def pointer_facts(conn: Connection, dag: DagKey) -> DagFacts | None:
    """Which versions of a DAG run, without its jobs; None where state has never heard of it."""
    found = await named(conn, DagFacts, DAG, dag.parameters)
    return found[0] if found else None


async def dag_facts(conn: Connection, dag: DagKey) -> DagFacts | None:
    """How a DAG stands; None where state has never heard of it."""
    facts = await pointer_facts(conn, dag)
    if facts is None:
        return None
    versions = {"version": facts.active_version_id, "staged": facts.staged_version_id}
    jobs = await named(conn, JobFacts, JOBS, versions)
    return replace(
        facts,
        jobs=tuple(job for job in jobs if not job.staged),
        staged_jobs=tuple(job for job in jobs if job.staged),
        busy_workers=frozenset(await column(conn, BUSY, dag.parameters)),
    )


async def asset_facts(
    conn: Connection, *, org_id: UUID, namespace: str, names: Collection[str]
) -> dict[str, AssetFacts]:
    """Those of `names` that an active version publishes, by name."""
    parameters = {"org": org_id, "namespace": namespace, "names": list(names)}
    return dict(await named(conn, _asset_facts, ASSETS, parameters))


async def known_dags(conn: Connection, *, org_id: UUID, namespace: str) -> tuple[tuple[str, str], ...]:
    """(name, resource uid) of every DAG that is not deleted."""
    rows = await (await conn.execute(KNOWN_DAGS, {"org": org_id, "namespace": namespace})).fetchall()
    return tuple((dag, uid) for dag, uid in rows)


async def known_assets(conn: Connection, *, org_id: UUID, namespace: str) -> tuple[str, ...]:
    """Name of every asset whose policy is stored and not deleted."""
    return tuple(await column(conn, KNOWN_ASSETS, {"org": org_id, "namespace": namespace}))


def _asset_facts(*, asset: str, **facts: Any) -> tuple[str, AssetFacts]:
    return asset, AssetFacts(**facts)
