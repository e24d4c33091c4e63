"""What a completion commits takes the place of its own partition, range and job, and of nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.dispatch.two_orgs import ORG, Lease, Orgs, commit
from tests.support.deploying import NEIGHBOUR
from traceplane.store.statements import partitions

pytestmark = pytest.mark.services


def relocation(lease: Lease, **changes: Any) -> dict[str, Any]:
    """The blocks 0 to 19 moved to cold files."""
    named = {"task_id": lease["task_id"], "input": 1, "output": "blocks", "start": 0, "end": 19, "delete_hot": True}
    return {**named, **changes}


async def committed(orgs: Orgs, org: Any, start: int = 0) -> Lease:
    """One partition and its relocation, committed by a task of its own."""
    await orgs.partitions(1, org, first=start // 20)
    (lease,) = await orgs.leases(org=org)
    item = {**lease, "status": "Completed"}
    moved = relocation(lease, start=start, end=start + 19)
    assert await orgs.complete_all([item], org, commits=[commit(lease, start)], relocations=[moved])
    return lease


async def test_a_partition_is_superseded_by_its_own_next_version_alone(orgs: Orgs):
    for org in (ORG, NEIGHBOUR):
        for start in (0, 20, 0):
            await committed(orgs, org, start)
    history = "SELECT * FROM partition_versions WHERE superseded_at IS NOT NULL"
    before = orgs.rows(history)
    assert [(row["org_id"], row["partition_key"]) for row in before] == [(ORG, "0-19"), (NEIGHBOUR, "0-19")]
    lease = await committed(orgs, ORG)
    # History keeps the time at which it became history.
    after = orgs.rows(history)
    assert [row for row in after if row in before] == before
    assert len(after) == len(before) + 1
    current = orgs.rows("SELECT * FROM partition_versions WHERE superseded_at IS NULL")
    assert [str(row["task_id"]) for row in current if row["org_id"] == ORG and row["range_start"] == 0] == [
        lease["task_id"]
    ]
    assert len(current) == 4


async def test_of_two_commits_of_a_partition_in_one_batch_the_later_lease_is_current(orgs: Orgs):
    await orgs.partitions(2)
    leases = [(await orgs.leases())[0] for _ in range(2)]
    items = [{**lease, "status": "Completed"} for lease in leases]
    assert await orgs.complete_all(items, commits=[commit(lease) for lease in leases]) == 2
    (current,) = orgs.rows("SELECT task_id FROM partition_versions WHERE superseded_at IS NULL")
    assert str(current["task_id"]) == leases[1]["task_id"]
    assert len(orgs.rows("SELECT id FROM partition_versions")) == 2


async def test_an_output_that_the_job_does_not_have_gets_nothing(orgs: Orgs):
    await orgs.partitions(1)
    (lease,) = await orgs.leases()
    item = {**lease, "status": "Completed"}
    before = orgs.written()
    event = {
        "id": "00000000-0000-4000-8000-000000000001",
        "task_id": lease["task_id"],
        "output": "logs",
        "cursor": 1,
    }
    assert await orgs.complete_all(
        [item],
        commits=[commit(lease, output="logs")],
        relocations=[relocation(lease, output="logs")],
        events=[event],
    )
    after = orgs.written()
    assert {table for table in after if after[table] != before[table]} == {"tasks", "task_attempts"}


async def test_a_relocation_is_of_the_named_input_and_asks_for_deletion_where_it_says(orgs: Orgs):
    await orgs.partitions(1)
    (lease,) = await orgs.leases()
    kept = relocation(lease, delete_hot=False)
    assert await orgs.complete_all([{**lease, "status": "Completed"}], relocations=[kept])
    (moved,) = orgs.rows("SELECT hot_version_id, cold_version_id FROM relocations")
    assert moved["hot_version_id"] == orgs.version("follow", "blocks")
    assert moved["cold_version_id"] == orgs.version("compact", "blocks")
    assert not orgs.rows("SELECT id FROM outbox")
    await committed(orgs, ORG, 20)
    (deletion,) = orgs.rows("SELECT payload FROM outbox")
    assert deletion["payload"]["start"] == 20


async def test_a_range_is_relocated_for_its_own_version_and_as_a_whole(orgs: Orgs):
    await committed(orgs, ORG)
    blocks = orgs.version("follow", "blocks")
    assert await partitions.is_relocated(orgs.conn, blocks, 0, 19)
    assert not await partitions.is_relocated(orgs.conn, blocks, 0, 20)
    assert not await partitions.is_relocated(orgs.conn, orgs.version("follow", "blocks", NEIGHBOUR), 0, 19)


async def test_a_claim_reads_the_relocations_of_its_own_inputs(orgs: Orgs):
    for org in (ORG, NEIGHBOUR):
        await committed(orgs, org)
    await orgs.cursor(5)
    answer, _ = await orgs.claimed("ranges", newest=True)
    assert answer is not None
    (row,) = orgs.rows("SELECT %s::jsonb -> 'relocated' AS relocated", answer.context)
    assert [hot for hot, *_ in row["relocated"]] == [str(orgs.version("follow", "blocks"))]


async def test_an_output_in_postgres_gets_no_partition_and_no_relocation(orgs: Orgs):
    await orgs.cursor(5)
    (lease,) = await orgs.leases(job="ranges", newest=True)
    (position,) = orgs.rows("SELECT position FROM job_inputs WHERE job_id = %s", orgs.job("ranges"))
    moved = relocation(lease, output="ranges", input=position["position"])
    item = {**lease, "status": "Completed"}
    assert await orgs.complete_all([item], commits=[commit(lease, output="ranges")], relocations=[moved])
    assert not orgs.rows("SELECT id FROM partition_versions")
    assert not orgs.rows("SELECT ranges FROM relocations")
    assert not orgs.rows("SELECT id FROM outbox")
