"""How far a dataset is final: what its source said, never back by itself, back below what was rewritten."""

from __future__ import annotations

import random
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests import services
from tests.integration.dispatch.blocks import write_blocks
from tests.integration.dispatch.callers import Caller, fence_of
from tests.integration.dispatch.conftest import Feed
from tests.integration.dispatch.two_orgs import Orgs
from traceplane.dispatch.accept import unpack
from traceplane.store.statements import events
from traceplane.store.statements.source_outbox import SourceRow

pytestmark = pytest.mark.services


def said(orgs: Orgs, cursor: int, final: int | None, output: str = "blocks") -> dict[str, object]:
    """An event as the relay brings it."""
    version = str(orgs.version("follow", output))
    event: dict[str, object] = {"id": str(uuid4()), "version": version, "cursor": cursor}
    return event if final is None else {**event, "final": final}


def rewritten(orgs: Orgs, start: int, end: int) -> dict[str, object]:
    version = str(orgs.version("follow", "blocks"))
    return {"id": str(uuid4()), "version": version, "start": start, "end": end, "reason": "Reorg", "detail": {}}


def final(orgs: Orgs) -> dict[UUID, int]:
    return {
        UUID(str(row["dataset_version_id"])): row["final_value"]
        for row in orgs.rows("SELECT dataset_version_id, final_value FROM dataset_finality")
    }


async def relay(orgs: Orgs, *given: dict[str, object]) -> None:
    """In one batch, in the order in which they were written, as the relay hands them over."""
    placed = [{**one, "place": place} for place, one in enumerate(given)]
    await events.relay(
        orgs.conn,
        events=[one for one in placed if "cursor" in one],
        invalidations=[one for one in placed if "reason" in one],
    )


async def test_finality_is_that_of_the_dataset_version_and_never_goes_back_by_itself(orgs: Orgs):
    blocks = orgs.version("follow", "blocks")
    await relay(orgs, said(orgs, 100, None), said(orgs, 100, 7, output="logs"))
    assert final(orgs) == {orgs.version("follow", "logs"): 7}
    for cursor, value, known in ((100, 40, 40), (120, 50, 50), (130, 45, 50), (140, None, 50), (141, 60, 60)):
        await relay(orgs, said(orgs, cursor, value))
        assert final(orgs)[blocks] == known
    await relay(orgs, said(orgs, 150, 70), said(orgs, 160, 65))
    assert final(orgs)[blocks] == 70


async def test_what_is_final_but_not_written_yet_does_not_count(orgs: Orgs):
    await relay(orgs, said(orgs, 100, 5_000_000))
    assert final(orgs) == {orgs.version("follow", "blocks"): 100}


async def test_an_event_that_comes_again_raises_nothing(orgs: Orgs):
    first = said(orgs, 100, 50)
    await relay(orgs, first)
    await relay(orgs, rewritten(orgs, 31, 40))
    await relay(orgs, first)
    assert final(orgs) == {orgs.version("follow", "blocks"): 30}


async def test_only_an_invalidation_below_it_moves_it_back_until_the_source_says_so_again(orgs: Orgs):
    blocks = orgs.version("follow", "blocks")
    await relay(orgs, said(orgs, 100, 50))
    await relay(orgs, rewritten(orgs, 51, 100))
    assert final(orgs) == {blocks: 50}
    await relay(orgs, rewritten(orgs, 50, 60))
    assert final(orgs) == {blocks: 49}
    await relay(orgs, said(orgs, 101, 51))
    assert final(orgs) == {blocks: 51}


async def test_events_and_invalidations_of_one_batch_count_in_their_order(orgs: Orgs):
    blocks = orgs.version("follow", "blocks")
    await relay(orgs, said(orgs, 100, 50))
    await relay(orgs, said(orgs, 110, 60), rewritten(orgs, 45, 80))
    assert final(orgs) == {blocks: 44}
    await relay(orgs, rewritten(orgs, 40, 80), said(orgs, 111, 60))
    assert final(orgs) == {blocks: 60}
    await relay(orgs, said(orgs, 120, 70), rewritten(orgs, 90, 95))
    assert final(orgs) == {blocks: 70}


