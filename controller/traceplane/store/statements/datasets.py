"""Datasets, their versions, and which of them each job generation reads.

A dataset is an output of a job by its name, for ever. Its versions are the generations of its data: each has a
place of its own, a hot table or a prefix of the object store, so that a new one is made beside the one that is
read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from traceplane.store.documents import document
from traceplane.store.engine import Connection
from traceplane.store.rows import many
from traceplane.store.statements.pointers import DagKey

PUT_DATASETS = """
INSERT INTO datasets (org_id, namespace, dag, job, output, storage)
SELECT %(org)s, %(namespace)s, %(dag)s, r.job, r.output, r.storage
FROM jsonb_to_recordset(%(rows)s::jsonb) AS r(job text, output text, storage text)
-- An update, not DO NOTHING: only a written row is returned, and the ids of those that exist are wanted too.
ON CONFLICT (org_id, namespace, dag, job, output) DO UPDATE SET storage = excluded.storage
RETURNING job, output, id
"""
"""Datasets by name, with their stable ids."""

PUT_VERSIONS = """
INSERT INTO dataset_versions (id, org_id, dataset_id, job_id, config_hash, schema_hash, storage, location, columns,
                              unique_key, scope_column, sort_by, indexes, finality_depth, first_value,
                              sparse, unverified, provisioned_at)
SELECT r.id, %(org)s, r.dataset_id, r.job_id, r.config_hash, r.schema_hash, r.storage, r.location, r.columns,
       ARRAY(SELECT jsonb_array_elements_text(r.unique_key)), r.scope_column,
       ARRAY(SELECT jsonb_array_elements_text(r.sort_by)), r.indexes, r.finality_depth, r.first_value,
       r.sparse, ARRAY(SELECT jsonb_array_elements_text(r.unverified)),
       -- A prefix needs no provisioning; a table does.
       CASE r.storage WHEN 'S3' THEN statement_timestamp() END
FROM jsonb_to_recordset(%(rows)s::jsonb) AS r(id uuid, dataset_id uuid, job_id uuid, config_hash text,
    schema_hash text, storage text, location text, columns jsonb, unique_key jsonb, scope_column text,
    sort_by jsonb, indexes jsonb, finality_depth bigint, first_value bigint,
    sparse boolean, unverified jsonb)
-- An update, as above: a known version keeps its marks until a DAG version that has others runs (`versions.apply`).
ON CONFLICT (dataset_id, config_hash) DO UPDATE SET config_hash = excluded.config_hash
RETURNING id, dataset_id, storage, location
"""
"""The version of each dataset that a generation writes, new or known by the generation's hash."""

PUT_INPUTS = """
INSERT INTO job_inputs (job_id, position, org_id, dataset_id, dataset_version_id, is_trigger)
SELECT r.job_id, r.position, %(org)s, r.dataset_id, r.dataset_version_id, r.is_trigger
FROM jsonb_to_recordset(%(rows)s::jsonb) AS r(job_id uuid, position smallint, dataset_id uuid,
    dataset_version_id uuid, is_trigger boolean)
ON CONFLICT (job_id, position) DO NOTHING
"""
"""What each generation reads. It never changes: a generation's hash covers everything upstream."""


@dataclass(frozen=True, slots=True)
class DatasetRow:
    """A dataset by its name in the DAG; `storage` is Postgres or S3."""

    job: str
    output: str
    storage: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetVersionRow:
    """A row of `dataset_versions`. `location` is `hot.d_<hex>` or `s3://bucket/prefix/`."""

    id: UUID
    dataset_id: UUID
    job_id: UUID
    config_hash: str
    schema_hash: str
    storage: str
    location: str
    columns: Sequence[dict[str, Any]]
    unique_key: Sequence[str]
    scope_column: str
    sort_by: Sequence[str]
    indexes: Sequence[Sequence[str]]
    finality_depth: int | None
    first_value: int | None
    sparse: bool
    unverified: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class InputRow:
    """A row of `job_inputs`: an edge of the graph, tied to the version of what it reads."""

    job_id: UUID
    position: int
    dataset_id: UUID
    dataset_version_id: UUID
    is_trigger: bool


@dataclass(frozen=True, slots=True)
class PlacedVersion:
    """A dataset version with where its data lies. A known version lies where it always did."""

    id: UUID
    dataset_id: UUID
    storage: str
    location: str


async def put_datasets(conn: Connection, dag: DagKey, rows: Sequence[DatasetRow]) -> dict[tuple[str, str], UUID]:
    """The id of each dataset, by (job, output)."""
    found = await (await conn.execute(PUT_DATASETS, dag.parameters | {"rows": document(rows)})).fetchall()
    return {(job, output): id_ for job, output, id_ in found}


async def put_versions(conn: Connection, org_id: UUID, rows: Sequence[DatasetVersionRow]) -> list[PlacedVersion]:
    """The versions that are current with these rows; a row's own `id` and `location` count where it is new."""
    return await many(conn, PlacedVersion, PUT_VERSIONS, {"org": org_id, "rows": document(rows)})


async def put_inputs(conn: Connection, org_id: UUID, rows: Sequence[InputRow]) -> None:
    """Write the inputs of generations that are new."""
    await conn.execute(PUT_INPUTS, {"org": org_id, "rows": document(rows)})
