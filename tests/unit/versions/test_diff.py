"""What a refused rebuild says: which jobs, which fields, and what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests import graphs
from traceplane.graph import Graph
from traceplane.kit.ids import uuid7
from traceplane.store.statements.versions import StoredGeneration
from traceplane.versions.diff import refusal


def _generations(graph: Graph) -> list[StoredGeneration]:
    return [
        StoredGeneration(
            id=uuid7(),
            name=job.name,
            config_hash=job.config_hash,
            operator=job.operator,
            activation=job.activation,
            execution_strategy=job.execution_strategy,
            update_strategy=job.update_strategy,
            definition=job.definition,
            active=True,
        )
        for job in graph.jobs
    ]


RUNNING = _generations(graphs.assembled(graphs.chain()))


def _set(job: str, field: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(manifest: dict[str, Any]) -> None:
        graphs.job(manifest, job)[field] = value

    return change


def _config(job: str, field: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(manifest: dict[str, Any]) -> None:
        graphs.job(manifest, job)["config"][field] = value

    return change


def _refusal(change: Callable[[dict[str, Any]], None]) -> Any:
    manifest = graphs.chain()
    change(manifest)
    return refusal(graphs.assembled(manifest), RUNNING)


@pytest.mark.parametrize(
    "change",
    [
        _set("compact", "timeoutSeconds", 60),
        _set("compact", "scaling", {"maxWorkers": 4}),
        _set("ranges", "priority", "Bulk"),
        lambda manifest: graphs.without(manifest, "compact"),
        lambda manifest: manifest["spec"]["publish"].pop(),
    ],
)
def test_what_changes_no_output_is_no_rebuild(change: Callable[[dict[str, Any]], None]):
    assert _refusal(change) is None


@pytest.mark.parametrize(
    ("change", "jobs", "said"),
    [
        (_config("ranges", "rangeSize", 50), ("ranges", "compact"), "ranges (config.rangeSize 20 -> 50)"),
        (_config("follow", "startBlock", 7), ("follow", "ranges", "compact"), "follow (config.startBlock 0 -> 7)"),
        (_set("compact", "rebuildToken", "again"), ("compact",), "compact (its operator's output, inputs or reb"),
        (_config("ranges", "rangeSize", 50), ("ranges", "compact"), "compact (reads ranges)"),
    ],
)
def test_a_rebuild_names_its_jobs_and_what_changed(
    change: Callable[[dict[str, Any]], None], jobs: tuple[str, ...], said: str
):
    refused = _refusal(change)
    assert refused.code == "RebuildNotSupported"
    assert refused.jobs == jobs
    assert said in refused.message
    assert "Revert these fields, or apply the new definition as a DAG of another name" in refused.message


def test_a_job_that_was_not_there_is_called_new():
    smaller = _generations(graphs.assembled(graphs.without(graphs.chain(), "compact")))
    refused = refusal(graphs.assembled(graphs.chain()), smaller)
    assert refused is not None
    assert "compact (new job)" in refused.message


def test_a_job_whose_generation_exists_from_before_is_no_rebuild():
    """Its data is there, so it is taken up again rather than rebuilt."""
    from dataclasses import replace

    generations = [replace(g, active=g.name != "compact") for g in RUNNING]
    assert refusal(graphs.assembled(graphs.chain()), generations) is None


def test_a_long_list_and_long_values_stay_short():
    manifest = graphs.chain()
    for number in range(30):
        copy = dict(graphs.job(manifest, "ranges"), name=f"more-{number}")
        manifest["spec"]["jobs"].append(copy)
    refused = refusal(graphs.assembled(manifest), RUNNING)
    assert refused is not None
    assert len(refused.jobs) == 30
    assert "and 20 more" in refused.message
    assert len(refused.message) < 1000
