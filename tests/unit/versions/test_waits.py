"""Why a value is not there yet: one reason for each job on the way, the first that applies."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from traceplane.store.statements.steps import Step
from traceplane.versions.waits import Wait, explain

FOLLOW, RANGES, COMPACT = (UUID(int=number) for number in (1, 2, 3))
TASK = UUID(int=9)
THEN = datetime(2026, 11, 30, 12, 34, 56, tzinfo=UTC)
ERROR = {"code": "NoBucket", "message": "there is no bucket"}
AT_12 = {"healthy": True, "message": "following", "position": 12, "head": 12}


def step(name: str, id_: UUID, strategy: str | None, *reads: UUID, **given: Any) -> Step:
    fields: dict[str, Any] = {
        "distance": 0,
        "namespace": "demo",
        "dag": "chain",
        "job_id": id_,
        "job": name,
        "activation": "Reactive" if strategy else "Source",
        "execution_strategy": strategy,
        "paused": False,
        "provisioned": True,
        "active": True,
        "position": None,
        "final": None,
        "covered": False,
        "queued": 0,
        "running": 0,
        "retrying": 0,
        "oldest_queued_at": None,
        "dead": 0,
        "error": None,
        "report": None,
        "reads": list(reads),
        "triggers": list(reads[:1]),
    }
    return Step(**{**fields, **given})


def follow(**given: Any) -> Step:
    return step("follow", FOLLOW, None, **{"position": 12, "final": 8, "report": AT_12, **given})


def ranges(**given: Any) -> Step:
    return step("ranges", RANGES, "PerUpdate", FOLLOW, **{"position": 7, **given})


def compact(**given: Any) -> Step:
    return step("compact", COMPACT, "PerPartition", RANGES, FOLLOW, **given)


def task(status: str, **given: Any) -> dict[str, Any]:
    about = {
        "task_id": TASK,
        "status": status,
        "attempt": 1,
        "max_attempts": 3,
        "worker_id": "w",
        "queued_at": THEN,
    }
    return {**about, "started_at": THEN, "task_error": ERROR, **given}


def found(at: int | None, *steps: Step) -> list[Wait]:
    return explain(steps, at)


def test_every_job_on_the_way_has_its_own_reason() -> None:
    assert [str(wait.reason) for wait in found(5, compact(covered=True), ranges(), follow())] == ["Done"] * 3
    reasons = [(wait.job, str(wait.reason)) for wait in found(10, compact(), ranges(), follow())]
    assert reasons == [("compact", "WaitsForInput"), ("ranges", "NotFinal"), ("follow", "Done")]
    reasons = [(wait.job, str(wait.reason)) for wait in found(13, compact(), ranges(), follow())]
    assert reasons == [("compact", "WaitsForInput"), ("ranges", "WaitsForInput"), ("follow", "NotThereYet")]


@pytest.mark.parametrize(
    ("given", "reason", "said", "remedy"),
    [
        (task("Queued", ahead=4), "Queued", "queued since 12:34:56; 4 tasks are claimed before it", ""),
        (task("Queued"), "Queued", "it is the next to be claimed", ""),
        (task("Queued", paused=True), "Paused", "dispatch of its job is paused", ""),
        (task("Running"), "Running", "attempt 1 runs on w since 12:34:56", "tracectl logs compact -n demo"),
        (
            task("Failed", next_retry_at=THEN),
            "Retrying",
            "attempt 1 of 3 failed with NoBucket: there is no bucket; the next one is at 12:34:56",
            "tracectl logs compact -n demo",
        ),
        (
            task("Failed", finished_at=THEN, attempt=3),
            "Failed",
            "its task failed for good after 3 attempts, with NoBucket: there is no bucket",
            f"tracectl retry {TASK}",
        ),
        (
            {"active": False, "covered": True},
            "Inactive",
            "no active version",
            "tracectl rollout status chain -n demo",
        ),
        ({"provisioned": False}, "Provisioning", "its tables are being made", ""),
        ({"queued": 2, "oldest_queued_at": THEN}, "Queued", "2 tasks are queued and none runs", "kubectl get tjob"),
        ({"queued": 2, "running": 1}, "Running", "1 tasks run, 2 are queued", ""),
    ],
)
def test_the_task_of_a_value_says_why_it_is_not_there(
    given: dict[str, Any], reason: str, said: str, remedy: str
) -> None:
    wait = found(5, compact(**given), ranges(), follow())[0]
    assert str(wait.reason) == reason
    assert said in wait.message
    assert wait.remedy.startswith(remedy)
    assert bool(wait.remedy) == bool(remedy)
    assert wait.task_id == given.get("task_id")


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"dead": 1, "error": ERROR, "queued": 1}, "Failed"),
        ({"paused": True, "queued": 1}, "Paused"),
        ({"running": 1}, "Running"),
        ({}, "WaitsForInput"),
    ],
)
def test_the_queue_of_a_job_that_reads_a_source_says_why_a_final_value_is_not_there(
    given: dict[str, Any], reason: str
) -> None:
    def reasons(at: int) -> list[str]:
        return [str(wait.reason) for wait in found(at, compact(running=1), ranges(**given), follow())]

    assert reasons(8) == ["WaitsForInput", reason, "Done"]
    assert reasons(9) == ["WaitsForInput", "NotFinal", "Done"]
    assert reasons(13) == ["WaitsForInput", "WaitsForInput", "NotThereYet"]


@pytest.mark.parametrize(("strategy", "reason"), [("PerUpdate", "Failed"), ("PerPartition", "WaitsForInput")])
def test_a_job_with_two_triggers_has_work_when_its_strategy_says_so(strategy: str, reason: str) -> None:
    both = step("both", COMPACT, strategy, RANGES, FOLLOW, triggers=[RANGES, FOLLOW], dead=1, error=ERROR)
    assert str(found(8, both, ranges(), follow())[0].reason) == reason


@pytest.mark.parametrize(
    ("report", "at", "reason", "said"),
    [
        (None, 13, "NotRunning", "no run of the source reports anything"),
        ({**AT_12, "head": 40}, 13, "Behind", "it is at 12 of 40"),
        ({**AT_12, "healthy": False, "message": "provider 0: HTTP 401", "head": 40}, 13, "Unhealthy", "HTTP 401"),
        (AT_12, None, "CaughtUp", "it is at 12 of 12"),
        ({**AT_12, "head": 40}, None, "Running", "it is at 12 of 40"),
        (None, None, "NotRunning", "no run of the source"),
    ],
)
def test_a_source_says_where_it_is(report: Any, at: int | None, reason: str, said: str) -> None:
    wait = found(at, follow(report=report))[0]
    assert (str(wait.reason), said in wait.message) == (reason, True)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"dead": 2, "error": ERROR, "queued": 1}, "Failed"),
        ({"paused": True, "queued": 1}, "Paused"),
        ({"running": 1}, "Running"),
        ({"queued": 1, "oldest_queued_at": THEN}, "Queued"),
        ({"retrying": 1}, "Retrying"),
        ({}, "WaitsForInput"),
    ],
)
def test_without_a_value_each_job_says_what_its_queue_does(given: dict[str, Any], reason: str) -> None:
    assert str(found(None, compact(**given), ranges(), follow())[0].reason) == reason
