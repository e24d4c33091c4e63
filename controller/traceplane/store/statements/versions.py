"""The versions of a DAG and the job generations they consist of.

A version is a spec, found by its hash; a generation is a job's definition, found by the hash of what decides its
output. Both are written once, and versions share the generations they have in common. Each statement takes any
number of rows as one document and does nothing for rows that exist, so a repeated deploy changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from traceplane.store.documents import document
from traceplane.store.engine import Connection
from traceplane.store.rows import column, first, named
from traceplane.store.statements.pointers import DagKey

GENERATIONS = """
SELECT j.id, j.name, j.config_hash, j.operator, j.activation, j.execution_strategy, j.update_strategy,
       j.definition, coalesce(h.active, false) AS active, coalesce(h.staged, false) AS staged,
       EXISTS (SELECT FROM dag_version_jobs b JOIN dag_versions w ON w.id = b.dag_version_id
               WHERE b.job_id = j.id AND w.activated_at IS NOT NULL) AS built
FROM jobs j LEFT JOIN LATERAL (
    SELECT bool_or(v.dag_version_id = %(active)s) AS active, bool_or(v.dag_version_id = %(staged)s) AS staged
    FROM dag_version_jobs v WHERE v.job_id = j.id AND v.dag_version_id IN (%(active)s, %(staged)s)
) h ON true
WHERE j.org_id = %(org)s AND j.namespace = %(namespace)s AND j.dag = %(dag)s
  AND (h.active OR h.staged
       OR (j.name, j.config_hash) IN (SELECT name, config_hash FROM jsonb_to_recordset(%(wanted)s::jsonb)
                                      AS r(name text, config_hash text)))
"""
"""What a deploy compares: the generations a graph asks for, as far as they exist, and those that run now."""

GENERATION_IDS = """
SELECT id FROM jobs WHERE org_id = %(org)s AND namespace = %(namespace)s AND dag = %(dag)s
"""
"""Every generation that the DAG ever had: tasks of any of them may still wait or run."""

NAME = "'v' || {v}.number || '-' || left({v}.spec_hash, 8)"
"""How people see the version `v`: `v3-1f0c9a2e`."""

JOB_IDS = "SELECT job_id FROM dag_version_jobs WHERE dag_version_id = %(version)s"
"""The generations that a version holds."""

PUT_VERSION = """
WITH made AS (
    INSERT INTO dag_versions (id, org_id, namespace, dag, spec_hash, written_hash, spec, number)
    SELECT %(id)s, %(org)s, %(namespace)s, %(dag)s, %(spec_hash)s, %(written_hash)s, %(spec)s::jsonb,
           coalesce(max(number), 0) + 1
    -- The DAG's pointer is locked, so two versions never take one number.
    FROM dag_versions WHERE org_id = %(org)s AND namespace = %(namespace)s AND dag = %(dag)s
    ON CONFLICT (org_id, namespace, dag, spec_hash) DO NOTHING
    RETURNING id
)
SELECT id FROM made
UNION ALL
-- What `made` inserted is not visible to its own statement, so exactly one of the two halves has the row.
SELECT id FROM dag_versions
WHERE org_id = %(org)s AND namespace = %(namespace)s AND dag = %(dag)s AND spec_hash = %(spec_hash)s
"""
"""The version of a spec, new or known: the same hash is the same version for ever."""

PUT_GENERATIONS = """
INSERT INTO jobs (id, org_id, namespace, dag, name, config_hash, operator, activation, execution_strategy,
                  update_strategy, definition, paused, provisioned_at)
SELECT r.id, %(org)s, %(namespace)s, %(dag)s, r.name, r.config_hash, r.operator, r.activation,
       r.execution_strategy, r.update_strategy, r.definition, r.paused,
       -- Nothing is claimed of a generation until its hot tables exist; one without any may run at once.
       CASE WHEN NOT r.has_hot_tables THEN statement_timestamp() END
FROM jsonb_to_recordset(%(rows)s::jsonb) AS r(id uuid, name text, config_hash text, operator text,
    activation text, execution_strategy text, update_strategy text, definition jsonb, paused boolean,
    has_hot_tables boolean)
ON CONFLICT (org_id, namespace, dag, name, config_hash) DO NOTHING
"""
"""Generations by hash. What may differ in a known one, and cannot change its output, is the version's own."""

PUT_JOBS = """
INSERT INTO dag_version_jobs (dag_version_id, job_id, org_id, runtime, priority, max_attempts, timeout_seconds,
                              heartbeat_timeout_seconds, max_concurrency, min_workers, max_workers,
                              idle_timeout_seconds, placement, definition)
SELECT %(version)s, r.job_id, %(org)s, r.runtime, r.priority, r.max_attempts, r.timeout_seconds,
       r.heartbeat_timeout_seconds, r.max_concurrency, r.min_workers, r.max_workers, r.idle_timeout_seconds,
       r.placement, r.definition
FROM jsonb_to_recordset(%(rows)s::jsonb) AS r(job_id uuid, runtime text, priority smallint, max_attempts integer,
    timeout_seconds integer, heartbeat_timeout_seconds integer, max_concurrency integer, min_workers integer,
    max_workers integer, idle_timeout_seconds integer, placement jsonb, definition jsonb)
ON CONFLICT DO NOTHING
"""
"""The generations of a version, with what may change without a new generation."""

