"""A granted relation, pinned: which files, which hot table, and where the seam between them lies.

The rule for hot data: **cold files of the relocated ranges, and hot rows outside them.** It is complete and free
of doubles because of an order the engine keeps: the data snapshot is opened first and the relocations are read
after it. Rows that move later are still in the snapshot; rows that had moved are in files, and what the snapshot
still holds of them is left out.

As of an earlier query: what was cold then is read from the files of then, and what was hot then from wherever it
lives now, up to the head of then. See `pins` for why that is the same.

Pure: catalogue rows in, `Relation`s out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from traceplane.query import wire
from traceplane.query.files.cache import ColdFile
from traceplane.query.gate.statement import RelationName
from traceplane.query.relations import pins, ranges
from traceplane.query.relations.coldfiles import ColdGroup, ColdPart, group_of
from traceplane.query.relations.hot import HotTable
from traceplane.query.relations.resolve import DUCKDB_TYPES, CatalogRow, PartitionRow, VersionRow


@dataclass(slots=True)
class Relation:
    """A granted relation, pinned. `names` are all the ways the statement spells it."""

    row: CatalogRow
    names: list[RelationName]
    hot: HotTable | None
    groups: tuple[ColdGroup, ...]
    pin: pins.PinnedRelation
    """What a repetition reads. Of a new query its head is not known yet."""
    pii: tuple[str, ...] = ()
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

    def version_ids(self) -> list[UUID]:
        """The dataset versions that may be read."""
        return [
            *([self.row.hot_version] if self.row.hot_version else []),
            *(cold.version for cold in self.pin.cold),
        ]

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
                    "head": self.pin.head,
                }
            )
        return found


@dataclass(frozen=True, slots=True)
class Holdings:
    """What state knew of the versions of a query, now or as of a pin.

    `moved` holds, per hot version, the ranges relocated to each cold version; `partitions` are the current ones and
    `pinned` those that the pin's snapshot saw. Without a pin `pinned` is empty.
    """

    versions: Mapping[UUID, VersionRow]
    moved: Mapping[UUID, Mapping[UUID, Sequence[ranges.Range]]]
    partitions: Mapping[UUID, Sequence[PartitionRow]]
    pinned: Mapping[UUID, Sequence[PartitionRow]] = field(default_factory=dict)


def relation(row: CatalogRow, names: list[RelationName], held: Holdings, bucket: str) -> Relation:
    """Pin `row` to what is current."""
    if row.hot_version is None or row.hot_location is None:
        assert row.cold_version is not None
        cold = pins.Cold(row.cold_version, _digest(held.partitions, row.cold_version), [])
        pin = pins.PinnedRelation(row.namespace, row.name, None, None, [cold])
        groups = group_of(row.cold_version, (), held.partitions, bucket)
        return Relation(row, names, None, groups, pin, _pii(held, [row.cold_version]))
    by_cold = _moved(row, held)
    groups_, covered, pinned = _cold(by_cold, held.partitions, bucket, ())
    table = HotTable(row.hot_location, dict(row.columns), row.scope_column, covered)
    pin = pins.PinnedRelation(row.namespace, row.name, row.hot_version, None, pinned)
    return Relation(row, names, table, groups_, pin, _pii(held, [row.hot_version, *by_cold]))


def relation_as_of(
    row: CatalogRow, names: list[RelationName], held: Holdings, bucket: str, pin: pins.PinnedRelation
) -> Relation:
    """`row` as `pin` saw it. Raises SnapshotGone where files of then are gone.

    Ranges that were cold then are read from the files of then. What was hot then is read from wherever it lives
    now, up to the head of then; whoever calls has made sure that nothing of it was invalidated since.
    """
    groups: list[ColdGroup] = []
    covered: tuple[ranges.Range, ...] = ()
    for cold in pin.cold:
        if _digest(held.pinned, cold.version) != cold.digest:
            raise pins.SnapshotGone(
                f"as_of: files of {row.namespace}/{row.name} that it was computed on were purged"
            )
        wanted = ranges.normal(cold.ranges)
        _check_moved(row, held, cold, wanted, pin)
        groups.extend(group_of(cold.version, wanted, held.pinned, bucket))
        covered = ranges.normal([*covered, *wanted])
    touched = [cold.version for cold in pin.cold]
    if pin.hot is None or row.hot_location is None:
        return Relation(row, names, None, tuple(groups), pin, _pii(held, touched))
    by_cold = _moved(row, held)
    since, covered, _ = _cold(by_cold, held.partitions, bucket, ranges.normal([*covered, *_beyond(pin.head)]))
    table = HotTable(row.hot_location, dict(row.columns), row.scope_column, covered)
    hot = None if covered == ranges.EVERYTHING else table
    return Relation(row, names, hot, (*groups, *since), pin, _pii(held, [pin.hot, *touched, *by_cold]))


def hot_part(pin: pins.PinnedRelation) -> tuple[ranges.Range, ...]:
    """The scope values that `pin` read from the hot table."""
    moved = [span for cold in pin.cold for span in cold.ranges]
    return ranges.outside(ranges.normal([*moved, *_beyond(pin.head)]))


def pinned_row(row: CatalogRow, pin: pins.PinnedRelation, versions: Mapping[UUID, VersionRow]) -> CatalogRow:
    """`row` with the versions of `pin`. Raises SnapshotGone where they are no versions of the same datasets."""
    cold = row.cold_version if pin.hot is not None else pin.cold[0].version if len(pin.cold) == 1 else None
    for then, now in ((pin.hot, row.hot_version), (cold, row.cold_version)):
        known = then is None or then in versions
        if (then is None) != (now is None) or not known:
            raise pins.SnapshotGone(
                f"as_of: the version of {row.namespace}/{row.name} that it was computed on was purged"
            )
        if then is not None and now is not None and versions[then].dataset != versions[now].dataset:
            raise pins.SnapshotGone(f"as_of: {row.namespace}/{row.name} is another dataset now")
    found = versions[pin.hot or cold]  # type: ignore[index]
    halves = {versions[version].scope_column for version in (pin.hot, cold) if version is not None}
    if len(halves) > 1:
        raise pins.SnapshotGone(
            f"as_of: the halves of {row.namespace}/{row.name} are not divided by one column any more"
        )
    return replace(
        row,
        columns=found.columns,
        scope_column=found.scope_column,
        hot_version=pin.hot,
        hot_location=found.location if pin.hot is not None else None,
        cold_version=cold,
    )


def _moved(row: CatalogRow, held: Holdings) -> Mapping[UUID, Sequence[ranges.Range]]:
    """Ranges per cold version, the relation's own cold half first."""
    assert row.hot_version is not None
    moved = held.moved.get(row.hot_version, {})
    return {cold: moved[cold] for cold in sorted(moved, key=lambda v: (v != row.cold_version, str(v)))}


