"""Spans of OpenTelemetry traces, as the rooms of the platform record them.

A process that exports traces installs a sink; in all others recording a span is a comparison with None. What leaves
the process, and how, is `observe.otlp`'s matter: nothing here waits, and nothing here raises.

Whether a trace is recorded follows from its id, so that every process decides alike. What a caller sent in
`traceparent` decides for the spans below it. Attributes are names, ids and counts: never a token, SQL or a row.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID

from traceplane.errors import Refused
from traceplane.kit.ids import uuid7
from traceplane_sdk import tracing
from traceplane_sdk.tracing import TraceContext

MAX_EVENTS = 32
"""Events of one span; a run that lasts for weeks may lose more heartbeats than that."""
_RANDOM_BITS = 56
"""Of a trace id that are random: those at its end, also of a UUID (W3C trace context, level 2)."""

INTERNAL, SERVER, CLIENT, CONSUMER = "internal", "server", "client", "consumer"
Value = str | int | float | bool


@dataclass(slots=True)
class Span:
    """A piece of work. Times are nanoseconds since 1970; `failed` is the code of the error that it ended with."""

    name: str
    context: TraceContext
    parent: str | None
    kind: str = INTERNAL
    start: int = field(default_factory=time.time_ns)
    end: int = 0
    attributes: dict[str, Value] = field(default_factory=dict)
    events: list[tuple[str, int, dict[str, Value]]] = field(default_factory=list)
    links: list[TraceContext] = field(default_factory=list)
    failed: str | None = None

    def event(self, name: str, **attributes: Value) -> None:
        """Something that happened meanwhile."""
        if self.context.sampled and len(self.events) < MAX_EVENTS:
            self.events.append((name, time.time_ns(), attributes))


Sink = Callable[[Span], None]

_sink: Sink | None = None
_ratio = 0.0


def install(sink: Sink | None, ratio: float = 1.0) -> None:
    """Give every span of a `ratio` of all traces to `sink`, which neither waits nor raises."""
    global _sink, _ratio
    _sink, _ratio = sink, ratio if sink is not None else 0.0


def _uninstall() -> None:
    install(None)


os.register_at_fork(after_in_child=_uninstall)  # the thread that exports is not in the child


def enabled() -> bool:
    """Whether any span is recorded: for what costs something to find out."""
    return _sink is not None


def sampled(trace_id: str) -> bool:
    """Whether the trace is recorded, where nobody said so."""
    return _sink is not None and int(trace_id, 16) & ((1 << _RANDOM_BITS) - 1) < _ratio * (1 << _RANDOM_BITS)


def of_task(task_id: str | UUID, *of: object) -> TraceContext:
    """A span of a task: `of` is an attempt and a name, or a name alone."""
    trace = tracing.trace_id(task_id)
    return TraceContext(trace, tracing.span_id(trace, *of), sampled(trace))


def started() -> TraceContext:
    """A new trace."""
    trace = uuid7().hex
    return TraceContext(trace, os.urandom(8).hex(), sampled(trace))


def below(parent: TraceContext) -> TraceContext:
    """A new span within a trace."""
    return parent._replace(span_id=os.urandom(8).hex())


def record(span: Span) -> None:
    """Hand a span on that has ended, where its trace is recorded."""
    if _sink is not None and span.context.sampled:
        _sink(span)


@contextmanager
def spanned(
    name: str, parent: TraceContext | None, *, context: TraceContext | None = None, kind: str = INTERNAL
) -> Iterator[Span]:
    """A span around what is done meanwhile, below `parent`; `context` is its own, where its id is not any one."""
    own = context or (below(parent) if parent is not None else started())
    span = Span(name, own, parent.span_id if parent is not None else None, kind)
    try:
        yield span
    except BaseException as error:
        span.attributes["error.type"] = code = str(getattr(error, "code", type(error).__name__))
        if not isinstance(error, Refused):  # a refusal is the caller's fault
            span.failed = code
        raise
    finally:
        span.end = time.time_ns()
        record(span)
