"""The worker as a process: what it claims, how it keeps its lease, how it leaves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.integration.worker.scripted_dispatcher import (
    ScriptedDispatcher,
    WorkerProcess,
    problem,
    scripted,
    worker,
)
from tests.support import scrape
from tests.support.waiting import until
from traceplane_sdk import wire

pytestmark = pytest.mark.services

COMPLETE, CLAIM, HEARTBEAT = "/v1/task/complete", "/internal/task-claim", "/v1/task/heartbeat"


@pytest.fixture
def dispatcher() -> Iterator[ScriptedDispatcher]:
    with scripted() as running:
        yield running


def _started(path: Path, child: WorkerProcess) -> None:
    """Wait until the operator has begun."""

    def begun() -> bool:
        assert child.process.poll() is None, child.output()
        return path.exists()

    until(begun, "the operator has begun", detail=child.output)


def test_it_runs_what_it_claims_and_claims_again(dispatcher: ScriptedDispatcher, tmp_path: Path) -> None:
    first = dispatcher.put("test_operator", {"do": "return"})
    second = dispatcher.put("test_operator", {"do": "scratch"})
    with worker(dispatcher.url, tmp_path) as child:
        bodies = dispatcher.wait(COMPLETE, 2)
        done = [body.completions[0] for body in bodies]
        assert [one.fence.task_id for one in done] == [first.task.task_id, second.task.task_id]
        assert [(one.status, one.state) for one in done] == [
            ("Completed", {"done": "return"}),
            ("Completed", {"done": "scratch"}),
        ]
        dispatcher.wait(CLAIM, 3)
        assert list(child.scratch.iterdir()) == []
        assert 'trace_worker_tasks_total{result="Completed"} 2.0' in child.get("/metrics")
        scrape.check(child.get("/metrics"), "worker")
        assert child.get("/healthz") == "ok\n"


def test_failures_are_reported_by_code(dispatcher: ScriptedDispatcher, tmp_path: Path) -> None:
    dispatcher.put("test_operator", {"do": "fail"})
    dispatcher.put("test_operator", {"do": "crash"})
    dispatcher.put("test_operator", {"seconds": "not a number"})
    dispatcher.put("nobody", {})
    with worker(dispatcher.url, tmp_path):
        errors = [body.completions[0].error for body in dispatcher.wait(COMPLETE, 4)]
    assert [(error.code, error.retryable) for error in errors] == [
        ("OutOfLuck", False),
        ("OperatorCrashed", True),
        ("BadConfig", False),
        ("UnknownOperator", False),
    ]


def test_events_are_reported_while_the_task_runs(dispatcher: ScriptedDispatcher, tmp_path: Path) -> None:
    claimed = dispatcher.put("test_operator", {"do": "emit"})
    with worker(dispatcher.url, tmp_path):
        assert dispatcher.completion().status == "Completed"
    [report] = dispatcher.seen("/v1/task/events")
    assert report.fence.task_id == claimed.task.task_id
    assert [(event.output, event.cursor) for event in report.events] == [("numbers", 7)]


def test_a_busy_operator_keeps_its_lease(dispatcher: ScriptedDispatcher, tmp_path: Path) -> None:
    dispatcher.put("test_operator", {"do": "burn", "seconds": 12})
    with worker(dispatcher.url, tmp_path):
        assert dispatcher.completion().status == "Completed"
    assert len(dispatcher.seen(HEARTBEAT)) >= 4


def test_it_leaves_when_idle(dispatcher: ScriptedDispatcher, tmp_path: Path) -> None:
    with worker(dispatcher.url, tmp_path, idle_timeout_seconds="0.5") as child:
        assert child.exit_code() == 0
    assert sum(request.wait_seconds for request in dispatcher.seen(CLAIM)) <= 0.6


def test_sigterm_while_idle_ends_it_without_another_claim(dispatcher: ScriptedDispatcher, tmp_path: Path) -> None:
    with worker(dispatcher.url, tmp_path) as child:
        dispatcher.wait(CLAIM)
        child.terminate()
        assert child.exit_code(60) == 0
    assert len(dispatcher.seen(CLAIM)) <= 2


def test_sigterm_lets_a_task_finish_that_can(dispatcher: ScriptedDispatcher, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    dispatcher.put("test_operator", {"do": "look", "seconds": 1.5, "touch": str(begun)})
    dispatcher.put("test_operator", {"do": "return"})
    with worker(dispatcher.url, tmp_path) as child:
        _started(begun, child)
        child.terminate()
        assert child.exit_code(60) == 0
    assert [body.completions[0].status for body in dispatcher.seen(COMPLETE)] == ["Completed"]


@pytest.mark.parametrize("behaviour", ["look", "ignore"])
def test_sigterm_releases_a_task_that_cannot_finish_within_grace(
    dispatcher: ScriptedDispatcher, tmp_path: Path, behaviour: str
) -> None:
    begun = tmp_path / "begun"
    dispatcher.put("test_operator", {"do": behaviour, "seconds": 300, "touch": str(begun)})
    with worker(dispatcher.url, tmp_path, worker_grace_seconds="20") as child:
        _started(begun, child)
        child.terminate()
        assert child.exit_code(20) == 0
    assert [body.completions[0].status for body in dispatcher.seen(COMPLETE)] == ["Released"]


def test_sigterm_releases_a_source_at_once(dispatcher: ScriptedDispatcher, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    dispatcher.put("test_operator", {"do": "look", "seconds": 300, "touch": str(begun)}, kind="source")
    with worker(dispatcher.url, tmp_path, worker_grace_seconds="60") as child:
        _started(begun, child)
        child.terminate()
        assert child.exit_code(30) == 0
    assert dispatcher.completion().status == "Released"


def test_it_leaves_without_a_word_when_the_lease_is_lost(dispatcher: ScriptedDispatcher, tmp_path: Path) -> None:
    dispatcher.put("test_operator", {"do": "look", "seconds": 300})
    dispatcher.on_heartbeat = lambda state: wire.HeartbeatState(task_id=state.task_id, lease_expires_at=None)
    with worker(dispatcher.url, tmp_path) as child:
        assert child.exit_code() == 0
    assert dispatcher.seen(COMPLETE) == []
    assert len(dispatcher.seen(CLAIM)) == 1


def test_a_canceled_task_ends_and_the_worker_goes_on(dispatcher: ScriptedDispatcher, tmp_path: Path) -> None:
    canceled = dispatcher.put("test_operator", {"do": "look", "seconds": 300})
    dispatcher.on_heartbeat = lambda state: msgspec.structs.replace(
        state, canceled=state.task_id == canceled.task.task_id
    )
    with worker(dispatcher.url, tmp_path):
        first = dispatcher.completion()
        assert first.error is not None
        # Retryable: should the request be withdrawn meanwhile, the task is not dead.
        assert (first.error.code, first.error.retryable) == ("Canceled", True)
        dispatcher.put("test_operator", {"do": "return"})
        assert dispatcher.wait(COMPLETE, 2)[1].completions[0].status == "Completed"


def test_a_canceled_task_whose_end_is_known_already_does_not_end_the_worker(
    dispatcher: ScriptedDispatcher, tmp_path: Path
) -> None:
    dispatcher.put("test_operator", {"do": "look", "seconds": 300})
    dispatcher.on_heartbeat = lambda state: msgspec.structs.replace(state, canceled=True)
    dispatcher.on_complete = lambda completion: (
        409,
        wire.CompleteResponse([wire.CompletionState(task_id=completion.fence.task_id, accepted=False)]),
    )
    with worker(dispatcher.url, tmp_path) as child:
        dispatcher.wait(COMPLETE)
        dispatcher.wait(CLAIM, 2)
        assert child.process.poll() is None


def test_it_leaves_when_its_job_generation_is_gone(dispatcher: ScriptedDispatcher, tmp_path: Path) -> None:
    dispatcher.claim_status, dispatcher.claim_code = 404, "UnknownJob"
    with worker(dispatcher.url, tmp_path) as child:
        assert child.exit_code() == 0
    assert len(dispatcher.seen(CLAIM)) == 1


def test_a_paused_source_is_held_and_goes_on(dispatcher: ScriptedDispatcher, tmp_path: Path) -> None:
    paused = True

    def pausing(state: wire.HeartbeatState) -> wire.HeartbeatState:
        return msgspec.structs.replace(state, paused=paused)

    def position() -> float:
        lines = child.get("/metrics").splitlines()
        return next(
            (float(line.split()[1]) for line in lines if line.startswith("trace_source_cursor_block ")), 0.0
        )

    dispatcher.on_heartbeat = pausing
    dispatcher.put("test_operator", {"do": "count", "seconds": 300}, kind="source")
    with worker(dispatcher.url, tmp_path) as child:
        dispatcher.wait(HEARTBEAT, 3)
        held = position()
        dispatcher.wait(HEARTBEAT, 5)
        assert position() == held
        paused = False
        seen = len(dispatcher.seen(HEARTBEAT))
        dispatcher.wait(HEARTBEAT, seen + 3)
        assert position() > held


def test_a_dispatcher_that_is_away_is_waited_for(dispatcher: ScriptedDispatcher, tmp_path: Path) -> None:
    dispatcher.claim_status = 503
    refused = 0

    def away_twice(_completion: wire.Completion) -> tuple[int, object] | None:
        nonlocal refused
        refused += 1
        return (503, problem(503)) if refused <= 2 else None

    dispatcher.on_complete = away_twice
    dispatcher.put("test_operator", {"do": "return"})
    with worker(dispatcher.url, tmp_path):
        dispatcher.wait(CLAIM, 2)
        dispatcher.claim_status = 200
        assert (
            len({body.completions[0] for body in dispatcher.wait(COMPLETE, 3) if not body.completions[0].state})
            <= 1
        )
        dispatcher.wait(CLAIM, 4)
    assert refused == 3


@pytest.mark.parametrize(
    ("status", "retryable"), [(400, False), (401, True)], ids=["for what it says", "for who said it"]
)
def test_a_refused_completion_becomes_a_failure_that_says_why(
    dispatcher: ScriptedDispatcher, tmp_path: Path, status: int, retryable: bool
) -> None:
    refusal = (status, problem(status))
    dispatcher.on_complete = lambda completion: refusal if completion.status == "Completed" else None
    dispatcher.put("test_operator", {"do": "return"})
    with worker(dispatcher.url, tmp_path):
        second = dispatcher.wait(COMPLETE, 2)[1].completions[0]
    assert second.error is not None
    assert (second.error.code, second.error.retryable) == ("CompletionRefused", retryable)
    assert "as the test wants it" in second.error.message


def test_a_stale_completion_ends_the_worker(dispatcher: ScriptedDispatcher, tmp_path: Path) -> None:
    dispatcher.on_complete = lambda completion: (
        409,
        wire.CompleteResponse([wire.CompletionState(task_id=completion.fence.task_id, accepted=False)]),
    )
    dispatcher.put("test_operator", {"do": "return"})
    with worker(dispatcher.url, tmp_path) as child:
        assert child.exit_code() == 0
    assert len(dispatcher.seen(COMPLETE)) == 1


def test_a_rotated_worker_token_is_read_anew(dispatcher: ScriptedDispatcher, tmp_path: Path) -> None:
    with worker(dispatcher.url, tmp_path) as child:
        dispatcher.wait(CLAIM)
        child.token_file.write_text("second-token\nfirst-token\n")
        seen = len(dispatcher.seen(CLAIM))
        dispatcher.wait(CLAIM, seen + 2)
    tokens = [headers["X-Trace-Worker-Token"] for path, _, headers in dispatcher.requests if path == CLAIM]
    assert tokens[0] == "first-token"
    assert tokens[-1] == "second-token"
    assert "token" not in child_output(tmp_path).replace("lease_token", "")


def child_output(folder: Path) -> str:
    """What the worker printed: never a secret."""
    return (folder / "log").read_text()


def test_a_completion_refused_twice_ends_the_worker_in_order(
    dispatcher: ScriptedDispatcher, tmp_path: Path
) -> None:
    """An expired token, say: the failure is refused as the result was."""
    dispatcher.on_complete = lambda _completion: (401, problem(401, "BadCapability"))
    dispatcher.put("test_operator", {"do": "return"})
    with worker(dispatcher.url, tmp_path) as child:
        assert child.exit_code() == 0
    assert len(dispatcher.seen(COMPLETE)) == 2
    assert "failure refused; the lease will expire" in child_output(tmp_path)
    assert "Traceback" not in child_output(tmp_path)


def test_a_worker_whose_token_file_is_emptied_exits_with_the_reason(
    dispatcher: ScriptedDispatcher, tmp_path: Path
) -> None:
    with worker(dispatcher.url, tmp_path) as child:
        dispatcher.wait(CLAIM)
        child.token_file.write_text("")
        assert child.exit_code() == 1
        assert "TRACE_WORKER_TOKEN_FILE" in child.output()
        assert "Traceback" not in child.output()


def test_a_refused_worker_tries_again_and_can_be_drained(dispatcher: ScriptedDispatcher, tmp_path: Path) -> None:
    dispatcher.claim_status = 401
    with worker(dispatcher.url, tmp_path) as child:
        dispatcher.wait(CLAIM, 2)
        assert child.process.poll() is None
        child.terminate()
        assert child.exit_code(60) == 0


@pytest.mark.parametrize("missing", ["job_id", "worker_token_file"])
def test_a_missing_setting_is_named(dispatcher: ScriptedDispatcher, tmp_path: Path, missing: str) -> None:
    value = {"job_id": "no-uuid", "worker_token_file": str(tmp_path / "absent")}[missing]
    with worker(dispatcher.url, tmp_path, **{missing: value}) as child:
        assert child.exit_code() == 1
        assert f"TRACE_{missing.upper()}" in child.output()
