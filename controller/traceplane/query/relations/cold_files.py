"""Cold files: from the partitions that state knows to the objects that are read.

What a manifest says is checked once more, since it names objects: a location outside of the bucket, or a path that
leaves it, is never read. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from traceplane.errors import TraceError
from traceplane.query.files.cache import ColdFile
from traceplane.query.relations import ranges
from traceplane.query.relations.rows import PartitionRow

_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*\.parquet")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ColdPart:
    """A file and the range its partition covers. `file.key` is its key in the bucket."""

    start: int
    end: int
    file: ColdFile


@dataclass(frozen=True, slots=True)
class ColdGroup:
    """Files of one cold dataset version, and the ranges that are read from it; no ranges: all of it."""

    dataset: UUID
    version: UUID
    ranges: tuple[ranges.Range, ...]
    parts: tuple[ColdPart, ...]


def group_of(
    version: UUID,
    wanted: tuple[ranges.Range, ...],
    partitions: Mapping[UUID, Sequence[PartitionRow]],
    bucket: str,
) -> tuple[ColdGroup, ...]:
    """The files of `version` that hold `wanted` (all of it, where that is empty); no group where it has none.

    Raises TraceError where a part of `wanted` has no files: a gap must never look like an answer.
    """
    found = [p for p in partitions.get(version, ()) if not wanted or ranges.touches((p.start, p.end), wanted)]
    covered = ranges.normal((part.start, part.end) for part in found)
    if any(not ranges.inside(part, covered) for part in wanted):
        raise TraceError("relocated rows have no cold files", code="DataMissing")
    if not found:
        return ()
    parts = tuple(part for partition in found for part in _files(partition, bucket))
    return (ColdGroup(found[0].dataset, version, wanted, parts),)


def _files(partition: PartitionRow, bucket: str) -> list[ColdPart]:
    """The partition's files. Raises TraceError for a location outside the bucket or a path that leaves it."""
    prefix = f"s3://{bucket}/"
    location = partition.location
    if not location.startswith(prefix) or not location.endswith("/") or ".." in location:
        raise TraceError("a partition lies outside the bucket", code="DataCorrupt")
    files = []
    for entry in partition.files:
        path = str(entry["path"])
        # The checksum names the file in the cache, so it must be one: it is joined to a path there.
        if not _FILE.fullmatch(path) or not _SHA256.fullmatch(str(entry["sha256"])):
            raise TraceError("a manifest names what is not a file of its partition", code="DataCorrupt")
        file = ColdFile(location.removeprefix(prefix) + path, int(entry["bytes"]), str(entry["sha256"]))
        files.append(ColdPart(partition.start, partition.end, file))
    return files
