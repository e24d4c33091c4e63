"""When a staged version may take over: nothing waits longer in it than in the version that runs."""

from __future__ import annotations

from typing import Any

import pytest

from traceplane.dispatch.dispatcher import RELAY_SECONDS
from traceplane.kit.ids import uuid7
from traceplane.store.statements.rollouts import Standing
from traceplane.versions.readiness import LAG_SECONDS, Phase, assess

DONE: dict[str, Any] = {
    "name": "compact",
    "activation": "Reactive",
    "paused": False,
    "provisioned": True,
    "unfinished": 0,
    "oldest_seconds": None,
    "dead": 0,
    "error": None,
    "tasks": 10,
    "position": 100,
    "replaces": True,
    "usual_seconds": None,
    "goal": None,
    "report": None,
}
SOURCE = {"name": "follow", "activation": "Source", "tasks": 1, "unfinished": 1, "oldest_seconds": 9e9}


def standing(**changes: Any) -> Standing:
    return Standing(job_id=uuid7(), **DONE | changes)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="nothing is left"),
        pytest.param({"unfinished": 2, "oldest_seconds": LAG_SECONDS - 1}, id="only what came just now"),
        pytest.param({"unfinished": 2, "oldest_seconds": 69.0, "usual_seconds": 60.0}, id="no later than before"),
        pytest.param(SOURCE | {"report": None, "goal": None}, id="nobody knows how far its namesake was"),
        pytest.param({"tasks": 0}, id="there is nothing to make"),
        pytest.param(SOURCE | {"goal": 100}, id="a source as far as its namesake"),
        pytest.param(SOURCE | {"report": {"head": 110}, "goal": 90}, id="a source near its head"),
        pytest.param(
            SOURCE | {"report": {"head": 100}, "goal": 10**6}, id="its namesake followed something longer"
        ),
    ],
)
def test_what_has_caught_up_is_ready(changes: dict[str, Any]) -> None:
    assert assess([standing(), standing(**changes)]).phase is Phase.READY


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"unfinished": 2, "oldest_seconds": LAG_SECONDS + 1}, "8 of 10 tasks are done"),
        ({"unfinished": 2, "oldest_seconds": 80.0, "usual_seconds": 60.0}, "8 of 10 tasks are done"),
        (
            {"unfinished": 10, "oldest_seconds": 99.0, "paused": True},
            "0 of 10 tasks are done; its dispatch is paused",
        ),
        ({"provisioned": False}, "its tables are being made"),
        (SOURCE | {"position": None}, "it has written nothing yet"),
        (SOURCE | {"replaces": False}, "it has not said how far its chain is"),
        ({"unfinished": 2, "oldest_seconds": 7000.0, "usual_seconds": 7200.0}, "8 of 10 tasks are done"),
        (SOURCE | {"goal": 101}, "it is at 100 of 101"),
        (SOURCE | {"report": {"head": 200}, "goal": 90}, "it is at 100 of 184"),
    ],
)
def test_what_is_behind_says_how_far(changes: dict[str, Any], said: str) -> None:
    found = assess([standing(), standing(**changes)])
    assert found.phase is Phase.REBUILDING
    assert found.message == f"{changes.get('name', 'compact')}: {said}"


def test_a_task_that_died_fails_the_rebuild_and_is_all_that_is_said() -> None:
    error = {"code": "Broken", "message": "x" * 1000}
    found = assess([standing(unfinished=5, oldest_seconds=99.0), standing(name="sum", dead=3, error=error)])
    assert found.phase is Phase.FAILED
    assert found.message.startswith("sum: 3 tasks failed for good, the last with Broken: xxx")
    assert len(found.message) < 400


def test_progress_counts_tasks_of_jobs_and_values_of_sources() -> None:
    found = assess([standing(unfinished=3, oldest_seconds=99.0), standing(**SOURCE, report={"head": 216})])
    assert [(job.job, job.done, job.total) for job in found.jobs] == [("compact", 7, 10), ("follow", 100, 200)]


def test_it_has_to_stay_ready_for_as_long_as_its_jobs_may_lag() -> None:
    assert assess([standing(), standing(usual_seconds=40.0)]).hold_seconds == LAG_SECONDS + 40
    assert assess([standing(**SOURCE, usual_seconds=9e9)]).hold_seconds == LAG_SECONDS


SAMPLE = {"preview_start": 20, "preview_end": 90}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"execution_strategy": "PerPartition"}, id="all partitions of it are made"),
        pytest.param({"execution_strategy": "PerUpdate", "unfinished": 1, "oldest_seconds": 1.0}, id="news come"),
        pytest.param(SOURCE | {"goal": 10**6, "position": 90}, id="a source at its end, however far others are"),
        pytest.param(SOURCE | {"position": 90, "replaces": False}, id="a source that never said how far it is"),
    ],
)
def test_a_sample_that_is_built_is_a_preview_and_never_ready(changes: dict[str, Any]) -> None:
    found = assess([standing(**SAMPLE), standing(**SAMPLE | changes)])
    assert (found.phase, found.preview) == (Phase.PREVIEW, (20, 90))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"execution_strategy": "PerPartition", "unfinished": 1, "oldest_seconds": 0.0}, "9 of 10 tasks are done"),
        ({"execution_strategy": "PerUpdate", "short": True}, "it has not come to 90 yet"),
        (SOURCE | {"position": 89, "goal": 10**6}, "it is at 89 of 90"),
        (SOURCE | {"position": 60, "report": {"head": 80}}, "it is at 60 of 64"),
        ({"provisioned": False}, "its tables are being made"),
    ],
)
def test_a_sample_is_rebuilt_until_all_of_it_is_done(changes: dict[str, Any], said: str) -> None:
    found = assess([standing(**SAMPLE), standing(**SAMPLE | changes)])
    assert (found.phase, found.message) == (Phase.REBUILDING, f"{changes.get('name', 'compact')}: {said}")


def test_a_relay_that_is_idle_notes_more_often_than_a_staged_version_asks() -> None:
    assert 3 * RELAY_SECONDS < LAG_SECONDS