@pytest.mark.parametrize("seed", range(8))
async def test_a_batch_says_what_its_rows_say_one_by_one(orgs: Orgs, seed: int):
    chance = random.Random(seed)
    blocks, other = orgs.version("follow", "blocks"), orgs.version("follow", "logs")
    known: int | None = None
    for _ in range(12):
        batch = []
        for _ in range(chance.randrange(1, 7)):
            at = chance.randrange(1, 100)
            if chance.random() < 0.5:
                batch.append(said(orgs, 100, at))
                known = at if known is None else max(known, at)
            else:
                batch.append(rewritten(orgs, at, 100))
                known = None if known is None else min(known, at - 1)
        await relay(orgs, said(orgs, 100, 7, output="logs"), *batch)
        assert final(orgs) == {other: 7} | ({} if known is None else {blocks: known})


async def test_an_invalidation_of_another_dataset_changes_nothing(orgs: Orgs):
    await relay(orgs, said(orgs, 100, 50, output="logs"))
    await relay(orgs, rewritten(orgs, 1, 80))
    assert final(orgs) == {orgs.version("follow", "logs"): 50}


def test_a_row_of_the_source_outbox_keeps_what_it_says_is_final():
    def row(payload: dict[str, Any]) -> SourceRow:
        return SourceRow(uuid4(), 1, uuid4(), "Event", payload, uuid4())

    part = {"key": "0-9", "start": 0, "end": 9}
    unpacked = unpack(
        [row({"cursor": 9, "final": 4}), row({"cursor": 9, "final": 2**63}), row({"partition": part, "final": 4})]
    )
    assert [(event["final"], event["place"]) for event in unpacked.events] == [(4, 0)]
    assert len(unpacked.malformed) == 2


async def test_a_task_gets_what_is_final_of_its_inputs(
    caller: Caller, jobs: dict[str, UUID], databases: services.Databases, loop_of: Any, feed: Feed
):
    (source,) = await caller.claim(jobs["follow"])
    write_blocks(databases.writer_dsn, source.task, 0, 59, final=31)
    assert await loop_of("relay")() == 1
    (lease,) = await caller.claim(jobs["ranges"])
    assert [one.final for one in lease.task.inputs] == [31]
    await feed.partitions(1)
    (lease,) = await caller.claim(jobs["compact"])
    assert {one.name: one.final for one in lease.task.inputs} == {"ranges": None, "blocks": 31}


async def test_a_report_and_a_completion_say_what_is_final_as_well(
    caller: Caller, jobs: dict[str, UUID], feed: Feed, sql: Any
):
    (source,) = await caller.claim(jobs["follow"])
    event = {"output": "blocks", "cursor": 9, "final": 3}
    body = {"fence": fence_of(source), "id": str(uuid4()), "events": [event]}
    assert (await caller.task_call("events", source.capability_token, body)).status_code == 200
    assert sql("SELECT final_value FROM dataset_finality") == [{"final_value": 3}]
    assert (await caller.complete(source, events=[{**event, "final": 5}])).status_code == 200
    assert sql("SELECT final_value FROM dataset_finality") == [{"final_value": 5}]


async def test_what_is_final_goes_with_a_cursor(caller: Caller, jobs: dict[str, UUID], feed: Feed):
    (source,) = await caller.claim(jobs["follow"])
    part = {"key": "0-9", "start": 0, "end": 9}
    body = {
        "fence": fence_of(source),
        "id": str(uuid4()),
        "events": [{"output": "blocks", "partition": part, "final": 3}],
    }
    answer = await caller.task_call("events", source.capability_token, body)
    assert (answer.status_code, answer.json()["code"]) == (400, "BadEvent")
