"""A catalog row as an earlier query read it, from the pin of that query.

Ranges that were cold at that time are read from the files of that time. What was hot is read from wherever it lives
now, up to the head of that time. See `pins` for why that is the same.

A token is the user's to write, so everything it names is compared with what state knows. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from traceplane.query.gate.statement import RelationName
from traceplane.query.relations import pins, ranges
from traceplane.query.relations.cold_files import ColdGroup, group_of
from traceplane.query.relations.hot_sql import GrantedTable
from traceplane.query.relations.relation import Relation
from traceplane.query.relations.rows import CatalogRow, VersionRow
from traceplane.query.relations.seam import Holdings, digest, relocated_groups


def row_of(row: CatalogRow, pin: pins.PinnedRelation, versions: Mapping[UUID, VersionRow]) -> CatalogRow:
    """`row` with the versions of `pin`. Raises SnapshotUnavailable where they are of other datasets."""
    title = f"{row.namespace}/{row.name}"
    cold = row.cold_version if pin.hot is not None else pin.cold[0].version if len(pin.cold) == 1 else None
    for then, now in ((pin.hot, row.hot_version), (cold, row.cold_version)):
        known = then is None or then in versions
        if (then is None) != (now is None) or not known:
            raise pins.SnapshotUnavailable(f"as_of: the version of {title} that it was computed on was purged")
        if then is not None and now is not None and versions[then].dataset != versions[now].dataset:
            raise pins.SnapshotUnavailable(f"as_of: {title} is another dataset now")
    found = versions[pin.hot or cold]  # type: ignore[index]
    halves = {versions[version].scope_column for version in (pin.hot, cold) if version is not None}
    if len(halves) > 1:
        raise pins.SnapshotUnavailable(f"as_of: the halves of {title} are not divided by one column any more")
    return replace(
        row,
        columns=found.columns,
        notes=found.notes,
        scope_column=found.scope_column,
        hot_version=pin.hot,
        hot_location=found.location if pin.hot is not None else None,
        cold_version=cold,
    )


def pinned_then(
    row: CatalogRow, names: list[RelationName], holdings: Holdings, bucket: str, pin: pins.PinnedRelation
) -> Relation:
    """`row` (of `row_of`) as `pin` saw it. Raises SnapshotUnavailable where files of that time were purged.

    The caller has made sure that no hot row of that time was invalidated since.
    """
    groups: list[ColdGroup] = []
    covered: tuple[ranges.Range, ...] = ()
    for cold in pin.cold:
        if digest(holdings.pinned, cold.version) != cold.digest:
            raise pins.SnapshotUnavailable(
                f"as_of: files of {row.namespace}/{row.name} that it was computed on were purged"
            )
        wanted = ranges.normal(cold.ranges)
        _check_relocated(row, holdings, cold, wanted, pin)
        groups.extend(group_of(cold.version, wanted, holdings.pinned, bucket))
        covered = ranges.normal([*covered, *wanted])
    versions = [cold.version for cold in pin.cold]
    if pin.hot is None or row.hot_location is None:
        return Relation(row, names, None, tuple(groups), pin, holdings.pii(versions))
    # What was hot may have been relocated since: then it is read from the files of now.
    by_cold = holdings.relocated_from(row)
    read_or_later = ranges.normal([*covered, *_beyond(pin.head)])
    since, covered, _ = relocated_groups(by_cold, holdings.partitions, bucket, read_or_later)
    table = GrantedTable(row.hot_location, dict(row.columns), row.scope_column, covered, row.where)
    hot = None if covered == ranges.EVERYTHING else table
    return Relation(row, names, hot, (*groups, *since), pin, holdings.pii([pin.hot, *versions, *by_cold]))


def hot_ranges(pin: pins.PinnedRelation) -> tuple[ranges.Range, ...]:
    """The scope values that `pin` read from the hot table."""
    cold = [span for part in pin.cold for span in part.ranges]
    return ranges.outside(ranges.normal([*cold, *_beyond(pin.head)]))


def _check_relocated(
    row: CatalogRow, holdings: Holdings, cold: pins.Cold, wanted: Sequence[ranges.Range], pin: pins.PinnedRelation
) -> None:
    """Refuse a cold version that nothing of the hot version was relocated to: it could be any dataset's."""
    if pin.hot is None:
        return
    relocated = ranges.normal(holdings.relocated.get(pin.hot, {}).get(cold.version, ()))
    if not wanted or any(not ranges.inside(span, relocated) for span in wanted):
        raise pins.SnapshotUnavailable(f"as_of: {row.namespace}/{row.name} has no such files")


def _beyond(head: int | None) -> tuple[ranges.Range, ...]:
    """Scope values that came after `head`."""
    if head is None:
        return ranges.EVERYTHING
    return ((head + 1, ranges.HIGHEST),) if head < ranges.HIGHEST else ()
