"""Which files and which hot rows a relation is read from: now, and as an earlier query read it."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from traceplane.errors import TraceError
from traceplane.query.gate.statement import RelationName
from traceplane.query.relations import as_of, pins, ranges
from traceplane.query.relations.relation import Relation
from traceplane.query.relations.rows import CatalogRow, ColumnNote, PartitionRow, VersionRow
from traceplane.query.relations.seam import Holdings, answering, pinned_now

BUCKET = "bucket"
HOT, OLD_COLD, COLD, STRANGER = (UUID(int=number) for number in range(1, 5))
DATASETS = {HOT: UUID(int=11), COLD: UUID(int=12), OLD_COLD: UUID(int=12), STRANGER: UUID(int=14)}
COLUMNS = (("n", "Int64"),)
NOTES = (ColumnNote(),)
NAMES = [RelationName(None, "blocks")]
ROW = CatalogRow(
    namespace="default",
    name="blocks",
    storage="Federated",
    read_roles=(),
    columns=COLUMNS,
    scope_column="n",
    dataset=DATASETS[HOT],
    provisioned=True,
    hot_version=HOT,
    hot_location=f"hot.d_{HOT.hex}",
    cold_version=COLD,
)


def partition(version: UUID, start: int, end: int) -> PartitionRow:
    files = ({"path": f"{start}.parquet", "sha256": "0" * 64, "bytes": 1},)
    location = f"s3://{BUCKET}/{version.hex}/{start}/"
    return PartitionRow(UUID(int=start + 100), DATASETS[version], version, start, end, location, files)


def holdings(relocated: dict[UUID, Any], partitions: list[PartitionRow], pinned: Any = ()) -> Holdings:
    def by_version(rows: Any) -> dict[UUID, list[PartitionRow]]:
        return {version: [row for row in rows if row.version == version] for version in DATASETS}

    versions = {
        version: VersionRow(dataset, version, f"hot.d_{version.hex}", COLUMNS, "n", NOTES)
        for version, dataset in DATASETS.items()
    }
    return Holdings(versions, {HOT: relocated}, by_version(partitions), by_version(pinned))


def pin_of(head: int | None, *cold: pins.Cold) -> pins.PinnedRelation:
    return pins.PinnedRelation("default", "blocks", HOT, head, list(cold))


def digest_of(*rows: PartitionRow) -> str:
    return pins.digest(row.id for row in rows)


def read_cold(relation: Relation) -> list[tuple[UUID, Any, list[str]]]:
    return [(group.version, group.ranges, [part.file.key for part in group.parts]) for group in relation.groups]


def test_relocated_ranges_are_read_from_files_and_the_rest_from_the_hot_table() -> None:
    held = holdings({COLD: [(0, 9)]}, [partition(COLD, 0, 9), partition(COLD, 10, 19)])
    found = pinned_now(ROW, NAMES, held, BUCKET)
    assert read_cold(found) == [(COLD, ((0, 9),), [f"{COLD.hex}/0/0.parquet"])]
    assert found.hot is not None
    assert found.hot.relocated == ((0, 9),)


def test_a_range_that_two_cold_versions_have_is_read_from_the_relations_own_only() -> None:
    rows = [partition(OLD_COLD, 0, 19), partition(COLD, 10, 19)]
    found = pinned_now(ROW, NAMES, holdings({OLD_COLD: [(0, 19)], COLD: [(10, 19)]}, rows), BUCKET)
    assert [(version, read) for version, read, _ in read_cold(found)] == [
        (COLD, ((10, 19),)),
        (OLD_COLD, ((0, 9),)),
    ]
    assert found.pin.cold == [
        pins.Cold(COLD, digest_of(rows[1]), [(10, 19)]),
        pins.Cold(OLD_COLD, digest_of(rows[0]), [(0, 9)]),
    ]


@pytest.mark.parametrize("seed", range(50))
def test_every_relocated_value_is_read_from_one_version_the_own_or_the_newest_that_has_it(seed: int) -> None:
    chance = random.Random(seed)
    versions = [UUID(int=number) for number in range(1, 6)]  # oldest first, as UUIDv7 are
    own = chance.choice([*versions, None])
    has = {version: {n for n in range(60) if chance.random() < 0.4} for version in versions}
    relocated = {
        version: [(n, n) for n in chance.sample(sorted(values), len(values))] for version, values in has.items()
    }
    found = answering(relocated, own)
    order = sorted(versions, key=lambda version: (version == own, version), reverse=True)
    for n in range(60):
        read = [version for version, spans in found.items() if ranges.touches((n, n), spans)]
        assert read == [version for version in order if n in has[version]][:1]
    assert all(found.values())


def test_a_relocated_range_without_all_its_files_is_an_error() -> None:
    with pytest.raises(TraceError) as error:
        pinned_now(ROW, NAMES, holdings({COLD: [(0, 19)]}, [partition(COLD, 0, 9)]), BUCKET)
    assert error.value.code == "DataMissing"


def test_rows_after_the_head_of_an_earlier_query_are_not_read() -> None:
    found = as_of.pinned_then(ROW, NAMES, holdings({}, []), BUCKET, pin_of(9))
    assert found.hot is not None
    assert found.hot.relocated == ((10, ranges.HIGHEST),)


def test_rows_that_were_relocated_since_are_read_from_their_files_up_to_the_head() -> None:
    held = holdings({COLD: [(0, 19)]}, [partition(COLD, 0, 19)])
    found = as_of.pinned_then(ROW, NAMES, held, BUCKET, pin_of(9))
    assert [read for _, read, _ in read_cold(found)] == [((0, 9),)]


def test_an_empty_hot_table_is_read_as_empty_whatever_it_holds_now() -> None:
    found = as_of.pinned_then(ROW, NAMES, holdings({}, []), BUCKET, pin_of(None))
    assert (found.hot, found.groups) == (None, ())


def test_files_of_an_earlier_query_are_read_and_not_those_that_replaced_them() -> None:
    old, new = partition(COLD, 0, 9), partition(COLD, 0, 19)
    held = holdings({COLD: [(0, 9)]}, [new], [old])
    found = as_of.pinned_then(ROW, NAMES, held, BUCKET, pin_of(99, pins.Cold(COLD, digest_of(old), [(0, 9)])))
    assert [(part.start, part.end) for group in found.groups for part in group.parts] == [(0, 9)]


@pytest.mark.parametrize(
    ("cold", "reason"),
    [
        (pins.Cold(COLD, "0" * 32, [(0, 9)]), "purged"),
        (pins.Cold(COLD, digest_of(partition(COLD, 0, 9)), [(0, 19)]), "no such files"),
        (pins.Cold(COLD, digest_of(partition(COLD, 0, 9)), []), "no such files"),
        (pins.Cold(STRANGER, digest_of(partition(STRANGER, 0, 9)), [(0, 9)]), "no such files"),
    ],
    ids=["other partitions", "more than was relocated", "all of it", "another dataset"],
)
def test_a_token_reads_no_file_that_its_query_could_not_have_read(cold: pins.Cold, reason: str) -> None:
    rows = [partition(COLD, 0, 9), partition(STRANGER, 0, 9)]
    with pytest.raises(pins.SnapshotUnavailable, match=reason):
        as_of.pinned_then(ROW, NAMES, holdings({COLD: [(0, 9)]}, rows, rows), BUCKET, pin_of(99, cold))


def test_a_token_names_no_version_of_another_dataset() -> None:
    forged = pins.PinnedRelation("default", "blocks", STRANGER, 9, [])
    with pytest.raises(pins.SnapshotUnavailable, match="another dataset"):
        as_of.row_of(ROW, forged, holdings({}, []).versions)


def test_a_version_that_was_purged_is_refused() -> None:
    versions = {version: row for version, row in holdings({}, []).versions.items() if version != HOT}
    with pytest.raises(pins.SnapshotUnavailable, match="purged"):
        as_of.row_of(ROW, pin_of(9), versions)


def test_halves_that_are_divided_by_different_columns_are_refused() -> None:
    """A version keeps its scope column, and the next one may have another."""
    versions = dict(holdings({}, []).versions)
    versions[COLD] = replace(versions[COLD], scope_column="m")
    with pytest.raises(pins.SnapshotUnavailable, match="not divided by one column"):
        as_of.row_of(ROW, pin_of(9), versions)


def test_what_was_read_from_the_hot_table_is_up_to_the_head_and_outside_of_files() -> None:
    assert as_of.hot_ranges(pin_of(99, pins.Cold(COLD, "", [(0, 9)]))) == ((ranges.LOWEST, -1), (10, 99))
