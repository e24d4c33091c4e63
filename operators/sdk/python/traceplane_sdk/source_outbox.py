"""Rows of `trace.source_outbox`: what a hot writer leaves there and the dispatcher's relay reads.

The row names the dataset version, so `output` decides nothing; it is there for a person who reads the table.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from traceplane_sdk.wire import Event, Invalidation, Partition, Position, TaskPayload

if TYPE_CHECKING:
    import psycopg

_INSERT = """
insert into trace.source_outbox (id, org_id, dataset_version_id, kind, payload, task_id, attempt, lease_epoch)
select gen_random_uuid(), %(org)s::uuid, version, %(kind)s, payload, %(task)s::uuid, %(attempt)s, %(epoch)s
from jsonb_to_recordset(%(announced)s::jsonb) as announced (version uuid, payload jsonb)
"""


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


def insert(
    connection: psycopg.Connection[Any], task: TaskPayload, kind: str, rows: Iterable[tuple[str, str]]
) -> None:
    """Leave a row of `kind` for each (dataset version, payload), in their order."""
    announced = ",".join(f'{{"version":"{version}","payload":{text}}}' for version, text in rows)
    connection.execute(
        _INSERT,
        {
            "announced": f"[{announced}]",
            "kind": kind,
            "org": task.org_id,
            "task": task.task_id,
            "attempt": task.attempt,
            "epoch": task.lease_epoch,
        },
    )
