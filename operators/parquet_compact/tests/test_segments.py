"""Where a compaction reads the rows of its partition: each value once, from a file or from the hot table."""

from __future__ import annotations

import random

import pytest

from operators.parquet_compact.segments import cold_ranges, segments
from traceplane_sdk import wire
from traceplane_sdk.errors import OperatorError

PARTITION = wire.Partition("100-199", 100, 199)
ID = "00000000-0000-7000-8000-000000000001"


def part(start: int, end: int) -> wire.ColdPartition:
    return wire.ColdPartition(start, end, f"s3://bucket/{start}-{end}/", "0" * 64)


def source(*relocated: wire.Relocated) -> wire.TaskInput:
    return wire.TaskInput(
        position=1,
        name="blocks",
        dataset=ID,
        version=ID,
        storage="Postgres",
        location="hot.d_1",
        columns=[wire.ColumnDef("block_number", "Int64")],
        scope_column="block_number",
        sort_by=["block_number"],
        relocated=list(relocated),
    )


def read(*relocated: wire.Relocated) -> list[tuple[int, int, str | None]]:
    found = segments(source(*relocated), PARTITION)
    return [(one.low, one.high, one.cold.location if one.cold else None) for one in found]


def test_without_relocations_all_of_it_is_hot() -> None:
    assert read() == [(100, 199, None)]
    assert read(wire.Relocated(ID, [(0, 99), (200, 300)], [part(0, 99), part(200, 300)])) == [(100, 199, None)]


def test_a_file_that_reaches_beyond_the_range_or_the_partition_is_read_in_part() -> None:
    assert read(wire.Relocated(ID, [(50, 120), (190, 250)], [part(180, 279), part(0, 139)])) == [
        (100, 120, "s3://bucket/0-139/"),
        (121, 189, None),
        (190, 199, "s3://bucket/180-279/"),
    ]


@pytest.mark.parametrize("parts", [[], [part(100, 149)], [part(151, 199)], [part(100, 149), part(151, 199)]])
def test_a_relocated_range_without_all_its_files_is_an_error(parts: list[wire.ColdPartition]) -> None:
    with pytest.raises(OperatorError, match="has no files of it") as error:
        read(wire.Relocated(ID, [(100, 199)], parts))
    assert error.value.code == "ColdFilesMissing"


def test_more_partitions_than_a_claim_says_are_named_as_that() -> None:
    wide = wire.Partition("0-9999", 0, 9999)
    parts = [part(n, n) for n in range(wire.MAX_COLD_PARTITIONS + 1)]
    with pytest.raises(OperatorError, match="smaller `rangeSize`") as error:
        segments(source(wire.Relocated(ID, [(0, 9999)], parts)), wide)
    assert (error.value.code, error.value.retryable) == ("TooManyPartitions", False)


@pytest.mark.parametrize("seed", range(50))
def test_every_value_is_read_once_from_a_partition_that_has_it(seed: int) -> None:
    source_of_chance = random.Random(seed)
    owner = {n: source_of_chance.choice((None, "a", "a", "b")) for n in range(80, 220)}
    sizes = {"a": source_of_chance.randint(1, 40), "b": source_of_chance.randint(1, 40)}
    relocated = []
    for version, size in sizes.items():
        # As the platform says it: joined ranges, and every partition that touches them.
        values = [n for n in owner if owner[n] == version]
        ranges: list[tuple[int, int]] = []
        for n in values:
            ranges[-1:] = [(ranges[-1][0], n)] if ranges and ranges[-1][1] == n - 1 else [*ranges[-1:], (n, n)]
        parts = [part(low, low + size - 1) for low in sorted({n // size * size for n in values})]
        relocated.append(wire.Relocated(version, ranges, parts))
    found = segments(source(*relocated), PARTITION)
    values = [n for one in found for n in range(one.low, one.high + 1)]
    assert values == list(range(100, 200))
    for one in found:
        for n in range(one.low, one.high + 1):
            version = owner[n]
            assert (one.cold is None) == (version is None)
            assert one.cold is None or one.cold.start == n // sizes[str(version)] * sizes[str(version)]
    cold = [n for low, high in cold_ranges(found) for n in range(low, high + 1)]
    assert cold == [n for n in range(100, 200) if owner[n]]
