"""Which spans are recorded, and what they say of how they ended."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from traceplane.errors import NotFound, Unavailable
from traceplane.kit import spans
from traceplane.kit.ids import uuid7
from traceplane.kit.spans import Span


@pytest.fixture
def recorded() -> Iterator[list[Span]]:
    found: list[Span] = []
    spans.install(found.append)
    yield found
    spans.install(None)


def test_without_a_sink_nothing_is_sampled_and_the_trace_is_known_all_the_same() -> None:
    task = uuid7()
    assert spans.of_task(task, 1, "run")[::2] == (task.hex, False)
    with spans.spanned("query", None) as span:
        assert not span.context.sampled


def test_a_ratio_keeps_that_part_of_the_traces_each_whole(recorded: list[Span]) -> None:
    spans.install(recorded.append, 0.25)
    tasks = [uuid7() for _ in range(4000)]
    kept = {task for task in tasks if spans.of_task(task, "task").sampled}
    assert 800 < len(kept) < 1200
    assert kept == {task for task in tasks if spans.of_task(task, 3, "commit").sampled}
    spans.install(recorded.append, 0.5)
    assert kept < {task for task in tasks if spans.of_task(task, "task").sampled}, "a higher ratio keeps them, too"


def test_what_the_parent_says_counts_below_it(recorded: list[Span]) -> None:
    for sampled in (False, True):
        parent = spans.started()._replace(sampled=sampled)
        with spans.spanned("query", parent) as outer, spans.spanned("gate", outer.context) as inner:
            pass
        assert [span.name for span in recorded] == (["gate", "query"] if sampled else [])
    assert (inner.parent, outer.parent) == (outer.context.span_id, parent.span_id)
    assert {span.context.trace_id for span in recorded} == {parent.trace_id}


@pytest.mark.parametrize(
    ("error", "code", "failed"),
    [
        (NotFound("no task of that name", code="UnknownTask"), "UnknownTask", None),
        (Unavailable("password=canary"), "Unavailable", "Unavailable"),
        (ValueError("canary"), "ValueError", "ValueError"),
    ],
)
def test_an_error_is_named_by_its_code_alone_and_a_refusal_is_no_failure(
    recorded: list[Span], error: Exception, code: str, failed: str | None
) -> None:
    with pytest.raises(type(error)), spans.spanned("query", None):
        raise error
    (span,) = recorded
    assert (span.attributes, span.failed) == ({"error.type": code}, failed)
    assert "canary" not in repr(span)
    assert span.end >= span.start


def test_events_of_a_span_are_bounded(recorded: list[Span]) -> None:
    with spans.spanned("run", None) as span:
        for _ in range(10 * spans.MAX_EVENTS):
            span.event("heartbeat missed")
    assert len(recorded[0].events) == spans.MAX_EVENTS


def test_a_forked_child_records_nothing(recorded: list[Span]) -> None:
    child = os.fork()
    if child == 0:
        os._exit(1 if spans.enabled() else 0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert spans.enabled()
