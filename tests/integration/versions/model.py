"""What has to be of the versions of a DAG, by edits and verbs alone; and how far what a reader found has come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.integration.versions.definitions import BY_RANGE, Definition, Row
from traceplane.graph import Graph

Generation = tuple[str, str]
"""Job and config hash."""


@dataclass
class Model:
    """What has to be, by spec hash."""

    known: dict[str, tuple[Definition, Graph]] = field(default_factory=dict)
    applied: str = ""
    active: str = ""
    staged: str | None = None
    held: str | None = None
    approved: bool = False
    built: set[Generation] = field(default_factory=set)
    """Generations of versions that were active."""
    order: list[str] = field(default_factory=list)
    """Versions that were active, in the order in which they last became so."""

    def generations(self, spec: str | None) -> set[Generation]:
        return {(job.name, job.config_hash) for job in self.known[spec][1].jobs} if spec else set()

    def activate(self, spec: str, held: str | None = None) -> None:
        self.active, self.staged, self.held, self.approved = spec, None, held, False
        self.built |= self.generations(spec)
        self.order = [*(one for one in self.order if one != spec), spec]

    def look(self) -> None:
        """What a look of the controller makes of the spec that is applied."""
        spec = self.applied
        if self.held == spec != self.active:
            return
        if spec == self.active:
            self.staged, self.held, self.approved = None, None, False
        elif spec != self.staged:
            if not self.active or self.generations(spec) <= self.built:
                self.activate(spec)
            else:
                self.staged, self.held, self.approved = spec, None, False


def reached(definition: Definition, asset: str, row: Row) -> int:
    """The value up to which an asset is made once it has this row."""
    size = definition.range_size if asset in BY_RANGE else definition.slice_size
    return int(row[0]) // size * size + size - 1 if asset != "blocks" else int(row[0])


def end_of(definition: Definition, asset: str, rows: Sequence[Row]) -> int:
    """How far an asset is, as far as its rows show it."""
    return max((reached(definition, asset, row) for row in rows), default=-1)


def as_far(definition: Definition, asset: str, expected: Sequence[Row], rows: Sequence[Row]) -> list[Row]:
    """What it has to hold where it has answered for as much as its rows show."""
    if asset in BY_RANGE:
        ranges = {reached(definition, asset, row) for row in rows}
        return sorted(row for row in expected if reached(definition, asset, row) in ranges)
    return sorted(row for row in expected if reached(definition, asset, row) <= end_of(definition, asset, rows))


def difference(rows: Sequence[Row] | None, wanted: Sequence[Row] | None) -> str:
    if rows is None or wanted is None:
        return f"it is {'absent' if rows is None else 'there'}"
    more, less = sorted(set(rows) - set(wanted)), sorted(set(wanted) - set(rows))
    return f"{len(rows)} rows, of which {more[:5]} should not be; {less[:5]} of {len(wanted)} are missing"
