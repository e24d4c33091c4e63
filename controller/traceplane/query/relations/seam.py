"""Where cold files end and hot rows begin: a catalog row pinned to what is current.

The rule for hot data: **cold files of the relocated ranges, and hot rows outside them.** It is complete and free of
doubles because of an order that the engine keeps: the data snapshot is opened first and the relocations are read
after it. Rows that are relocated later are still in the snapshot; rows that had been relocated are in files, and
what the snapshot still holds of them is left out.

Pure: catalog rows in, a `Relation` out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from traceplane.query.gate.statement import RelationName
from traceplane.query.relations import pins, ranges
from traceplane.query.relations.cold_files import ColdGroup, group_of
from traceplane.query.relations.hot_sql import GrantedTable
from traceplane.query.relations.relation import Relation
from traceplane.query.relations.rows import CatalogRow, PartitionRow, VersionRow


@dataclass(frozen=True, slots=True)
class Holdings:
    """What state knows of the versions of a query.

    `relocated` holds, per hot version, the ranges relocated to each cold version; `partitions` are the current ones
    and `pinned` those that a pin's snapshot saw. Without a pin `pinned` is empty.
    """

    versions: Mapping[UUID, VersionRow]
    relocated: Mapping[UUID, Mapping[UUID, Sequence[ranges.Range]]]
    partitions: Mapping[UUID, Sequence[PartitionRow]]
    pinned: Mapping[UUID, Sequence[PartitionRow]] = field(default_factory=dict)

    def pii(self, versions: Iterable[UUID]) -> tuple[str, ...]:
        """Columns with personal data of these versions."""
        known = (self.versions[version] for version in versions if version in self.versions)
        return tuple(sorted({name for version in known for name in version.pii}))

    def relocated_from(self, row: CatalogRow) -> Mapping[UUID, tuple[ranges.Range, ...]]:
        """Ranges of the row's hot version by the cold version that they are read from."""
        assert row.hot_version is not None
        return answering(self.relocated.get(row.hot_version, {}), row.cold_version)


def answering(
    relocated: Mapping[UUID, Sequence[ranges.Range]], own: UUID | None
) -> Mapping[UUID, tuple[ranges.Range, ...]]:
    """Which cold version is read for which of the ranges that were `relocated` to each: every value from one.

    The relation's own cold half comes first. What it lacks, after a rollback or while it is new, the newest that
    has it answers: a range that was relocated to a version is whole in it.
    """
    found: dict[UUID, tuple[ranges.Range, ...]] = {}
    covered: tuple[ranges.Range, ...] = ()
    newest_first = sorted(relocated, reverse=True)  # ids are UUIDv7
    for version in sorted(newest_first, key=lambda version: version != own):
        fresh = ranges.both(ranges.normal(relocated[version]), ranges.outside(covered))
        if fresh:
            found[version] = fresh
            covered = ranges.normal([*covered, *fresh])
    return found


def pinned_now(row: CatalogRow, names: list[RelationName], holdings: Holdings, bucket: str) -> Relation:
    """`row` pinned to what is current. Raises TraceError where state names files that cannot be read."""
    if row.hot_version is None or row.hot_location is None:
        assert row.cold_version is not None
        cold = pins.Cold(row.cold_version, digest(holdings.partitions, row.cold_version), [])
        pin = pins.PinnedRelation(row.namespace, row.name, None, None, [cold])
        groups = group_of(row.cold_version, (), holdings.partitions, bucket)
        return Relation(row, names, None, groups, pin, holdings.pii([row.cold_version]))
    by_cold = holdings.relocated_from(row)
    groups, covered, colds = relocated_groups(by_cold, holdings.partitions, bucket, ())
    table = GrantedTable(row.hot_location, dict(row.columns), row.scope_column, covered, row.where)
    pin = pins.PinnedRelation(row.namespace, row.name, row.hot_version, None, colds)
    return Relation(row, names, table, groups, pin, holdings.pii([row.hot_version, *by_cold]))


def relocated_groups(
    by_cold: Mapping[UUID, tuple[ranges.Range, ...]],
    partitions: Mapping[UUID, Sequence[PartitionRow]],
    bucket: str,
    covered: tuple[ranges.Range, ...],
) -> tuple[tuple[ColdGroup, ...], tuple[ranges.Range, ...], list[pins.Cold]]:
    """Groups for the relocated ranges outside of `covered`, what is covered with them, and the same for a pin.

    Ranges of two versions do not overlap (see `answering`).
    """
    groups: list[ColdGroup] = []
    colds: list[pins.Cold] = []
    left = ranges.outside(covered)
    for version, relocated in by_cold.items():
        if fresh := ranges.both(relocated, left):
            groups.extend(group_of(version, fresh, partitions, bucket))
            colds.append(pins.Cold(version, digest(partitions, version), list(fresh)))
    covered = ranges.normal([*covered, *(span for cold in colds for span in cold.ranges)])
    return tuple(groups), covered, colds


def digest(partitions: Mapping[UUID, Sequence[PartitionRow]], version: UUID) -> str:
    """Which partitions a version has."""
    return pins.digest(part.id for part in partitions.get(version, ()))
