"""What the controller reads: how a DAG, its jobs and the published assets stand.

One statement a question, whatever the number of jobs, and each count rides on a partial index of the queue, so
that looking costs as much as what is alive and nothing for what is finished. Ages are measured by the database's
clock. Nothing here locks: what is read is advice for pods and statuses, and every write that follows from it is
fenced where it is made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import Text


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFacts:
    """One job generation of the active version. Counts are tasks; ages and timeouts are seconds."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class DagFacts:
    """A DAG as state knows it."""

    active_version_id: UUID | None
    staged_version_id: UUID | None
    active_spec_hash: str | None
    resource_uid: str
    resource_generation: int
    deleted_at: datetime | None
    jobs: tuple[JobFacts, ...] = ()
    busy_workers: frozenset[str] = field(default_factory=frozenset)
    """Workers that hold a lease of any generation of the DAG."""


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


_DAG = text("""
SELECT c.active_version_id, c.staged_version_id, v.spec_hash AS active_spec_hash, c.resource_uid,
       c.resource_generation, c.deleted_at
  FROM dag_current_versions c
  LEFT JOIN dag_versions v ON v.id = c.active_version_id
 WHERE c.org_id = :org AND c.namespace = :namespace AND c.dag = :dag
""")

# The jobs of one version with their queues. LATERAL makes the planner use the partial index of each status.
_JOBS = text("""
SELECT j.id AS job_id, j.name, j.config_hash, j.operator, j.activation, vj.runtime, j.execution_strategy,
       coalesce(j.definition -> 'config', '{}'::jsonb) AS config, j.paused,
       j.provisioned_at IS NOT NULL AND NOT EXISTS (
         SELECT FROM dataset_versions d WHERE d.job_id = j.id AND d.provisioned_at IS NULL) AS provisioned,
       vj.min_workers, vj.max_workers, vj.max_concurrency, vj.idle_timeout_seconds, vj.placement,
       q.queued, q.oldest AS oldest_queued_seconds, r.running, f.retrying, f.dead, l.failure AS last_failure
  FROM dag_version_jobs vj
  JOIN jobs j ON j.id = vj.job_id
 CROSS JOIN LATERAL (
       SELECT count(*) AS queued,
              extract(epoch FROM clock_timestamp() - min(queued_at))::float8 AS oldest
         FROM tasks WHERE job_id = j.id AND status = 'Queued') q
 CROSS JOIN LATERAL (SELECT count(*) AS running FROM tasks WHERE job_id = j.id AND status = 'Running') r
 CROSS JOIN LATERAL (
       SELECT count(*) FILTER (WHERE next_retry_at IS NOT NULL) AS retrying,
              count(*) FILTER (WHERE finished_at IS NOT NULL) AS dead
         FROM tasks WHERE job_id = j.id AND status = 'Failed') f
  LEFT JOIN LATERAL (
       SELECT jsonb_build_object('task', id, 'attempt', attempt, 'error', error,
                                 'time', coalesce(finished_at, heartbeat_at, queued_at)) AS failure
         FROM tasks WHERE job_id = j.id AND status = 'Failed'
        ORDER BY finished_at DESC NULLS FIRST LIMIT 1) l ON true
 WHERE vj.dag_version_id = :version
 ORDER BY j.name
""")

_BUSY = text("""
SELECT DISTINCT t.worker_id
  FROM jobs j
  JOIN tasks t ON t.job_id = j.id AND t.status = 'Running'
 WHERE j.org_id = :org AND j.namespace = :namespace AND j.dag = :dag
""")

_ASSETS = text("""
SELECT p.asset, d.dag, d.job, d.output, d.id AS dataset_id, v.id AS dataset_version_id, v.storage,
       v.provisioned_at IS NOT NULL AS provisioned, e.cursor_value AS cursor, n.partitions, n.rows, n.bytes,
       greatest(n.last_commit, e.created_at) AS last_materialised_at, v.columns, v.scope_column
  FROM asset_publications p
  JOIN datasets d ON d.id = p.dataset_id
  JOIN dag_current_versions c ON (c.org_id, c.namespace, c.dag) = (d.org_id, d.namespace, d.dag)
  JOIN dag_version_datasets x ON x.dag_version_id = c.active_version_id AND x.dataset_id = d.id
  JOIN dataset_versions v ON v.id = x.dataset_version_id
  LEFT JOIN LATERAL (
       SELECT cursor_value, created_at FROM events
        WHERE dataset_version_id = v.id AND cursor_value IS NOT NULL
        ORDER BY cursor_value DESC LIMIT 1) e ON true
 CROSS JOIN LATERAL (
       SELECT count(*) AS partitions, sum(rows)::bigint AS rows, sum(bytes)::bigint AS bytes,
              max(committed_at) AS last_commit
         FROM partition_versions WHERE dataset_version_id = v.id AND superseded_at IS NULL) n
 WHERE p.org_id = :org AND p.namespace = :namespace AND p.asset = ANY(:names)
""").bindparams(bindparam("names", type_=ARRAY(Text)))

_KNOWN_DAGS = text("""
SELECT dag, resource_uid FROM dag_current_versions
 WHERE org_id = :org AND namespace = :namespace AND deleted_at IS NULL
""")

_KNOWN_ASSETS = text("""
SELECT name FROM assets WHERE org_id = :org AND namespace = :namespace AND deleted_at IS NULL
""")


async def dag_facts(conn: AsyncConnection, *, org_id: UUID, namespace: str, dag: str) -> DagFacts | None:
    """How a DAG stands; None where state has never heard of it."""
    names = {"org": org_id, "namespace": namespace, "dag": dag}
    row = (await conn.execute(_DAG, names)).mappings().one_or_none()
    if row is None:
        return None
    jobs = (await conn.execute(_JOBS, {"version": row["active_version_id"]})).mappings()
    busy = await conn.execute(_BUSY, names)
    return DagFacts(
        **row, jobs=tuple(JobFacts(**job) for job in jobs), busy_workers=frozenset(busy.scalars().all())
    )


async def asset_facts(
    conn: AsyncConnection, *, org_id: UUID, namespace: str, names: Sequence[str]
) -> dict[str, AssetFacts]:
    """Those of `names` that an active version publishes. Costs as much as is asked for, however many there are."""
    rows = (await conn.execute(_ASSETS, {"org": org_id, "namespace": namespace, "names": list(names)})).mappings()
    return {row["asset"]: AssetFacts(**{k: v for k, v in row.items() if k != "asset"}) for row in rows}


async def known_dags(conn: AsyncConnection, *, org_id: UUID, namespace: str) -> tuple[tuple[str, str], ...]:
    """(name, resource uid) of every DAG that is not deleted."""
    rows = await conn.execute(_KNOWN_DAGS, {"org": org_id, "namespace": namespace})
    return tuple((row.dag, row.resource_uid) for row in rows)


async def known_assets(conn: AsyncConnection, *, org_id: UUID, namespace: str) -> tuple[str, ...]:
    """Name of every asset whose policy is stored and not deleted."""
    rows = await conn.execute(_KNOWN_ASSETS, {"org": org_id, "namespace": namespace})
    return tuple(rows.scalars().all())
