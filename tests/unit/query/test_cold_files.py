"""A manifest names objects: what lies outside of its partition or of the bucket is never read."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from traceplane.errors import TraceError
from traceplane.query.relations.cold_files import group_of
from traceplane.query.relations.rows import PartitionRow

VERSION = UUID(int=1)
FILE = {"path": "part-0.parquet", "bytes": 10, "sha256": "a" * 64}


def keys(location: str, file: dict[str, Any]) -> list[str]:
    """Keys of the objects that are read of one partition with one file."""
    partition = PartitionRow(UUID(int=2), UUID(int=3), VERSION, 0, 9, location, (file,))
    return [
        part.file.key for group in group_of(VERSION, (), {VERSION: [partition]}, "bucket") for part in group.parts
    ]


def test_a_file_is_read_below_the_location_of_its_partition() -> None:
    assert keys("s3://bucket/a/0-9/", FILE) == ["a/0-9/part-0.parquet"]


@pytest.mark.parametrize(
    "location", ["s3://other/a/", "s3://bucket/a", "s3://bucket/../other/", "s3://buckets/a/", ""]
)
def test_a_partition_outside_of_the_bucket_is_not_read(location: str) -> None:
    with pytest.raises(TraceError) as refused:
        keys(location, FILE)
    assert refused.value.code == "DataCorrupt"


@pytest.mark.parametrize(
    "wrong",
    [
        {"path": "../other/part-0.parquet"},
        {"path": "below/part-0.parquet"},
        {"path": "_SUCCESS"},
        {"path": ".parquet"},
        {"sha256": "../../etc/passwd"},
        {"sha256": "A" * 64},
    ],
)
def test_a_manifest_that_names_no_file_of_its_partition_is_not_read(wrong: dict[str, Any]) -> None:
    with pytest.raises(TraceError) as refused:
        keys("s3://bucket/a/", {**FILE, **wrong})
    assert refused.value.code == "DataCorrupt"
