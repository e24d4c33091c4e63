"""From names in a statement to what is read: which files, which hot table, and where the seam lies.

The rule for hot data: **cold files of the relocated ranges, and hot rows outside them.** It is complete and free
of doubles because of an order the engine keeps: the data snapshot is opened first and the relocations are read
after it. Rows that move later are still in the snapshot; rows that had moved are in files, and what the snapshot
still holds of them is left out.

Pure: catalogue rows in, `Relation`s out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from traceplane.errors import Refused, TraceError
from traceplane.query import ranges, wire
from traceplane.query.cache import ColdFile
from traceplane.query.gate import Refusal, RelationName
from traceplane.query.hot import HotTable

DUCKDB_TYPES = {
    "Int32": "INTEGER",
    "Int64": "BIGINT",
    "Float64": "DOUBLE",
    "UInt256": "VARCHAR",
    "Hex": "VARCHAR",
    "Text": "VARCHAR",
    "Bool": "BOOLEAN",
    "Timestamp": "TIMESTAMP WITH TIME ZONE",
    "Json": "VARCHAR",
}

_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*\.parquet")
_SHA256 = re.compile(r"[0-9a-f]{64}")

RESERVED_SCHEMAS = frozenset({"main", "memory", "system", "temp", "information_schema", "pg_catalog"})
"""Schemas DuckDB has of its own; a namespace of such a name is reached by unqualified names only."""


@dataclass(frozen=True, slots=True)
class CatalogRow:
    """One row of `catalog.relations`. For a plain asset the `hot_*` or `cold_*` half is None."""

    namespace: str
    name: str
    storage: str
    read_roles: tuple[frozenset[str], ...]
    """Its own and, for a Federated asset, those of its two halves: a reader needs one of each."""
    columns: tuple[tuple[str, str], ...]
    scope_column: str
    dataset: UUID | None
    provisioned: bool
    hot_version: UUID | None
    hot_location: str | None
    cold_version: UUID | None


@dataclass(frozen=True, slots=True)
class PartitionRow:
    """One current partition of a cold dataset version."""

    dataset: UUID
    version: UUID
    start: int
    end: int
    location: str
    files: tuple[Mapping[str, Any], ...]


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


@dataclass(slots=True)
class Relation:
    """A granted relation, pinned. `names` are all the ways the statement spells it."""

    row: CatalogRow
    names: list[RelationName]
    hot: HotTable | None
    groups: tuple[ColdGroup, ...]
    chosen: list[tuple[ColdGroup, list[ColdPart]]] = field(default_factory=list)
    hot_rows: int = 0

    @property
    def title(self) -> str:
        return f"{self.row.namespace}/{self.row.name}"

    def spec(self) -> wire.RelationSpec:
        """What the cell is told of it."""
        return wire.RelationSpec(
            names=[(name.schema or "", name.table) for name in self.names],
            columns=[(name, DUCKDB_TYPES[kind]) for name, kind in self.row.columns],
            hot=self.hot is not None,
            cold=bool(self.groups),
            scope_column=self.row.scope_column,
        )

    def prune(self, scans: Sequence[Sequence[str]]) -> None:
        """Choose the files that `scans` (the filters of each scan of this relation) can match.

        A relation the plan does not scan keeps all files: that costs a link and never an answer.
        """
        column = self.row.scope_column
        wanted = ranges.normal(part for filters in scans for part in ranges.of_filters(filters, column))
        if not scans:
            wanted = ranges.EVERYTHING
        for group in self.groups:
            reach = ranges.both(wanted, group.ranges) if group.ranges else wanted
            self.chosen.append(
                (group, [part for part in group.parts if ranges.touches((part.start, part.end), reach)])
            )

    def cell_groups(self) -> list[tuple[int, list[ranges.Range]]]:
        """For the cell: number of files per group, with ranges only where a chosen file reaches beyond them."""
        told = []
        for group, parts in self.chosen:
            partly = group.ranges and any(not ranges.inside((part.start, part.end), group.ranges) for part in parts)
            told.append((len(parts), list(group.ranges) if partly else []))
        return told

    @property
    def files(self) -> list[ColdFile]:
        """The chosen files."""
        return [part.file for _, parts in self.chosen for part in parts]

    def versions(self) -> list[dict[str, Any]]:
        """For the answer: each dataset version that was read."""
        found: list[dict[str, Any]] = [
            {
                "relation": self.title,
                "dataset": str(group.dataset),
                "version": str(group.version),
                "files": len(parts),
                "hot_rows": 0,
            }
            for group, parts in self.chosen
        ]
        if self.hot is not None:
            found.append(
                {
                    "relation": self.title,
                    "dataset": str(self.row.dataset),
                    "version": str(self.row.hot_version),
                    "files": 0,
                    "hot_rows": self.hot_rows,
                }
            )
        return found


def match(
    names: Sequence[RelationName], namespace: str, rows: Iterable[CatalogRow], roles: frozenset[str]
) -> list[tuple[CatalogRow, list[RelationName]]]:
    """The catalogue row of each name, names of one row together. Raises Refusal for one that is not there.

    A relation the roles may not read is answered exactly as one that does not exist.
    """
    known = {(_sql(row.namespace), _sql(row.name)): row for row in rows if readable(row, roles)}
    found: dict[tuple[str, str], tuple[CatalogRow, list[RelationName]]] = {}
    for name in names:
        key = (_sql(name.schema or namespace), name.table)
        row = known.get(key) if name.schema not in RESERVED_SCHEMAS else None
        if row is None:
            raise Refusal("RelationNotFound", f"no relation {name.text!r}", position=name.position, name=name.text)
        if not _ready(row):
            raise Refusal(
                "RelationNotReady", f"{name.text!r} holds no data yet", position=name.position, name=name.text
            )
        found.setdefault(key, (row, []))[1].append(name)
    return list(found.values())


def readable(row: CatalogRow, roles: frozenset[str]) -> bool:
    """Whether a user with `roles` may read all that it is made of; no readRoles means every reader."""
    return all(not needed or needed & roles for needed in row.read_roles)


def _ready(row: CatalogRow) -> bool:
    if row.storage == "Postgres":
        return row.provisioned and row.hot_version is not None
    return row.cold_version is not None and (row.storage == "S3" or row.hot_version is not None)


def _sql(name: str) -> str:
    return name.replace("-", "_").lower()


def relation(
    row: CatalogRow,
    names: list[RelationName],
    moved: Mapping[UUID, Sequence[ranges.Range]],
    partitions: Mapping[UUID, Sequence[PartitionRow]],
    bucket: str,
) -> Relation:
    """Pin `row`. `moved` holds, per cold version, the ranges relocated from the row's hot version."""
    if row.hot_version is None or row.hot_location is None:
        assert row.cold_version is not None
        return Relation(row, names, None, _group(row.cold_version, (), partitions, bucket))
    groups: list[ColdGroup] = []
    covered: tuple[ranges.Range, ...] = ()
    for version in sorted(moved, key=lambda version: (version != row.cold_version, str(version))):
        fresh = ranges.both(ranges.normal(moved[version]), ranges.outside(covered))
        groups.extend(_group(version, fresh, partitions, bucket) if fresh else ())
        covered = ranges.normal([*covered, *fresh])
    table = HotTable(row.hot_location, dict(row.columns), row.scope_column, covered)
    return Relation(row, names, table, tuple(groups))


