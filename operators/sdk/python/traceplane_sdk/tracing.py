"""Where a piece of work stands in its trace: the W3C trace context, and ids that follow from the task.

The trace of a task is the task's id, and a span of it has its id from the task, the attempt and its name. So every
process knows them unasked, and a process that starts again goes on with the same trace. A query service
or a collector that is asked by an operator learns them from the header `traceparent`.

Outside source: https://www.w3.org/TR/trace-context/ (level 2).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from hashlib import blake2b
from typing import NamedTuple
from uuid import UUID

TRACEPARENT = "traceparent"
"""The header."""
_HEADER = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})"
)
_MAX_HEADER = 256


class TraceContext(NamedTuple):
    """A span within its trace. `sampled`: whether who made it records it."""

    trace_id: str
    span_id: str
    sampled: bool = False

    @property
    def traceparent(self) -> str:
        """The header that names it."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"


def trace_id(task_id: str | UUID) -> str:
    """The trace of a task. Raises ValueError for what is no UUID."""
    return UUID(str(task_id)).hex


def span_id(*of: object) -> str:
    """The id of the span that `of` names: task, attempt, name."""
    return blake2b("/".join(map(str, of)).encode(), digest_size=8).hexdigest()


def parse(header: str | None) -> TraceContext | None:
    """What a header says; None where there is none, or it is malformed: then a new trace begins."""
    found = _HEADER.match(header) if header and len(header) <= _MAX_HEADER else None
    if header is None or found is None or found["version"] == "ff":
        return None
    rest = header[found.end() :]
    # A version to come may say more, behind a dash; 00 does not.
    if rest and (found["version"] == "00" or not rest.startswith("-")):
        return None
    if not int(found["trace"], 16) or not int(found["span"], 16):
        return None
    return TraceContext(found["trace"], found["span"], bool(int(found["flags"], 16) & 1))


_current: ContextVar[TraceContext | None] = ContextVar("trace", default=None)


def current() -> TraceContext | None:
    """The span that is under way here; calls to the dispatcher and the query service name it."""
    return _current.get()


@contextmanager
def entered(context: TraceContext) -> Iterator[None]:
    """Make it the current one."""
    token = _current.set(context)
    try:
        yield
    finally:
        _current.reset(token)


def headers() -> dict[str, str]:
    """What a call sends along of the current span."""
    context = current()
    return {} if context is None else {TRACEPARENT: context.traceparent}
