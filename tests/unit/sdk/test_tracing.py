"""The W3C trace context: what a header says, and ids that follow from a task."""

from __future__ import annotations

from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traceplane_sdk import tracing
from traceplane_sdk.tracing import TraceContext

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (f"00-{TRACE}-{SPAN}-01", TraceContext(TRACE, SPAN, True)),
        (f"00-{TRACE}-{SPAN}-00", TraceContext(TRACE, SPAN, False)),
        (f"00-{TRACE}-{SPAN}-03", TraceContext(TRACE, SPAN, True)),
        (f"cc-{TRACE}-{SPAN}-01-what-is-to-come", TraceContext(TRACE, SPAN, True)),
        (f"00-{TRACE}-{SPAN}-01-more", None),
        (f"cc-{TRACE}-{SPAN}-01more", None),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-{SPAN}-01", None),
        (f"00-{TRACE}-{SPAN}", None),
        (f"cc-{TRACE}-{SPAN}-01-{'x' * 300}", None),
        ("", None),
        (None, None),
    ],
)
def test_a_header_is_read_as_the_standard_says(header: str | None, found: TraceContext | None) -> None:
    assert tracing.parse(header) == found


@given(st.text(max_size=80))
def test_no_header_fails_a_request(header: str) -> None:
    found = tracing.parse(header)
    assert found is None or header.startswith(found.traceparent[2:-3], 2)


def test_the_trace_of_a_task_is_its_id_and_its_spans_follow_from_it() -> None:
    task, other = str(uuid4()), str(uuid4())
    assert tracing.trace_id(task) == task.replace("-", "")
    names = [(task, 1, "run"), (task, 2, "run"), (task, 1, "attempt"), (other, 1, "run"), (task, "task")]
    assert len({tracing.span_id(*of) for of in names}) == len(names)
    assert all(tracing.span_id(*of) == tracing.span_id(*of) for of in names)
    own = TraceContext(tracing.trace_id(task), tracing.span_id(task, 1, "run"), True)
    assert tracing.parse(own.traceparent) == own


def test_calls_name_the_span_under_way_and_no_other() -> None:
    outer, inner = TraceContext(TRACE, SPAN, True), TraceContext(TRACE, SPAN[::-1])
    with tracing.entered(outer):
        with tracing.entered(inner):
            assert tracing.headers() == {"traceparent": inner.traceparent}
        assert tracing.headers() == {"traceparent": outer.traceparent}
    assert tracing.headers() == {}
