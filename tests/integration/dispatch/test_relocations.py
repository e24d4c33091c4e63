"""Several cold versions of one hot version: who is read for a range, who has it alone, and who read too early."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from tests.integration.dispatch.two_orgs import ORG, Lease, Orgs
from tests.support.deploying import NEIGHBOUR
from tests.support.seeds import seeds
from traceplane.dispatch.payload import Context
from traceplane.store.statements import relocations
from traceplane_sdk import wire

pytestmark = pytest.mark.services

KEEP = 60.0


class Earlier:
    """Retained versions of the compacted blocks, of job generations before the one that runs."""

    def __init__(self, orgs: Orgs) -> None:
        self.orgs = orgs
        self.hot = orgs.version("follow", "blocks")
        self.own = orgs.version("compact", "blocks")

    def version(self) -> UUID:
        """One more, newer than those before it. Forged: a rebuild would make it."""
        job, version = uuid4(), uuid4()
        self.orgs.rows(
            "INSERT INTO jobs (id, org_id, namespace, dag, name, config_hash, operator, activation,"
            " execution_strategy, update_strategy, definition, provisioned_at)"
            " SELECT %s, org_id, namespace, dag, %s, 'earlier', operator, activation, execution_strategy,"
            " update_strategy, definition, now() FROM jobs WHERE id = %s",
            job,
            f"earlier-{job}",
            self.orgs.job("compact"),
        )
        self.orgs.rows(
            "INSERT INTO dataset_versions (id, org_id, dataset_id, job_id, config_hash, schema_hash, storage,"
            " location, columns, unique_key, scope_column, sort_by)"
            " SELECT %s, org_id, dataset_id, %s, %s, schema_hash, storage, %s, columns, unique_key, scope_column,"
            " sort_by FROM dataset_versions WHERE id = %s",
            version,
            job,
            str(version),
            f"s3://bucket/{version}/",
            self.own,
        )
        return version

    def relocate(self, cold: UUID, start: int, end: int, partition: bool = True) -> None:
        if partition:
            self.orgs.rows(
                "INSERT INTO partition_versions (org_id, dataset_id, dataset_version_id, partition_key,"
                " range_start, range_end, location, files, rows, bytes, manifest_sha256, task_id, attempt)"
                " SELECT org_id, dataset_id, id, %s, %s, %s, %s, '[]', 0, 0, 'x', %s, 1"
                " FROM dataset_versions WHERE id = %s",
                f"{start}-{end}",
                start,
                end,
                f"s3://bucket/{cold}/{start}-{end}/",
                uuid4(),
                cold,
            )
        self.orgs.rows(
            "INSERT INTO relocations (hot_version_id, cold_version_id, org_id, ranges)"
            " VALUES (%s, %s, %s, int8multirange(int8range(%s, %s, '[]')))"
            " ON CONFLICT (hot_version_id, cold_version_id) DO UPDATE"
            " SET ranges = relocations.ranges + excluded.ranges",
            self.hot,
            cold,
            ORG,
            start,
            end,
        )


@pytest.fixture
def earlier(orgs: Orgs) -> Iterator[Earlier]:
    yield Earlier(orgs)
    orgs.rows("DELETE FROM relocations")
    orgs.rows("DELETE FROM partition_versions")
    orgs.rows("DELETE FROM dataset_versions v USING jobs j WHERE j.id = v.job_id AND j.config_hash = 'earlier'")
    orgs.rows("DELETE FROM jobs WHERE config_hash = 'earlier'")


async def told(
    orgs: Orgs, hot: UUID, low: int, high: int, job: str = "compact", **claim: Any
) -> list[wire.Relocated]:
    """What the next claim says of the hot version."""
    answer, leases = await orgs.claimed(job, **claim)
    assert answer is not None
    tasks = [lease["task_id"] for lease in leases]
    assert tasks
    cold = {row[1] for row in Context.read(answer.context).relocated}
    parts = await relocations.partitions_of(orgs.conn, org_id=ORG, cold_versions=sorted(cold), tasks=tasks)
    assert not await relocations.partitions_of(orgs.conn, org_id=NEIGHBOUR, cold_versions=sorted(cold), tasks=tasks)
    return msgspec.convert(Context.read(answer.context, parts).ranges(str(hot), low, high), list[wire.Relocated])


@pytest.mark.parametrize("seed", seeds(5, 40))
async def test_a_range_is_read_from_one_version_its_own_first_and_then_the_newest(
    orgs: Orgs, earlier: Earlier, seed: int
) -> None:
    chance = random.Random(seed)
    versions = [*(earlier.version() for _ in range(3)), earlier.own]  # oldest first
    has: dict[UUID, set[int]] = {}
    for version in versions:
        size = chance.choice((3, 7, 20, 33))
        starts = [start for start in range(0, 120, size) if chance.random() < 0.5]
        for start in starts:
            earlier.relocate(version, start, start + size - 1)
        has[version] = {n for start in starts for n in range(start, start + size)}
    number = chance.randrange(5)
    await orgs.partitions(1, first=number)
    low, high = number * 20, number * 20 + 19
    found = await told(orgs, earlier.hot, low, high)
    read = [
        (n, UUID(one.cold_version)) for one in found for start, end in one.ranges for n in range(start, end + 1)
    ]
    truth = {n: next((v for v in reversed(versions) if n in has[v]), None) for n in range(low, high + 1)}
    assert sorted(read) == sorted((n, version) for n, version in truth.items() if version)
    for one in found:
        files = {n for part in one.partitions for n in range(part.start, part.end + 1)}
        assert {n for start, end in one.ranges for n in range(start, end + 1)} <= files
        assert len({part.location for part in one.partitions}) == len(one.partitions)
        assert all(one.cold_version in part.location for part in one.partitions)
        assert all(part.start <= high and part.end >= low for part in one.partitions)


async def test_only_current_partitions_are_read(orgs: Orgs, earlier: Earlier) -> None:
    cold = earlier.version()
    earlier.relocate(cold, 0, 19)
    orgs.rows("UPDATE partition_versions SET superseded_at = now(), location = 's3://bucket/before/'")
    earlier.relocate(cold, 0, 19)
    await orgs.partitions(1)
    (found,) = await told(orgs, earlier.hot, 0, 19)
    assert [part.location for part in found.partitions] == [f"s3://bucket/{cold}/0-19/"]


def moved(lease: Lease, *cold: Sequence[int]) -> dict[str, Any]:
    return {"task_id": lease["task_id"], "input": 1, "start": 0, "end": 19, "cold": cold}


async def unseen(orgs: Orgs, lease: Lease, *cold: Sequence[int], org: UUID = ORG) -> bool:
    found = await relocations.moved_unseen(
        orgs.conn, org_id=org, relocations=[moved(lease, *cold)], keep_hot_seconds=KEEP
    )
    assert found in (frozenset(), {lease["task_id"]})
    return bool(found)


@pytest.mark.parametrize(("age", "late"), [(KEEP / 2 - 10, False), (KEEP / 2 + 10, True)])
async def test_a_task_must_have_seen_what_moved_while_its_rows_might_be_deleted(
    orgs: Orgs, earlier: Earlier, age: float, late: bool
) -> None:
    await orgs.partitions(1)
    (lease,) = await orgs.leases()
    orgs.rows(
        "UPDATE tasks SET started_at = now() - make_interval(secs => %s::float8) WHERE id = %s",
        age,
        lease["task_id"],
    )
    assert not await unseen(orgs, lease)
    earlier.relocate(earlier.version(), 20, 39)
    assert not await unseen(orgs, lease), "of another range"
    earlier.relocate(earlier.version(), 10, 14)
    earlier.relocate(earlier.version(), 12, 30)
    assert await unseen(orgs, lease) is late
    assert await unseen(orgs, lease, (10, 18)) is late
    assert not await unseen(orgs, lease, (10, 19))
    assert not await unseen(orgs, lease, (15, 19), (0, 14))
    assert not await unseen(orgs, lease, org=NEIGHBOUR)


async def sole(orgs: Orgs, cold: UUID, **more: Any) -> list[tuple[int, int]]:
    found = await relocations.sole_ranges(orgs.conn, org_id=ORG, cold_version=cold, **more)
    assert {one.hot_version for one in found} <= {orgs.version("follow", "blocks")}
    return [(one.first, one.last) for one in found]


@pytest.mark.parametrize("seed", seeds(5, 40))
async def test_what_a_cold_version_has_alone_is_what_no_other_has(orgs: Orgs, earlier: Earlier, seed: int) -> None:
    chance = random.Random(seed)
    versions = [earlier.version() for _ in range(3)]
    has: dict[UUID, set[int]] = {version: set() for version in versions}
    files: dict[UUID, set[int]] = {version: set() for version in versions}
    for version in versions:
        for start in range(0, 100, 10):
            if chance.random() < 0.6:
                whole = chance.random() < 0.7
                earlier.relocate(version, start, start + 9, partition=whole)
                has[version].update(range(start, start + 10))
                files[version].update(range(start, start + 10) if whole else ())
    for version in versions:
        others = {n for other in versions if other != version for n in has[other] & files[other]}
        found = [n for low, high in await sole(orgs, version) for n in range(low, high + 1)]
        assert found == sorted(has[version] - others)


async def test_what_is_held_alone_is_of_the_organisation_and_bounded(orgs: Orgs, earlier: Earlier) -> None:
    cold = earlier.version()
    for start in (0, 20, 40):
        earlier.relocate(cold, start, start + 9)
    assert await sole(orgs, cold) == [(0, 9), (20, 29), (40, 49)]
    assert await sole(orgs, cold, limit=2) == [(0, 9), (20, 29)]
    assert await relocations.sole_ranges(orgs.conn, org_id=NEIGHBOUR, cold_version=cold) == ()


async def test_a_superseded_partition_is_no_other_copy(orgs: Orgs, earlier: Earlier) -> None:
    one, other = earlier.version(), earlier.version()
    earlier.relocate(one, 0, 9)
    earlier.relocate(other, 0, 9)
    assert await sole(orgs, one) == []
    orgs.rows("UPDATE partition_versions SET superseded_at = now() WHERE dataset_version_id = %s", other)
    assert await sole(orgs, one) == [(0, 9)]
