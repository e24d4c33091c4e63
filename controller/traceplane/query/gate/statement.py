"""What the gate says of a statement: that it may run, over these relations, or why not."""

from __future__ import annotations

from dataclasses import dataclass

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

    @property
    def text(self) -> str:
        return self.table if self.schema is None else f"{self.schema}.{self.table}"


@dataclass(frozen=True, slots=True)
class Admitted:
    """A statement that may run, if every one of `relations` (in order of appearance, no name twice) is granted."""

    sql: str
    relations: tuple[RelationName, ...]
