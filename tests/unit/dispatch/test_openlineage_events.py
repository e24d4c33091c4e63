"""Attempts as OpenLineage events: read back by the classes of OpenLineage's own client."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.services.lineage import read
from traceplane.dispatch.openlineage import events
from traceplane.dispatch.openlineage.events import Stores
from traceplane.store.statements.run_events import Run
from traceplane.tasks.states import Result

STORES = Stores("postgres://db:5432", "s3://lake")
STARTED = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
TASK, OTHER = UUID(int=1), UUID(int=2)
COLUMNS = [
    {"name": "number", "type": "Int64", "nullable": False, "pii": False, "description": "Height."},
    {"name": "hash", "type": "Hex", "nullable": False, "pii": False},
]
PLACE = {"namespace": "team", "dag": "eth"}
RUN = Run(
    task_id=TASK,
    attempt=2,
    started_at=STARTED,
    finished_at=STARTED + timedelta(seconds=9),
    result="Completed",
    error=None,
    cause="Event",
    partition="0-19",
    range_start=0,
    range_end=19,
    namespace="team",
    dag="eth",
    job="compact",
    operator="parquet_compact",
    activation="Reactive",
    config_hash="abc",
    dag_version="v3-1f0c9a2e",
    outputs=[
        {**PLACE, "job": "compact", "output": "blocks", "version": str(OTHER), "storage": "S3", "columns": COLUMNS}
        | {"rows": 20, "bytes": 900, "files": 1}
    ],
    inputs=[{**PLACE, "job": "follow", "output": "blocks", "version": str(TASK), "storage": "Postgres"}],
    follows={**PLACE, "job": "ranges", "task_id": str(OTHER), "attempt": 1},
)


def read_back(run: Run) -> tuple[dict[str, Any], dict[str, Any]]:
    start, end = (read(body) for body in events.of_ended(run, STORES))
    return start, end


def test_an_attempt_that_ended_is_a_run_from_its_start_to_its_end():
    start, end = read_back(RUN)
    assert [(event["eventType"], datetime.fromisoformat(event["eventTime"])) for event in (start, end)] == [
        ("START", RUN.started_at),
        ("COMPLETE", RUN.finished_at),
    ]
    assert {event["run"]["runId"] for event in (start, end)} == {str(events.run_id(TASK, 2))}
    job = end["job"]
    assert (job["namespace"], job["name"]) == ("trace://team", "eth.compact")
    assert job["facets"]["jobType"]["processingType"] == "BATCH"


def test_each_attempt_has_an_id_of_its_own_that_never_changes():
    assert events.run_id(UUID("00000000-0000-7000-8000-000000000001"), 1) == UUID(
        "711c3ad5-e8eb-566b-b50e-c8c4ec83830a"
    )
    assert len({events.run_id(task, attempt) for task in (TASK, OTHER) for attempt in range(1, 20)}) == 38


def test_datasets_say_where_they_are_and_what_they_hold():
    start, end = read_back(RUN)
    (read_from,), (made,) = end["inputs"], end["outputs"]
    assert (read_from["namespace"], read_from["name"]) == (STORES.hot, "team.eth.follow.blocks")
    assert read_from["facets"]["version"]["datasetVersion"] == str(TASK)
    assert (made["namespace"], made["name"]) == (STORES.cold, "team.eth.compact.blocks")
    assert made["facets"]["version"]["datasetVersion"] == str(OTHER)
    fields = [
        {key: field[key] for key in ("name", "type", "description") if key in field}
        for field in made["facets"]["schema"]["fields"]
    ]
    assert fields == [
        {"name": "number", "type": "Int64", "description": "Height."},
        {"name": "hash", "type": "Hex"},
    ]
    statistics = made["outputFacets"]["outputStatistics"]
    assert (statistics["rowCount"], statistics["size"], statistics["fileCount"]) == (20, 900, 1)
    assert start["outputs"][0]["outputFacets"] == {}, "nothing is made when it starts"


def test_what_only_trace_knows_is_a_facet_of_its_own():
    start, end = read_back(RUN)
    known = {
        "cause": "Event",
        "attempt": 2,
        "operator": "parquet_compact",
        "configHash": "abc",
        "dagVersion": "v3-1f0c9a2e",
        "partition": "0-19",
        "rangeStart": 0,
        "rangeEnd": 19,
    }
    for event, more in ((start, {}), (end, {"result": "Completed"})):
        facet = event["run"]["facets"]["trace"]
        assert {key: value for key, value in facet.items() if not key.startswith("_")} == known | more


def test_a_run_names_the_one_that_it_follows_from_and_its_attempt_where_that_is_known():
    (upstream,) = read_back(RUN)[1]["run"]["facets"]["jobDependencies"]["upstream"]
    assert upstream["job"] == {"namespace": "trace://team", "name": "eth.ranges"}
    assert upstream["run"] == {"runId": str(events.run_id(OTHER, 1))}
    unknown = replace(RUN, follows={**(RUN.follows or {}), "attempt": None})
    (upstream,) = read_back(unknown)[1]["run"]["facets"]["jobDependencies"]["upstream"]
    assert "run" not in upstream
    assert "jobDependencies" not in read_back(replace(RUN, follows=None))[1]["run"]["facets"]


@pytest.mark.parametrize("result", [result for result in Result if result != Result.SUPERSEDED])
def test_every_result_of_an_attempt_is_an_end(result: Result):
    expected = {"Completed": "COMPLETE", "Canceled": "ABORT", "Released": "ABORT"}.get(result, "FAIL")
    assert read_back(replace(RUN, result=str(result)))[1]["eventType"] == expected


def test_an_error_is_told_by_its_code_and_message_alone_and_bounded():
    error = {"code": "Broken", "message": "m" * 5000, "retryable": True, "failures": 3, "sql": "SELECT secret"}
    start, end = read_back(replace(RUN, result="Failed", error=error))
    message = end["run"]["facets"]["errorMessage"]["message"]
    assert message.startswith("Broken: mmm")
    assert len(message) == events.MAX_MESSAGE
    assert "secret" not in json.dumps(end)
    assert "errorMessage" not in start["run"]["facets"]


def test_a_running_source_starts_once_and_runs_on():
    source = replace(RUN, finished_at=None, result=None, activation="Source", cause="Source", follows=None)
    now = STARTED + timedelta(hours=1)

    def kinds(announced: datetime) -> list[str]:
        return [read(body)["eventType"] for body in events.of_running(source, STORES, now=now, announced=announced)]

    assert kinds(STARTED) == ["START", "RUNNING"]
    assert kinds(STARTED + timedelta(seconds=1)) == ["RUNNING"]
    (running,) = (read(body) for body in events.of_running(source, STORES, now=now, announced=now))
    assert datetime.fromisoformat(running["eventTime"]) == now
    assert running["job"]["facets"]["jobType"]["processingType"] == "STREAMING"
