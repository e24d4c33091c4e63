"""Attempts as OpenLineage run events.   (pure)

An attempt is a run, and its id follows from the task's and the attempt's number: an event that is sent twice is of
the same run. An event holds names, ids, times and counts: no row, no SQL, and of an error the code and
message that `tracectl get tasks` shows.

A run that follows from another's event names it in `jobDependencies`. It is no `parent`, which means a run that
consists of others: a receiver would show the two as one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from typing import Any
from uuid import UUID, uuid5

import attr
from openlineage.client import event_v2 as event
from openlineage.client import facet_v2 as facet
from openlineage.client.generated.base import EventType
from openlineage.client.serde import Serde

from traceplane.store.statements.run_events import Run
from traceplane.tasks.states import Result

VERSION = version("traceplane")
PRODUCER = f"urn:trace:traceplane:{VERSION}"
MAX_MESSAGE = 1_000

ENDS = {
    Result.COMPLETED: EventType.COMPLETE,
    Result.FAILED: EventType.FAIL,
    Result.TIMED_OUT: EventType.FAIL,
    Result.LEASE_EXPIRED: EventType.FAIL,
    Result.CANCELED: EventType.ABORT,
    # Handed back and done again by the next attempt.
    Result.RELEASED: EventType.ABORT,
}
"""How an attempt's result is called there."""


@dataclass(frozen=True, slots=True)
class Stores:
    """Where hot and cold datasets are, as OpenLineage names stores: `postgres://host:port`, `s3://bucket`."""

    hot: str
    cold: str


@attr.define
class TraceRunFacet(facet.RunFacet):
    """What only Trace knows of a run. A range is of the scope column's values, both ends within.

    Its fields are spelt as those of other facets.
    """

    cause: str
    attempt: int
    operator: str
    configHash: str
    result: str | None = None
    dagVersion: str | None = None
    partition: str | None = None
    rangeStart: int | None = None
    rangeEnd: int | None = None

    @staticmethod
    def _get_schema() -> str:
        return "urn:trace:openlineage:TraceRunFacet:1"


def run_id(task_id: UUID, attempt: int) -> UUID:
    """The run's id: the same for every event of the attempt."""
    return uuid5(task_id, str(attempt))


def of_ended(run: Run, stores: Stores) -> list[bytes]:
    """START and the end of an attempt, each as JSON."""
    assert run.finished_at is not None
    assert run.result is not None
    return [
        _event(EventType.START, run.started_at, run, stores),
        _event(ENDS[Result(run.result)], run.finished_at, run, stores),
    ]


def of_running(run: Run, stores: Stores, *, now: datetime, announced: datetime) -> list[bytes]:
    """RUNNING, and before it START where the attempt began since the last ones were `announced`. Each as JSON."""
    start = [_event(EventType.START, run.started_at, run, stores)] if run.started_at >= announced else []
    return [*start, _event(EventType.RUNNING, now, run, stores)]


def _event(kind: EventType, at: datetime, run: Run, stores: Stores) -> bytes:
    ended = kind in ENDS.values()
    made = event.RunEvent(
        eventType=kind,
        eventTime=at.isoformat(),
        producer=PRODUCER,
        run=event.Run(str(run_id(run.task_id, run.attempt)), _run_facets(run, ended=ended)),
        job=event.Job(_namespace(run.namespace), f"{run.dag}.{run.job}", _job_facets(run)),
        inputs=[event.InputDataset(*_place(dataset, stores), facets=_version(dataset)) for dataset in run.inputs],
        outputs=[
            event.OutputDataset(
                *_place(dataset, stores),
                facets={**_version(dataset), "schema": _schema(dataset)},
                outputFacets=_statistics(dataset) if ended else {},
            )
            for dataset in run.outputs
        ],
    )
    return Serde.to_json(made).encode()


def _run_facets(run: Run, *, ended: bool) -> dict[str, facet.RunFacet]:
    facets: dict[str, facet.RunFacet] = {
        "processing_engine": facet.processing_engine_run.ProcessingEngineRunFacet(
            version=VERSION, name="Trace", producer=PRODUCER
        ),
        "trace": TraceRunFacet(
            cause=run.cause,
            attempt=run.attempt,
            operator=run.operator,
            configHash=run.config_hash,
            result=run.result if ended else None,
            dagVersion=run.dag_version,
            partition=run.partition,
            rangeStart=run.range_start,
            rangeEnd=run.range_end,
            producer=PRODUCER,
        ),
    }
    if run.follows is not None:
        facets["jobDependencies"] = _follows(run.follows)
    if run.error is not None and ended:
        message = f"{run.error['code']}: {run.error['message']}"[:MAX_MESSAGE]
        facets["errorMessage"] = facet.error_message_run.ErrorMessageRunFacet(
            message, programmingLanguage="PYTHON", producer=PRODUCER
        )
    return facets


def _follows(found: dict[str, Any]) -> facet.RunFacet:
    names = facet.job_dependencies_run
    attempt = found["attempt"]
    upstream = names.JobDependency(
        names.JobIdentifier(_namespace(found["namespace"]), f"{found['dag']}.{found['job']}"),
        None if attempt is None else names.RunIdentifier(str(run_id(UUID(found["task_id"]), attempt))),
        dependency_type="DIRECT_INVOCATION",
    )
    return names.JobDependenciesRunFacet(upstream=[upstream], producer=PRODUCER)


def _job_facets(run: Run) -> dict[str, facet.JobFacet]:
    kind = "STREAMING" if run.activation == "Source" else "BATCH"
    return {"jobType": facet.job_type_job.JobTypeJobFacet(kind, "TRACE", "JOB", producer=PRODUCER)}


def _namespace(of_kubernetes: str) -> str:
    return f"trace://{of_kubernetes}"


def _place(dataset: dict[str, Any], stores: Stores) -> tuple[str, str]:
    """Namespace and name. Namespaces of Kubernetes share the stores, so theirs is part of the name."""
    name = ".".join(dataset[part] for part in ("namespace", "dag", "job", "output"))
    return stores.hot if dataset["storage"] == "Postgres" else stores.cold, name


def _version(dataset: dict[str, Any]) -> dict[str, facet.DatasetFacet]:
    return {
        "version": facet.dataset_version_dataset.DatasetVersionDatasetFacet(dataset["version"], producer=PRODUCER)
    }


def _schema(dataset: dict[str, Any]) -> facet.DatasetFacet:
    names = facet.schema_dataset
    columns: Iterable[dict[str, Any]] = dataset["columns"]
    return names.SchemaDatasetFacet(
        [
            names.SchemaDatasetFacetFields(column["name"], column["type"], column.get("description") or None)
            for column in columns
        ],
        producer=PRODUCER,
    )


def _statistics(dataset: dict[str, Any]) -> dict[str, facet.OutputDatasetFacet]:
    if dataset["rows"] is None:
        return {}
    made = facet.output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
        dataset["rows"], dataset["bytes"], dataset["files"], producer=PRODUCER
    )
    return {"outputStatistics": made}
