"""Payloads of `trace.source_outbox`: what a hot writer leaves there and the dispatcher's relay reads.

The row names the dataset version, so `output` decides nothing; it is there for a person who reads the table.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from traceplane_sdk.wire import Event, Invalidation, Partition, Position


class SourceEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A row of kind Event: new data up to `cursor`, final up to `final`, or one `partition`."""

    output: str = ""
    cursor: Position | None = None
    partition: Partition | None = None
    final: Position | None = None


class SourceInvalidation(msgspec.Struct, frozen=True, kw_only=True):
    """A row of kind Invalidation: an inclusive range, and the time span of the rows removed and added."""

    output: str = ""
    start: Position
    end: Position
    reason: str
    time_start: datetime | None = None
    time_end: datetime | None = None
    detail: dict[str, Any] = {}


def payload(announced: Event | Invalidation) -> str:
    """The payload of what a task announces, as JSON text. Raises msgspec.ValidationError for a malformed time or a
    number beyond `wire.Position`."""
    kind = SourceEvent if isinstance(announced, Event) else SourceInvalidation
    return msgspec.json.encode(msgspec.convert(msgspec.to_builtins(announced), kind)).decode()
