"""What the gate says of a statement: that it may run, over these relations, or why not."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from traceplane.errors import Refused


class Refusal(Refused):
    """A statement that will not be run. `position` counts characters from 0; None where there is no one place."""

    def __init__(self, code: str, message: str, *, position: int | None = None, name: str | None = None) -> None:
        super().__init__(message, code=code)
        self.position = position
        self.name = name


@dataclass(frozen=True, slots=True)
class RelationName:
    """A relation as the statement names it, lower case. `schema` is None where the name is unqualified."""

    schema: str | None
    table: str
    position: int | None = None
    read: bool = True
    """Whether its rows may be read; a name that stands in DESCRIBE alone asks for no row."""

    @property
    def text(self) -> str:
        return self.table if self.schema is None else f"{self.schema}.{self.table}"


class Lists(StrEnum):
    """Which relations the catalog lists that a statement reads."""

    NOTHING = ""
    """It reads no catalog."""
    NAMED = "named"
    """The relations that the statement names."""
    READABLE = "readable"
    """Everything that the caller may read."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """A statement that may run, if every one of `relations` (in order of appearance, no name twice) is granted."""

    sql: str
    relations: tuple[RelationName, ...]
    lists: Lists = Lists.NOTHING
    runs: str = ""
    """What runs in its place, where it asks what there is; see `discovery`."""

    @property
    def to_run(self) -> str:
        """The statement as a cell runs it."""
        return self.runs or self.sql

    @property
    def reads(self) -> bool:
        """Whether there is anything that it reads."""
        return bool(self.relations) or self.lists is not Lists.NOTHING
