"""What an answer of the task API means to a run: go on, try again, stop, or fail."""

from __future__ import annotations

import httpx
import msgspec
import pytest

from traceplane_sdk import client, tracing, wire
from traceplane_sdk.client import TaskApi
from traceplane_sdk.errors import CallRefused, DispatcherUnavailable, StaleLease

TASK = "00000000-0000-7000-8000-000000000001"
PATIENCE_SECONDS = 60.0
"""Nothing here is tried again."""
FENCE = wire.Fence(TASK, 1, TASK)
COMPLETION = wire.Completion(fence=FENCE, status="Completed")
ACCEPTED = msgspec.json.encode(wire.CompleteResponse([wire.CompletionState(task_id=TASK, accepted=True)]))
STALE = msgspec.json.encode(wire.CompleteResponse([wire.CompletionState(task_id=TASK, accepted=False)]))
PROBLEM = msgspec.json.encode(
    wire.Problem(type="about:blank", title="", status=400, code="BadCommit", detail="no such file")
)


def api(status: int, content: bytes) -> TaskApi:
    """An API whose dispatcher always answers so."""
    made = TaskApi("http://dispatcher", lambda: "token")
    made.close()
    transport = httpx.MockTransport(lambda _request: httpx.Response(status, content=content))
    made._http = httpx.Client(base_url="http://dispatcher", transport=transport)
    return made


def complete(status: int, content: bytes) -> wire.CompletionState:
    return api(status, content).complete(COMPLETION, "token", patience=PATIENCE_SECONDS)


def test_an_accepted_completion_is_its_state() -> None:
    assert complete(200, ACCEPTED).accepted


def test_a_completion_that_was_not_accepted_means_that_the_lease_is_lost() -> None:
    with pytest.raises(StaleLease):
        complete(200, STALE)


def test_a_lost_lease_is_no_refusal() -> None:
    with pytest.raises(StaleLease):
        api(409, PROBLEM).events(wire.EventsRequest(fence=FENCE, id=TASK), "token", patience=PATIENCE_SECONDS)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_dispatcher_that_cannot_answer_now_is_unavailable(status: int) -> None:
    with pytest.raises(DispatcherUnavailable):
        api(status, PROBLEM).claim(
            wire.ClaimRequest(worker_id="worker", job=TASK)
        )  # not tried again, as others are


@pytest.mark.parametrize(("status", "final"), [(400, True), (413, True), (422, True), (401, False), (403, False)])
def test_a_refusal_has_the_code_of_its_problem_and_is_final_where_it_is_about_the_content(
    status: int, final: bool
) -> None:
    with pytest.raises(CallRefused) as refused:
        complete(status, PROBLEM)
    assert (refused.value.code, refused.value.final) == ("BadCommit", final)


def test_an_answer_is_read_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "MAX_ANSWER_BYTES", len(ACCEPTED))
    assert complete(200, ACCEPTED).accepted
    monkeypatch.setattr(client, "MAX_ANSWER_BYTES", len(ACCEPTED) - 1)
    with pytest.raises(CallRefused, match="AnswerTooLarge"):
        complete(200, ACCEPTED)


def test_a_call_names_the_span_that_is_under_way() -> None:
    sent: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.headers.get("traceparent"))
        return httpx.Response(200, content=ACCEPTED)

    made = api(200, ACCEPTED)
    made._http = httpx.Client(base_url="http://dispatcher", transport=httpx.MockTransport(answer))
    context = tracing.TraceContext("a" * 32, "b" * 16, True)
    with tracing.entered(context):
        made.complete(COMPLETION, "token", patience=PATIENCE_SECONDS)
    made.complete(COMPLETION, "token", patience=PATIENCE_SECONDS)
    assert sent == [context.traceparent, None]