def _group(
    version: UUID,
    wanted: tuple[ranges.Range, ...],
    partitions: Mapping[UUID, Sequence[PartitionRow]],
    bucket: str,
) -> tuple[ColdGroup, ...]:
    found = [p for p in partitions.get(version, ()) if not wanted or ranges.touches((p.start, p.end), wanted)]
    held = ranges.normal((part.start, part.end) for part in found)
    if any(not ranges.inside(part, held) for part in wanted):
        raise TraceError("relocated rows have no cold files", code="DataMissing")
    parts = tuple(part for partition in found for part in _files(partition, bucket))
    dataset = found[0].dataset if found else version
    return (ColdGroup(dataset, version, wanted, parts),) if found else ()


def _files(partition: PartitionRow, bucket: str) -> list[ColdPart]:
    """The partition's files. Refuses a location outside the bucket and a path that leaves the location."""
    prefix = f"s3://{bucket}/"
    location = partition.location
    if not location.startswith(prefix) or not location.endswith("/") or ".." in location:
        raise TraceError("a partition lies outside the bucket", code="DataCorrupt")
    files = []
    for entry in partition.files:
        path = str(entry["path"])
        if not _FILE.fullmatch(path) or not _SHA256.fullmatch(str(entry["sha256"])):
            raise TraceError("a manifest names what is not a file of its partition", code="DataCorrupt")
        file = ColdFile(location.removeprefix(prefix) + path, int(entry["bytes"]), str(entry["sha256"]))
        files.append(ColdPart(partition.start, partition.end, file))
    return files


def check_columns(row: CatalogRow) -> None:
    """Refuse a relation with a column type this release cannot show."""
    for name, kind in row.columns:
        if kind not in DUCKDB_TYPES:
            raise Refused(f"column {name!r} has the unknown type {kind!r}", code="TypeNotSupported")
