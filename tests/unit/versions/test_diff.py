"""What has to be rebuilt: which jobs, and because of which fields."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests import graphs
from traceplane.graph import Graph
from traceplane.kit.ids import uuid7
from traceplane.store.statements.asset_inputs import Reader
from traceplane.store.statements.versions import StoredGeneration
from traceplane.versions import plan as plans
from traceplane.versions.diff import scope


def _generations(graph: Graph, active: bool = True) -> list[StoredGeneration]:
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
            active=active,
            staged=False,
            built=True,
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


def _where(job: str, position: int, where: Any) -> Callable[[dict[str, Any]], None]:
    def change(manifest: dict[str, Any]) -> None:
        graphs.job(manifest, job)["inputs"][position]["where"] = where

    return change


def _scope(change: Callable[[dict[str, Any]], None]) -> dict[str, str]:
    manifest = graphs.chain()
    change(manifest)
    return {rebuild.job: str(rebuild) for rebuild in scope(graphs.assembled(manifest), RUNNING)}


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
    assert _scope(change) == {}


@pytest.mark.parametrize(
    ("change", "jobs", "said"),
    [
        (_config("ranges", "rangeSize", 50), ("ranges", "compact"), "ranges (config.rangeSize 20 -> 50)"),
        (_config("follow", "startBlock", 7), ("follow", "ranges", "compact"), "follow (config.startBlock 0 -> 7)"),
        (_set("compact", "rebuildToken", "again"), ("compact",), "compact (its operator's output, inputs or reb"),
        (_config("ranges", "rangeSize", 50), ("ranges", "compact"), "compact (reads ranges)"),
        (_where("ranges", 0, {"miner": "0x00"}), ("ranges", "compact"), "ranges (inputs[0].where unset -> {"),
    ],
)
def test_a_rebuild_names_its_jobs_and_what_changed(
    change: Callable[[dict[str, Any]], None], jobs: tuple[str, ...], said: str
):
    found = _scope(change)
    assert tuple(found) == jobs
    assert any(text.startswith(said) for text in found.values())


def test_a_job_that_was_not_there_is_called_new():
    smaller = _generations(graphs.assembled(graphs.without(graphs.chain(), "compact")))
    assert [str(rebuild) for rebuild in scope(graphs.assembled(graphs.chain()), smaller)] == ["compact (new job)"]


def test_a_generation_that_was_active_once_is_no_rebuild_and_one_that_was_only_staged_is():
    chain = graphs.assembled(graphs.chain())
    former = [replace(g, active=g.name != "compact") for g in RUNNING]
    assert scope(chain, former) == ()
    half_built = [replace(g, active=False, staged=True, built=False) if g.name == "compact" else g for g in RUNNING]
    assert [rebuild.job for rebuild in scope(chain, half_built)] == ["compact"]


def test_long_values_stay_short():
    (follow, *_) = _scope(_config("follow", "startBlock", 10**15)).values()
    assert "10000" in follow


def _concerned(graph: Graph, known: list[StoredGeneration] = RUNNING) -> list[str]:
    """What a plan says to the reader of `cold-blocks`."""
    cold = Reader(job="compact", output="blocks", namespace="demo", dag="sums", reader="gas", asset="cold-blocks")
    made = plans.plan(graph, known, (), active_spec_hash="x", calls={})
    return [effect for _, effect in plans.readers(graph, made, [cold])]


def test_a_reader_in_another_dag_is_concerned_where_its_asset_has_other_rows_afterwards() -> None:
    assert _concerned(graphs.assembled(graphs.chain())) == []
    manifest = graphs.chain()
    _config("ranges", "rangeSize", 50)(manifest)
    other = graphs.assembled(manifest)
    assert _concerned(other) == ["is rebuilt after the cutover"]
    # What was built before takes its place at once: nothing is made again here, and its rows are others still.
    known = [*RUNNING, *_generations(other, active=False)]
    assert [job.action for job in plans.plan(other, known, (), active_spec_hash="x", calls={}).jobs] == [
        *("Keep", "Restore", "Restore"),
    ]
    assert _concerned(other, known) == ["goes back with it, or is rebuilt where it was not built over those rows"]
    # One that takes no part in it is not concerned.
    unpublished = graphs.chain()
    unpublished["spec"]["publish"].pop(0)
    assert _concerned(graphs.assembled(unpublished)) == []


def test_a_reader_in_another_dag_is_concerned_where_its_asset_goes_or_becomes_another_output() -> None:
    withdrawn = "goes on with the rows there are: nobody publishes asset cold-blocks then"
    manifest = graphs.chain()
    manifest["spec"]["publish"].pop()
    assert _concerned(graphs.assembled(manifest)) == [withdrawn]
    assert _concerned(graphs.assembled(graphs.without(graphs.chain(), "compact"))) == [withdrawn]
    manifest["spec"]["publish"] = [{"asset": "cold-blocks", "from": {"job": "follow", "output": "logs"}}]
    assert _concerned(graphs.assembled(manifest)) == [
        "is rebuilt after the cutover: asset cold-blocks is follow/logs then"
    ]