PUT_DATASETS = """
INSERT INTO dag_version_datasets (dag_version_id, dataset_id, org_id, dataset_version_id, marks)
SELECT %(version)s, r.dataset_id, %(org)s, r.dataset_version_id, r.marks
FROM jsonb_to_recordset(%(rows)s::jsonb) AS r(dataset_id uuid, dataset_version_id uuid, marks jsonb)
ON CONFLICT DO NOTHING
"""
"""The pointer set of a version: which version of each dataset it reads and writes."""

PUT_ASSETS = """
INSERT INTO dag_version_assets (dag_version_id, asset, org_id, dataset_id)
SELECT %(version)s, r.asset, %(org)s, r.dataset_id
FROM jsonb_to_recordset(%(rows)s::jsonb) AS r(asset text, dataset_id uuid)
ON CONFLICT DO NOTHING
"""
"""What a version publishes."""

FIND = f"""
SELECT v.id, v.number, v.spec_hash, v.activated_at IS NOT NULL AS built, v.purged_at IS NOT NULL AS purged,
       {NAME.format(v="v")} AS name
FROM dag_versions v
WHERE v.org_id = %(org)s AND v.namespace = %(namespace)s AND v.dag = %(dag)s
  AND CASE WHEN %(wanted)s::text IS NULL
      THEN v.activated_at IS NOT NULL AND v.id IS DISTINCT FROM %(but)s
           -- Nor one that differs only in what follows from assets of other DAGs, their marks.
           AND NOT EXISTS (SELECT FROM dag_versions a WHERE a.id = %(but)s AND a.written_hash = v.written_hash
               AND ARRAY(SELECT job_id FROM dag_version_jobs WHERE dag_version_id = a.id ORDER BY job_id)
                 = ARRAY(SELECT job_id FROM dag_version_jobs WHERE dag_version_id = v.id ORDER BY job_id))
      -- By its name, its number alone (`v3`), or its id.
      ELSE %(wanted)s IN ({NAME.format(v="v")}, 'v' || v.number, v.id::text) END
ORDER BY v.activated_at DESC NULLS LAST
LIMIT 1
"""
"""A version by what a person calls it; or, where he names none, the one that was active last."""

OF_SPEC = f"""
SELECT {NAME.format(v="v")}, v.purged_at IS NOT NULL FROM dag_versions v
WHERE v.org_id = %(org)s AND v.namespace = %(namespace)s AND v.dag = %(dag)s AND v.spec_hash = %(spec_hash)s
"""
"""The name of a spec's version, and whether its data was purged."""

APPLY_DEFINITIONS = """
UPDATE jobs j SET definition = m.definition
FROM dag_version_jobs m
WHERE m.dag_version_id = %(version)s AND j.id = m.job_id AND j.definition IS DISTINCT FROM m.definition
  AND NOT EXISTS (SELECT FROM dag_version_jobs a WHERE a.dag_version_id = %(but)s AND a.job_id = j.id)
"""
"""Generations run as a version defines them, but for those that the version `but` runs."""

APPLY_MARKS = """
UPDATE dataset_versions v
SET columns = m.marks -> 'columns', finality_depth = (m.marks ->> 'finality_depth')::int8,
    first_value = (m.marks ->> 'first_value')::int8, sparse = (m.marks ->> 'sparse')::boolean,
    unverified = ARRAY(SELECT jsonb_array_elements_text(m.marks -> 'unverified'))
FROM dag_version_datasets m
WHERE m.dag_version_id = %(version)s AND v.id = m.dataset_version_id
  AND NOT EXISTS (
      SELECT FROM dag_version_datasets a WHERE a.dag_version_id = %(but)s AND a.dataset_version_id = v.id)
"""
"""Marks of dataset versions that neither their place nor their rows depend on: PII, finality, what is checked."""

