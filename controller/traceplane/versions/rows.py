"""The rows that a graph becomes.   (pure)

A new generation's ids are made here, so that the place of its data (a table or a prefix named after the dataset
version) is known before anything is written.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from traceplane.graph import Graph, GraphInput, GraphJob, GraphOutput
from traceplane.kit.ids import uuid7
from traceplane.store.statements.datasets import DatasetRow, DatasetVersionRow, InputRow
from traceplane.store.statements.pointers import DagKey
from traceplane.store.statements.versions import GenerationRow, VersionJobRow

Generations = Mapping[tuple[str, str], UUID]
"""Job generation by (name, config hash)."""

Datasets = Mapping[tuple[str, str], UUID]
"""Dataset by (job, output)."""


def location(dag: DagKey, job: str, output: GraphOutput, version: UUID, bucket: str) -> str:
    """Where a dataset version lives: a table of schema `hot`, or a prefix of the bucket, ending in `/`."""
    if output.schema.storage.value == "Postgres":
        return f"hot.d_{version.hex}"
    return f"s3://{bucket}/{dag.org_id}/{dag.namespace}/{dag.dag}/{job}/{output.name}/{version}/"


def generation_rows(graph: Graph, ids: Generations) -> list[GenerationRow]:
    """The generations of a graph's jobs."""
    return [
        GenerationRow(
            id=ids[job.name, job.config_hash],
            name=job.name,
            config_hash=job.config_hash,
            operator=job.operator,
            activation=job.activation,
            execution_strategy=job.execution_strategy,
            update_strategy=job.update_strategy,
            definition=job.definition,
            paused=job.paused,
            has_hot_tables=any(output.schema.storage.value == "Postgres" for output in job.outputs),
        )
        for job in graph.jobs
    ]


def dataset_rows(graph: Graph) -> list[DatasetRow]:
    """The datasets of a graph: every output of every job."""
    return [
        DatasetRow(job.name, output.name, output.schema.storage.value)
        for job in graph.jobs
        for output in job.outputs
    ]


def version_rows(
    dag: DagKey, graph: Graph, ids: Generations, datasets: Datasets, bucket: str
) -> list[DatasetVersionRow]:
    """The version of each dataset, with an id and a place for those that turn out to be new."""
    return [
        _version_row(dag, job, output, ids[job.name, job.config_hash], datasets[job.name, output.name], bucket)
        for job in graph.jobs
        for output in job.outputs
    ]


def _version_row(
    dag: DagKey, job: GraphJob, output: GraphOutput, job_id: UUID, dataset: UUID, bucket: str
) -> DatasetVersionRow:
    version, schema = uuid7(), output.schema
    return DatasetVersionRow(
        id=version,
        dataset_id=dataset,
        job_id=job_id,
        config_hash=job.config_hash,
        schema_hash=output.schema_hash,
        storage=schema.storage.value,
        location=location(dag, job.name, output, version, bucket),
        columns=output.columns,
        unique_key=schema.unique_key,
        scope_column=schema.scope_column,
        sort_by=schema.sort_by,
        indexes=schema.indexes,
        finality_depth=schema.finality_depth,
        first_value=schema.first_value,
        sparse=schema.sparse,
        unverified=schema.unverified,
    )


def marks(placed: Collection[DatasetVersionRow]) -> dict[UUID, dict[str, Any]]:
    """What a DAG version says of each dataset, beyond what its place and its rows depend on."""
    return {
        row.dataset_id: {
            "columns": list(row.columns),
            "finality_depth": row.finality_depth,
            "first_value": row.first_value,
            "sparse": row.sparse,
            "unverified": list(row.unverified),
        }
        for row in placed
    }


def input_rows(graph: Graph, ids: Generations, datasets: Datasets, current: Mapping[UUID, UUID]) -> list[InputRow]:
    """Every edge of the graph, tied to the version of what it reads; `current` is the version of each dataset."""
    return [
        InputRow(
            job_id=ids[job.name, job.config_hash],
            position=edge.position,
            dataset_id=dataset_id,
            dataset_version_id=version_id,
            is_trigger=edge.trigger,
        )
        for job in graph.jobs
        for edge in job.inputs
        for dataset_id, version_id in [_read(edge, datasets, current)]
    ]


def _read(edge: GraphInput, datasets: Datasets, current: Mapping[UUID, UUID]) -> tuple[UUID, UUID]:
    """The dataset and the version that an edge comes from."""
    if edge.asset is not None:
        return UUID(edge.asset.dataset_id), UUID(edge.asset.version_id)
    dataset = datasets[edge.job, edge.output]
    return dataset, current[dataset]


def version_job_rows(graph: Graph, ids: Generations) -> list[VersionJobRow]:
    """How each job runs, as far as that does not decide what it makes."""
    return [
        VersionJobRow(
            job_id=ids[job.name, job.config_hash],
            runtime=job.runtime,
            priority=job.priority,
            max_attempts=job.max_attempts,
            timeout_seconds=job.timeout_seconds,
            heartbeat_timeout_seconds=job.heartbeat_timeout_seconds,
            max_concurrency=job.max_concurrency,
            min_workers=job.min_workers,
            max_workers=job.max_workers,
            idle_timeout_seconds=job.idle_timeout_seconds,
            placement=job.placement.json(),
            definition=job.definition,
        )
        for job in graph.jobs
    ]
