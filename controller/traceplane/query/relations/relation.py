"""A granted relation of one query: its files, its hot table, and what of them the query reads.

Made by `seam` from what is current, or by `as_of` from what an earlier query read. Pure but for `chosen` and
`hot_rows`, which grow while the query runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from traceplane.query import wire
from traceplane.query.files.cache import ColdFile
from traceplane.query.gate.statement import RelationName
from traceplane.query.relations import pins, ranges
from traceplane.query.relations.cold_files import ColdGroup, ColdPart
from traceplane.query.relations.hot_sql import GrantedTable
from traceplane.query.relations.rows import CatalogRow
from traceplane_sdk import where
from traceplane_sdk.columns import FORMS, ColumnType


@dataclass(slots=True)
class Relation:
    """A granted relation, pinned. `names` are all the ways the statement spells it."""

    row: CatalogRow
    names: list[RelationName]
    hot: GrantedTable | None
    groups: tuple[ColdGroup, ...]
    pin: pins.PinnedRelation
    """What a repetition reads. The head of a new query is put in when its hot tables are opened."""
    pii: tuple[str, ...] = ()
    chosen: list[tuple[ColdGroup, list[ColdPart]]] = field(default_factory=list)
    """The files of each group that the plan needs, see `prune`."""
    hot_rows: int = 0
    """Rows that hot scans have read so far."""

    @property
    def read(self) -> bool:
        """Whether the statement reads rows of it. DESCRIBE asks for its columns alone."""
        return any(name.read for name in self.names)

    @property
    def title(self) -> str:
        return f"{self.row.namespace}/{self.row.name}"

    def spec(self) -> wire.RelationSpec:
        """The relation as the cell builds it."""
        return wire.RelationSpec(
            names=[(name.schema or "", name.table) for name in self.names],
            columns=[(name, FORMS[kind].duckdb) for name, kind in self.row.columns],
            hot=self.read and self.hot is not None,
            cold=self.read and bool(self.groups),
            scope_column=self.row.scope_column,
            hexes=[name for name, kind in self.row.columns if kind == ColumnType.HEX],
            where=where.duckdb(self.row.where, dict(self.row.columns)),
        )

    def prune(self, scans: Sequence[Any]) -> None:
        """Choose the files that `scans` (the filter of each scan of this relation) can match."""
        if not self.read:
            self.chosen = [(group, []) for group in self.groups]
            return
        column = self.row.scope_column
        wanted = ranges.normal(part for tree in scans for part in ranges.of_tree(tree, column))
        if not scans:
            wanted = ranges.EVERYTHING  # a scan that was not recognised in the plan costs a link, never an answer
        if column in self.row.where:
            wanted = ranges.both(wanted, ranges.normal((int(n), int(n)) for n in self.row.where[column]))
        for group in self.groups:
            reach = ranges.both(wanted, group.ranges) if group.ranges else wanted
            self.chosen.append(
                (group, [part for part in group.parts if ranges.touches((part.start, part.end), reach)])
            )

    def cell_groups(self) -> list[tuple[int, list[ranges.Range]]]:
        """For the cell: number of files per group, with ranges only where a chosen file reaches beyond them."""
        groups = []
        for group, parts in self.chosen:
            # A condition on every row costs the cell time, so it gets one only where a file has rows to leave out.
            partly = group.ranges and any(not ranges.inside((part.start, part.end), group.ranges) for part in parts)
            groups.append((len(parts), list(group.ranges) if partly else []))
        return groups

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

        def entry(dataset: UUID | None, version: UUID | None, **read: Any) -> dict[str, Any]:
            ids = {"relation": self.title, "dataset": str(dataset), "version": str(version)}
            return {**ids, "files": 0, "hot_rows": 0, **read}

        found = [entry(group.dataset, group.version, files=len(parts)) for group, parts in self.chosen]
        if self.hot is not None:
            row, head = self.row, self.pin.head
            found.append(entry(row.dataset, row.hot_version, hot_rows=self.hot_rows, head=head))
        return found
