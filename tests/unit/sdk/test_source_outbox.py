"""What a hot writer leaves in the source outbox is what the relay reads there."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from uuid import UUID

import msgspec
import pytest

from traceplane.dispatch.accept import unpack
from traceplane.store.statements.source_outbox import SourceRow
from traceplane_sdk import source_outbox, wire
from traceplane_sdk.source_outbox import SourceEvent, SourceInvalidation

ID = UUID("00000000-0000-7000-8000-000000000001")
PART = wire.Partition("0-9", 0, 9)


def row(kind: str, payload: str) -> SourceRow:
    return SourceRow(id=ID, seq=1, dataset_version_id=ID, kind=kind, payload=json.loads(payload), task_id=ID)


@pytest.mark.parametrize(
    ("event", "fields"),
    [
        (wire.Event(output="blocks", cursor=7), {"cursor": 7}),
        (wire.Event(output="blocks", partition=PART), {"key": "0-9", "start": 0, "end": 9}),
    ],
)
def test_an_event_arrives_as_it_was_written(event: wire.Event, fields: dict[str, object]) -> None:
    unpacked = unpack([row("Event", source_outbox.payload(event))])
    shared = {"place": 0, "id": str(ID), "version": str(ID), "task_id": str(ID)}
    assert unpacked.events == [{**shared, **fields}]
    assert (unpacked.invalidations, unpacked.malformed) == ([], [])


def test_an_invalidation_arrives_as_it_was_written() -> None:
    told = wire.Invalidation(
        output="blocks",
        start=3,
        end=5,
        time_start="2026-01-01T00:00:00Z",
        time_end="2026-01-01T01:00:00+01:00",
        reason="Reorg",
        detail={"depth": 3},
    )
    event = row("Event", source_outbox.payload(wire.Event(output="blocks", cursor=7)))
    (found,) = unpack([event, row("Invalidation", source_outbox.payload(told))]).invalidations
    assert found == {
        "place": 1,
        "id": str(ID),
        "version": str(ID),
        "start": 3,
        "end": 5,
        "time_start": datetime(2026, 1, 1, tzinfo=UTC),
        "time_end": datetime(2026, 1, 1, tzinfo=UTC),
        "reason": "Reorg",
        "detail": {"depth": 3},
    }


def test_the_payload_names_its_output_for_a_person_who_reads_the_table() -> None:
    assert json.loads(source_outbox.payload(wire.Event(output="blocks", cursor=7)))["output"] == "blocks"


def test_a_row_without_an_output_is_read_all_the_same() -> None:
    assert msgspec.json.decode(b'{"cursor": 7}', type=SourceEvent) == SourceEvent(cursor=7)
    assert msgspec.json.decode(b'{"start": 1, "end": 2, "reason": "x"}', type=SourceInvalidation).end == 2


def test_a_malformed_time_is_refused_by_its_writer() -> None:
    bad = wire.Invalidation(output="blocks", start=1, end=2, time_start="yesterday", reason="Reorg")
    with pytest.raises(msgspec.ValidationError, match="time_start"):
        source_outbox.payload(bad)


BEYOND = [
    ("Event", {"cursor": 2**63 - 1}),
    ("Event", {"cursor": -(2**63) - 1}),
    ("Event", {"partition": {"key": "0-9", "start": 0, "end": 2**63 - 1}}),
    ("Event", {"partition": {"key": "0-9", "start": -(2**63) - 1, "end": 9}}),
    ("Invalidation", {"start": 0, "end": 2**63 - 1, "reason": "Reorg"}),
    ("Invalidation", {"start": -(2**63) - 1, "end": 0, "reason": "Reorg"}),
]


WRONG: list[tuple[str, dict[str, object]]] = [
    ("Invalidation", {"start": 2, "end": 1, "reason": "Reorg"}),
    ("Event", {"partition": {"key": "2-1", "start": 2, "end": 1}}),
    ("Event", {}),
    ("Event", {"cursor": 1, "partition": {"key": "1-1", "start": 1, "end": 1}}),
    ("Event", {"final": 1, "partition": {"key": "1-1", "start": 1, "end": 1}}),
]


@pytest.mark.parametrize(("kind", "payload"), [*BEYOND, *WRONG])
def test_a_row_that_no_statement_takes_is_set_aside_and_its_neighbours_go_on(
    kind: str, payload: dict[str, object]
) -> None:
    unpacked = unpack([row(kind, json.dumps(payload)), row("Event", '{"cursor": 7}')])
    assert [row_id for row_id, _ in unpacked.malformed] == [ID]
    assert ([event["cursor"] for event in unpacked.events], unpacked.invalidations) == ([7], [])


@pytest.mark.parametrize(("kind", "payload"), BEYOND)
def test_a_number_beyond_what_state_keeps_is_refused_by_its_writer_and_by_the_task_api(
    kind: str, payload: dict[str, object]
) -> None:
    announced = wire.Event if kind == "Event" else wire.Invalidation
    with pytest.raises(msgspec.ValidationError, match="Expected `int`"):
        msgspec.json.decode(json.dumps({"output": "blocks", **payload}), type=announced)
    part = payload.get("partition")
    given = {**payload, "partition": wire.Partition(**part)} if isinstance(part, dict) else payload
    with pytest.raises(msgspec.ValidationError, match="Expected `int`"):
        source_outbox.payload(announced(output="blocks", **given))