def _cold(
    moved: Mapping[UUID, Sequence[ranges.Range]],
    partitions: Mapping[UUID, Sequence[PartitionRow]],
    bucket: str,
    covered: tuple[ranges.Range, ...],
) -> tuple[tuple[ColdGroup, ...], tuple[ranges.Range, ...], list[pins.Cold]]:
    """Groups for what `moved` holds outside of `covered`, what is covered then, and the same for a pin."""
    groups: list[ColdGroup] = []
    pinned: list[pins.Cold] = []
    for version, wanted in moved.items():
        fresh = ranges.both(ranges.normal(wanted), ranges.outside(covered))
        if fresh:
            groups.extend(group_of(version, fresh, partitions, bucket))
            pinned.append(pins.Cold(version, _digest(partitions, version), list(fresh)))
        covered = ranges.normal([*covered, *fresh])
    return tuple(groups), covered, pinned


def _check_moved(
    row: CatalogRow, held: Holdings, cold: pins.Cold, wanted: Sequence[ranges.Range], pin: pins.PinnedRelation
) -> None:
    """A token may name only what did move from its hot version: it is the user's to write."""
    if pin.hot is None:
        return
    moved = ranges.normal(held.moved.get(pin.hot, {}).get(cold.version, ()))
    if not wanted or any(not ranges.inside(span, moved) for span in wanted):
        raise pins.SnapshotGone(f"as_of: {row.namespace}/{row.name} has no such files")


def _beyond(head: int | None) -> tuple[ranges.Range, ...]:
    """Scope values that came after `head`."""
    if head is None:
        return ranges.EVERYTHING
    return ((head + 1, ranges.HIGHEST),) if head < ranges.HIGHEST else ()


def _digest(partitions: Mapping[UUID, Sequence[PartitionRow]], version: UUID) -> str:
    return pins.digest(part.id for part in partitions.get(version, ()))


def _pii(held: Holdings, versions: Iterable[UUID]) -> tuple[str, ...]:
    found = {name for version in versions if version in held.versions for name in held.versions[version].pii}
    return tuple(sorted(found))
