"""The rows that a graph becomes, as the documents that the deploy's statements unpack.   (pure)

A new generation's ids are made here, so that the place of its data (a table or a prefix named after the dataset
version) is known before anything is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from traceplane.graph import Graph, GraphJob, GraphOutput
from traceplane.kit.ids import uuid7

Row = dict[str, Any]
Ids = Mapping[tuple[str, str], UUID]
"""Job generation by (name, config hash)."""


@dataclass(frozen=True, slots=True)
class Names:
    """Which DAG: organisation, namespace, name."""

    org_id: UUID
    namespace: str
    dag: str

    @property
    def key(self) -> dict[str, Any]:
        """As statements take them."""
        return {"org": self.org_id, "namespace": self.namespace, "dag": self.dag}


@dataclass(frozen=True, slots=True)
class Versions:
    """Dataset by (job, output), and the current version of each dataset."""

    datasets: Mapping[tuple[str, str], UUID]
    current: Mapping[UUID, UUID]

    def pointers(self) -> list[Row]:
        """The pointer set."""
        return [{"dataset_id": str(d), "dataset_version_id": str(v)} for d, v in self.current.items()]


def location(names: Names, job: str, output: GraphOutput, version: UUID, bucket: str) -> str:
    """Where a dataset version lives: a table of schema `hot`, or a prefix of the bucket, ending in `/`."""
    if output.schema.storage.value == "Postgres":
        return f"hot.d_{version.hex}"
    return f"s3://{bucket}/{names.org_id}/{names.namespace}/{names.dag}/{job}/{output.name}/{version}/"


def generation_rows(graph: Graph, ids: Ids) -> list[Row]:
    """Rows of `jobs`. `hot`: some output is a table, which must exist before the job runs."""
    return [
        {
            "id": str(ids[job.name, job.config_hash]),
            "name": job.name,
            "config_hash": job.config_hash,
            "operator": job.operator,
            "activation": job.activation,
            "execution_strategy": job.execution_strategy,
            "update_strategy": job.update_strategy,
            "definition": job.definition,
            "paused": job.paused,
            "hot": any(output.schema.storage.value == "Postgres" for output in job.outputs),
        }
        for job in graph.jobs
    ]


def version_rows(
    names: Names, graph: Graph, ids: Ids, datasets: Mapping[tuple[str, str], UUID], bucket: str
) -> list[Row]:
    """Rows of `dataset_versions`, with ids for those that turn out to be new."""
    return [
        _version_row(names, job, output, ids[job.name, job.config_hash], datasets[job.name, output.name], bucket)
        for job in graph.jobs
        for output in job.outputs
    ]


def _version_row(names: Names, job: GraphJob, output: GraphOutput, job_id: UUID, dataset: UUID, bucket: str) -> Row:
    version, schema = uuid7(), output.schema
    return {
        "id": str(version),
        "dataset_id": str(dataset),
        "job_id": str(job_id),
        "config_hash": job.config_hash,
        "schema_hash": output.schema_hash,
        "storage": schema.storage.value,
        "location": location(names, job.name, output, version, bucket),
        "columns": output.columns,
        "unique_key": list(schema.unique_key),
        "scope_column": schema.scope_column,
        "sort_by": list(schema.sort_by),
        "indexes": [list(index) for index in schema.indexes],
        "finality_depth": schema.finality_depth,
        "first_value": schema.first_value,
    }


def input_rows(graph: Graph, ids: Ids, versions: Versions) -> list[Row]:
    """Rows of `job_inputs`: every edge of the graph, tied to the version of what it reads."""
    return [
        {
            "job_id": str(ids[job.name, job.config_hash]),
            "position": edge.position,
            "dataset_id": str(versions.datasets[edge.job, edge.output]),
            "dataset_version_id": str(versions.current[versions.datasets[edge.job, edge.output]]),
            "is_trigger": edge.trigger,
        }
        for job in graph.jobs
        for edge in job.inputs
    ]


def version_job_rows(graph: Graph, ids: Ids) -> list[Row]:
    """Rows of `dag_version_jobs`: how each job runs, as far as it does not decide what it makes."""
    return [
        {
            "job_id": str(ids[job.name, job.config_hash]),
            "runtime": job.runtime,
            "priority": job.priority,
            "max_attempts": job.max_attempts,
            "timeout_seconds": job.timeout_seconds,
            "heartbeat_timeout_seconds": job.heartbeat_timeout_seconds,
            "max_concurrency": job.max_concurrency,
            "min_workers": job.min_workers,
            "max_workers": job.max_workers,
            "idle_timeout_seconds": job.idle_timeout_seconds,
            "placement": job.placement.json(),
        }
        for job in graph.jobs
    ]