SET_PAUSED = """
UPDATE jobs SET paused = %(paused)s
WHERE org_id = %(org)s AND namespace = %(namespace)s AND dag = %(dag)s AND name = %(job)s AND paused <> %(paused)s
RETURNING id
"""
"""Stop or resume dispatch of every generation of a job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """A job generation: what decides its output is under `config_hash`."""

    id: UUID
    name: str
    config_hash: str
    operator: str
    activation: str
    execution_strategy: str | None
    update_strategy: str
    definition: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredGeneration(Generation):
    """A generation as state has it; `active`, `staged`: that version of its DAG holds it now."""

    active: bool
    staged: bool
    built: bool
    """A version that was active once holds it: what it makes is whole, as far as it went."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A version of a DAG. `name` is what people see; `built`: it was active once, and may be so again at once;
    `purged`: that is over, its data is gone."""

    id: UUID
    number: int
    spec_hash: str
    built: bool
    purged: bool
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRow(Generation):
    """A row of `jobs`. `has_hot_tables`: some output is a table, which must exist before the job runs."""

    paused: bool
    has_hot_tables: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionJobRow:
    """A row of `dag_version_jobs`: how a version runs a generation. Timeouts are seconds."""

    job_id: UUID
    runtime: str
    priority: int
    max_attempts: int | None
    timeout_seconds: int | None
    heartbeat_timeout_seconds: int
    max_concurrency: int | None
    min_workers: int
    max_workers: int
    idle_timeout_seconds: int | None
    placement: Mapping[str, Any]
    definition: Mapping[str, Any]


async def generations(
    conn: Connection, dag: DagKey, *, active: UUID | None, staged: UUID | None, wanted: Collection[tuple[str, str]]
) -> list[StoredGeneration]:
    """Those of the versions `active` and `staged`, and those among `wanted` (name, config hash) that exist."""
    asked = document([{"name": name, "config_hash": config_hash} for name, config_hash in wanted])
    parameters = dag.parameters | {"active": active, "staged": staged, "wanted": asked}
    return await named(conn, StoredGeneration, GENERATIONS, parameters)


async def generation_ids(conn: Connection, dag: DagKey) -> list[UUID]:
    """Every generation of the DAG, of whatever version."""
    return await column(conn, GENERATION_IDS, dag.parameters)


async def of_spec(conn: Connection, dag: DagKey, spec_hash: str) -> tuple[str, bool] | None:
    """What people call the version of a spec, and whether its data was purged; None where there is none."""
    return await first(conn, lambda *row: row, OF_SPEC, dag.parameters | {"spec_hash": spec_hash})


async def job_ids(conn: Connection, version_id: UUID) -> list[UUID]:
    """The generations of one version."""
    return await column(conn, JOB_IDS, {"version": version_id})


async def put_version(
    conn: Connection, dag: DagKey, *, version_id: UUID, spec_hash: str, written_hash: str, spec: Mapping[str, Any]
) -> UUID:
    """The id of the version with this hash: `version_id` where it is new."""
    parameters = {"id": version_id, "spec_hash": spec_hash, "written_hash": written_hash, "spec": document(spec)}
    found: list[UUID] = await column(conn, PUT_VERSION, dag.parameters | parameters)
    return found[0]  # there is one: it is either new or known


async def find(conn: Connection, dag: DagKey, *, name: str | None, but: UUID | None) -> Version | None:
    """The version called `name`; with None, the one that was active last, `but` left out."""
    found = await named(conn, Version, FIND, dag.parameters | {"wanted": name, "but": but})
    return found[0] if found else None


async def put_generations(conn: Connection, dag: DagKey, rows: Sequence[GenerationRow]) -> None:
    """Write the generations that are new; give known ones their new definition."""
    await conn.execute(PUT_GENERATIONS, dag.parameters | {"rows": document(rows)})


async def put_members(
    conn: Connection,
    org_id: UUID,
    version_id: UUID,
    *,
    jobs: Sequence[VersionJobRow],
    datasets: Mapping[UUID, UUID],
    marks: Mapping[UUID, Mapping[str, Any]],
    assets: Mapping[str, UUID],
) -> None:
    """What a version consists of: its jobs, the version and marks of each dataset, the dataset of each asset."""
    held = {"org": org_id, "version": version_id}
    pointers = [
        {"dataset_id": dataset, "dataset_version_id": version, "marks": marks[dataset]}
        for dataset, version in datasets.items()
    ]
    published = [{"asset": asset, "dataset_id": dataset} for asset, dataset in assets.items()]
    await conn.execute(PUT_JOBS, held | {"rows": document(jobs)})
    await conn.execute(PUT_DATASETS, held | {"rows": document(pointers)})
    await conn.execute(PUT_ASSETS, held | {"rows": document(published)})


async def apply(conn: Connection, version_id: UUID, *, but: UUID | None) -> None:
    """Let generations and datasets be as a version says; those that the version `but` has stay as they are."""
    await conn.execute(APPLY_DEFINITIONS, {"version": version_id, "but": but})
    await conn.execute(APPLY_MARKS, {"version": version_id, "but": but})


async def set_paused(conn: Connection, dag: DagKey, *, job: str, paused: bool) -> list[UUID]:
    """Pause or resume every generation of a job; those that changed."""
    return await column(conn, SET_PAUSED, dag.parameters | {"job": job, "paused": paused})
