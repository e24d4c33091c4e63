"""The spans of a task that state knows: one root, and one pair for each attempt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from traceplane.kit import spans
from traceplane.kit.spans import Span
from traceplane.observe import task_spans
from traceplane.tasks.states import Result
from traceplane_sdk import tracing, wire
from traceplane_sdk.tracing import TraceContext

JOB = ("default", "chain", "compact")
NOW = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
NANOSECONDS = 1_767_268_800_123_456_000
TASK = str(uuid4())


@pytest.fixture
def recorded() -> Iterator[list[Span]]:
    found: list[Span] = []
    spans.install(found.append)
    yield found
    spans.install(None)


@dataclass
class Ended:
    result: str
    code: str | None = None
    task_id: str = TASK
    attempt: int = 2
    started_at: datetime | None = NOW - timedelta(seconds=2)
    ended_at: datetime | None = NOW


def claim(attempt: int, producer: UUID | None = None) -> None:
    task_spans.claimed(JOB, TASK, attempt, "Event", NOW - timedelta(seconds=1), NOW, producer)


def test_the_first_claim_records_the_root_with_a_link_to_what_it_follows_from(recorded: list[Span]) -> None:
    producer = uuid4()
    claim(1, producer)
    root, queued = recorded
    assert (root.name, root.parent, root.context.trace_id) == ("task", None, tracing.trace_id(TASK))
    assert (root.start, root.end) == (NANOSECONDS - 10**9, NANOSECONDS)
    assert [link.trace_id for link in root.links] == [producer.hex]
    assert (queued.name, queued.parent) == ("queued", root.context.span_id)


def test_a_later_claim_has_no_second_root(recorded: list[Span]) -> None:
    claim(1)
    claim(2)
    assert [span.name for span in recorded] == ["task", "queued", "queued"]
    assert len({span.context.span_id for span in recorded}) == 3
    assert {span.parent for span in recorded[1:]} == {recorded[0].context.span_id}


@pytest.mark.parametrize(
    ("ended", "failed"),
    [
        (Ended(Result.COMPLETED), None),
        (Ended(Result.RELEASED, "Evicted"), None),
        (Ended(Result.CANCELED), None),
        (Ended(Result.FAILED, "NoProvider"), "NoProvider"),
        (Ended(Result.LEASE_EXPIRED, "LeaseExpired"), "LeaseExpired"),
        (Ended(Result.TIMED_OUT), "TimedOut"),
    ],
    ids=lambda given: getattr(given, "result", given),
)
def test_an_attempt_that_failed_is_an_error_and_no_other_end_is(
    ended: Ended, failed: str | None, recorded: list[Span]
) -> None:
    task_spans.ended(JOB, ended)
    (span,) = recorded
    assert (span.name, span.context) == ("attempt", spans.of_task(TASK, 2, "attempt"))
    assert (span.attributes["trace.result"], span.failed) == (ended.result, failed)
    assert (span.start, span.end) == (NANOSECONDS - 2 * 10**9, NANOSECONDS)


def test_a_commit_is_below_the_call_of_its_own_task_and_of_no_other(recorded: list[Span]) -> None:
    call, stranger = spans.of_task(TASK, 1, "complete"), TraceContext("a" * 32, "b" * 16, True)
    for context, parent in ((call, call), (stranger, spans.of_task(TASK, 1, "attempt"))):
        with tracing.entered(context), task_spans.committing([wire.Fence(TASK, 1, TASK)]):
            pass
        assert recorded[-1].parent == parent.span_id
        assert recorded[-1].context.trace_id == tracing.trace_id(TASK)


def test_a_trace_that_is_not_sampled_has_no_span(recorded: list[Span]) -> None:
    spans.install(recorded.append, 0.0)
    claim(1)
    task_spans.ended(JOB, Ended(Result.COMPLETED))
    with task_spans.committing([wire.Fence(TASK, 1, TASK)]):
        pass
    assert recorded == []
